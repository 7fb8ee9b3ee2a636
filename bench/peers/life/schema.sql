-- The rows of one order's life, as the peers write them: fewer than Millrace's, and with no index
-- but the primary keys.
CREATE TABLE IF NOT EXISTS orders (
    id         TEXT        PRIMARY KEY,
    user_id    TEXT        NOT NULL,
    status     SMALLINT    NOT NULL, -- 0 pending, 1 processing, 2 paid, 3 confirmed
    total      BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS order_items (
    order_id TEXT    NOT NULL,
    line     INTEGER NOT NULL,
    sku      TEXT    NOT NULL,
    qty      INTEGER NOT NULL,
    price    BIGINT  NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE IF NOT EXISTS order_timeline (
    order_id TEXT        NOT NULL,
    event    TEXT        NOT NULL,
    at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (order_id, event)
);
CREATE TABLE IF NOT EXISTS sagas (
    order_id   TEXT        PRIMARY KEY,
    step       SMALLINT    NOT NULL, -- 1 awaiting payment, 2 awaiting inventory, 3 confirmed
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS payments (
    order_id   TEXT        PRIMARY KEY,
    amount     BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS reservations (
    order_id   TEXT        PRIMARY KEY,
    sku        TEXT        NOT NULL,
    qty        INTEGER     NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS notices (
    order_id TEXT        PRIMARY KEY,
    sent_at  TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS inbox (
    consumer   TEXT        NOT NULL,
    message_id TEXT        NOT NULL,
    handled_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (consumer, message_id)
);
CREATE TABLE IF NOT EXISTS stock (
    sku      TEXT    PRIMARY KEY,
    on_hand  INTEGER NOT NULL CHECK (on_hand >= reserved),
    reserved INTEGER NOT NULL
);
INSERT INTO stock SELECT 'SKU-' || lpad(n::text, 3, '0'), 1000000000, 0 FROM generate_series(1, 100) n
ON CONFLICT DO NOTHING;

-- For pgbench alone: Watermill has its own outbox tables, River its jobs.
CREATE TABLE IF NOT EXISTS outbox (
    seq          BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           TEXT        NOT NULL,
    aggregate_id TEXT        NOT NULL,
    event_type   TEXT        NOT NULL,
    payload      TEXT        NOT NULL,
    topic        TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL
);
