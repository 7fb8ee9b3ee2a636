-- +goose Up
-- What consumers have handled. A row is written in the handler's own transaction, so a message
-- that comes again finds it. Outcome is done or dead.
CREATE TABLE inbox (
    consumer   TEXT        NOT NULL,
    message_id TEXT        NOT NULL,
    outcome    TEXT        NOT NULL DEFAULT 'done',
    handled_at TIMESTAMP   NOT NULL,
    PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_handled_at ON inbox (handled_at);

-- Messages on their way to Kafka. A row is written in the transaction that caused it; the relay
-- sends it and sets published_at. Rows are chosen by published_at IS NULL, never by a cursor.
CREATE TABLE outbox (
    seq          INTEGER     PRIMARY KEY AUTOINCREMENT,
    id           TEXT        NOT NULL UNIQUE,
    aggregate_id TEXT        NOT NULL,
    event_type   TEXT        NOT NULL,
    payload      BLOB        NOT NULL,
    headers      TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    created_at   TIMESTAMP   NOT NULL,
    published_at TIMESTAMP
);
CREATE INDEX outbox_pending ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

-- Messages that Kafka will never take, with the reason.
CREATE TABLE outbox_dead (
    id           TEXT        NOT NULL PRIMARY KEY,
    aggregate_id TEXT        NOT NULL,
    event_type   TEXT        NOT NULL,
    payload      BLOB        NOT NULL,
    headers      TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    created_at   TIMESTAMP   NOT NULL,
    reason       TEXT        NOT NULL,
    died_at      TIMESTAMP   NOT NULL
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
    record_key   BLOB ,
    payload      BLOB ,
    headers      TEXT        NOT NULL,
    reason       TEXT        NOT NULL,
    error        TEXT        NOT NULL,
    attempts     INTEGER     NOT NULL,
    first_at     TIMESTAMP   NOT NULL,
    last_at      TIMESTAMP   NOT NULL,
    state        TEXT        NOT NULL DEFAULT 'waiting'
);
CREATE INDEX dead_letters_waiting ON dead_letters (consumer, order_id) WHERE state = 'waiting';

CREATE TABLE products (
    sku      TEXT    NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL,
    price    BIGINT  NOT NULL CHECK (price >= 0),
    currency TEXT    NOT NULL
);

CREATE TABLE orders (
    id               TEXT        NOT NULL PRIMARY KEY,
    user_id          TEXT        NOT NULL,
    status           TEXT        NOT NULL,
    reason           TEXT        NOT NULL DEFAULT '',
    currency         TEXT        NOT NULL,
    total            BIGINT      NOT NULL CHECK (total > 0),
    payment_method   TEXT        NOT NULL,
    undoing          BOOLEAN     NOT NULL DEFAULT FALSE,
    cancel_requested BOOLEAN     NOT NULL DEFAULT FALSE,
    version          INTEGER     NOT NULL,
    created_at       TIMESTAMP   NOT NULL,
    updated_at       TIMESTAMP   NOT NULL
);
CREATE INDEX orders_status_created_at ON orders (status, created_at);
CREATE INDEX orders_user_id ON orders (user_id, id);

CREATE TABLE order_items (
    order_id TEXT    NOT NULL REFERENCES orders (id),
    line     INTEGER NOT NULL,
    sku      TEXT    NOT NULL,
    qty      INTEGER NOT NULL CHECK (qty > 0),
    price    BIGINT  NOT NULL CHECK (price >= 0),
    PRIMARY KEY (order_id, line)
);
CREATE INDEX order_items_order_id ON order_items (order_id);

-- What has happened to an order, as its customer sees it. Rows are only ever added.
CREATE TABLE order_timeline (
    order_id TEXT        NOT NULL REFERENCES orders (id),
    seq      INTEGER     NOT NULL,
    at       TIMESTAMP   NOT NULL,
    event    TEXT        NOT NULL,
    status   TEXT        NOT NULL,
    event_id TEXT        NOT NULL,
    PRIMARY KEY (order_id, seq)
);

-- The answer that was given to an Idempotency-Key, in the order's own transaction.
CREATE TABLE idempotency_keys (
    user_id      TEXT        NOT NULL,
    key          TEXT        NOT NULL,
    request_hash TEXT        NOT NULL,
    status       INTEGER     NOT NULL,
    body         BLOB        NOT NULL,
    order_id     TEXT        NOT NULL,
    created_at   TIMESTAMP   NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Where every saga is. State is what the pure function sees; journal_seq and journal_hash are the
-- end of its chain in saga_journal.
CREATE TABLE sagas (
    order_id     TEXT        NOT NULL PRIMARY KEY REFERENCES orders (id),
    definition   INTEGER     NOT NULL,
    step         TEXT        NOT NULL,
    state        TEXT        NOT NULL,
    version      INTEGER     NOT NULL,
    journal_seq  INTEGER     NOT NULL,
    journal_hash TEXT        NOT NULL,
    timeline_seq INTEGER     NOT NULL,
    entered_at   TIMESTAMP   NOT NULL,
    created_at   TIMESTAMP   NOT NULL,
    updated_at   TIMESTAMP   NOT NULL
);
CREATE INDEX sagas_open ON sagas (step, entered_at) WHERE step NOT IN ('confirmed', 'failed', 'cancelled');

-- Time-outs, a row each. Due is compared with the database's clock.
CREATE TABLE saga_timers (
    order_id TEXT        NOT NULL,
    name     TEXT        NOT NULL,
    entry    INTEGER     NOT NULL,
    due_at   TIMESTAMP   NOT NULL,
    PRIMARY KEY (order_id, name, entry)
);
CREATE INDEX saga_timers_due ON saga_timers (due_at);

-- Everything that reached a saga and what it decided. Rows are only ever added; each carries the
-- hash of the one before it.
CREATE TABLE saga_journal (
    order_id     TEXT        NOT NULL,
    seq          INTEGER     NOT NULL,
    at           TIMESTAMP   NOT NULL,
    message_id   TEXT        NOT NULL,
    type         TEXT        NOT NULL,
    payload      TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    partition_no INTEGER     NOT NULL,
    offset_no    BIGINT      NOT NULL,
    definition   INTEGER     NOT NULL,
    build        TEXT        NOT NULL,
    outcome      TEXT        NOT NULL,
    state_before TEXT        NOT NULL,
    state_after  TEXT        NOT NULL,
    sent         TEXT        NOT NULL,
    timers       TEXT        NOT NULL,
    error        TEXT        NOT NULL DEFAULT '',
    hash         TEXT        NOT NULL,
    PRIMARY KEY (order_id, seq)
);

-- +goose Down
DROP TABLE saga_journal;
DROP TABLE saga_timers;
DROP TABLE sagas;
DROP TABLE idempotency_keys;
DROP TABLE order_timeline;
DROP TABLE order_items;
DROP TABLE orders;
DROP TABLE products;
DROP TABLE dead_letters;
DROP TABLE outbox_dead;
DROP TABLE outbox;
DROP TABLE inbox;
