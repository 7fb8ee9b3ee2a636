-- +goose Up
-- The same columns and indexes as in PostgreSQL, so that the same queries fit both; see there. SQLite
-- computes the columns where they are read.
ALTER TABLE orders ADD COLUMN ended TEXT GENERATED ALWAYS AS
    (CASE WHEN status IN ('CONFIRMED', 'FAILED', 'CANCELLED') THEN status END) VIRTUAL;
DROP INDEX orders_status_created_at;
CREATE INDEX orders_open ON orders (created_at) WHERE ended IS NULL;
CREATE INDEX orders_ended ON orders (ended, id) WHERE ended IS NOT NULL;

ALTER TABLE sagas ADD COLUMN ended BOOLEAN GENERATED ALWAYS AS (step IN ('confirmed', 'failed', 'cancelled')) VIRTUAL;
DROP INDEX sagas_open;
CREATE INDEX sagas_open ON sagas (order_id) WHERE NOT ended;

-- The primary key begins with order_id.
DROP INDEX order_items_order_id;

-- +goose Down
CREATE INDEX order_items_order_id ON order_items (order_id);
DROP INDEX sagas_open;
ALTER TABLE sagas DROP COLUMN ended;
CREATE INDEX sagas_open ON sagas (step, entered_at) WHERE step NOT IN ('confirmed', 'failed', 'cancelled');
DROP INDEX orders_ended;
DROP INDEX orders_open;
ALTER TABLE orders DROP COLUMN ended;
CREATE INDEX orders_status_created_at ON orders (status, created_at);
