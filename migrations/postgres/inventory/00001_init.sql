-- +goose Up
-- What consumers have handled. A row is written in the handler's own transaction, so a message
-- that comes again finds it. Outcome is done or dead.
CREATE TABLE inbox (
    consumer   TEXT        NOT NULL,
    message_id TEXT        NOT NULL,
    outcome    TEXT        NOT NULL DEFAULT 'done',
    handled_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_handled_at ON inbox (handled_at);

-- Messages on their way to Kafka. A row is written in the transaction that caused it; the relay
-- sends it and sets published_at. Rows are chosen by published_at IS NULL, never by a cursor.
CREATE TABLE outbox (
    seq          BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           TEXT        NOT NULL UNIQUE,
    aggregate_id TEXT        NOT NULL,
    event_type   TEXT        NOT NULL,
    payload      BYTEA       NOT NULL,
    headers      TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    published_at TIMESTAMPTZ
);
-- Every row is updated once and deleted once: dead versions must go soon, or reads of what is
-- pending walk over them.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

-- Messages that Kafka will never take, with the reason.
CREATE TABLE outbox_dead (
    id           TEXT        NOT NULL PRIMARY KEY,
    aggregate_id TEXT        NOT NULL,
    event_type   TEXT        NOT NULL,
    payload      BYTEA       NOT NULL,
    headers      TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    reason       TEXT        NOT NULL,
    died_at      TIMESTAMPTZ NOT NULL
);

-- Messages that a consumer refused: the truth about them; the topic <service>.dlq is its copy.
CREATE TABLE dead_letters (
    id           TEXT        NOT NULL PRIMARY KEY,
    message_id   TEXT        NOT NULL,
    order_id     TEXT        NOT NULL,
    service      TEXT        NOT NULL,
    consumer     TEXT        NOT NULL,
    handler      TEXT        NOT NULL,
    type         TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    partition_no INTEGER     NOT NULL,
    offset_no    BIGINT      NOT NULL,
    record_key   BYTEA,
    payload      BYTEA,
    headers      TEXT        NOT NULL,
    reason       TEXT        NOT NULL,
    error        TEXT        NOT NULL,
    attempts     INTEGER     NOT NULL,
    first_at     TIMESTAMPTZ NOT NULL,
    last_at      TIMESTAMPTZ NOT NULL,
    state        TEXT        NOT NULL DEFAULT 'waiting'
);
CREATE INDEX dead_letters_waiting ON dead_letters (consumer, order_id) WHERE state = 'waiting';

CREATE TABLE stock (
    sku      TEXT    NOT NULL PRIMARY KEY,
    on_hand  INTEGER NOT NULL CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    CHECK (reserved <= on_hand)
);

CREATE TABLE reservations (
    order_id   TEXT        NOT NULL PRIMARY KEY,
    state      TEXT        NOT NULL,
    lines      TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- +goose Down
DROP TABLE reservations;
DROP TABLE stock;
DROP TABLE dead_letters;
DROP TABLE outbox_dead;
DROP TABLE outbox;
DROP TABLE inbox;
