-- +goose Up
-- Read models: what messages have told, kept in the shape in which it is asked for. They are filled by the
-- consumer of OrderCompleted, hold orders that have ended and nothing else, and can be thrown away:
-- `millrace projection rebuild` makes them anew from the journal.

-- Which orders of a user have ended, and how. The order itself is in orders.
CREATE TABLE orders_by_user (
    user_id   TEXT        NOT NULL,
    order_id  TEXT        NOT NULL,
    status    TEXT        NOT NULL,
    reason    TEXT        NOT NULL,
    currency  TEXT        NOT NULL,
    total     BIGINT      NOT NULL,
    placed_at TIMESTAMP   NOT NULL,
    PRIMARY KEY (user_id, order_id)
);

-- How the orders of a day (UTC, by when they were placed) ended, a row for each currency. Revenue is in
-- minor units, of confirmed orders.
CREATE TABLE daily_sales (
    day       TEXT   NOT NULL,
    currency  TEXT   NOT NULL,
    confirmed BIGINT NOT NULL,
    revenue   BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    PRIMARY KEY (day, currency)
);

-- The orders that daily_sales has counted: none is counted twice.
CREATE TABLE daily_sales_orders (
    order_id TEXT   NOT NULL,
    day      TEXT   NOT NULL,
    currency TEXT   NOT NULL,
    status   TEXT   NOT NULL,
    total    BIGINT NOT NULL,
    PRIMARY KEY (order_id)
);

-- A row a read model: the lock under which it is filled or exchanged. Generation counts its rebuilds. Every
-- order whose id is below line has ended and is in the model, so that the model alone may answer for them.
CREATE TABLE read_models (
    name       TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL DEFAULT 1,
    line       TEXT    NOT NULL DEFAULT '',
    rebuilt_at TIMESTAMP
);
INSERT INTO read_models (name) VALUES ('orders_by_user'), ('daily_sales');

-- +goose Down
DROP TABLE read_models;
DROP TABLE daily_sales_orders;
DROP TABLE daily_sales;
DROP TABLE orders_by_user;
