-- +goose Up
-- Orders that an operator's apply has in hand, be it on their sagas or on dead letters of any service: one plan
-- at a time. A row goes when it is known what came of the plan's acts on the order; one that is older than
-- any apply waits counts for nothing.
CREATE TABLE order_claims (
    order_id TEXT        NOT NULL PRIMARY KEY,
    plan     TEXT        NOT NULL,
    at       TIMESTAMPTZ NOT NULL
);

-- +goose Down
DROP TABLE order_claims;
