-- +goose Up
-- PostgreSQL writes a new version of a row into every index of its table, unless no indexed value has
-- changed and the page has room for it (a HOT update). A saga changes its order and its own row three
-- times; status and step were indexed, so each change was written four times. What is indexed now changes
-- once, at the end.
SET LOCAL statement_timeout = 0; -- a large table takes longer than a session's statement may
ALTER TABLE orders SET (fillfactor = 50);
ALTER TABLE orders ADD COLUMN ended TEXT GENERATED ALWAYS AS
    (CASE WHEN status IN ('CONFIRMED', 'FAILED', 'CANCELLED') THEN status END) STORED;
DROP INDEX orders_status_created_at;
CREATE INDEX orders_open ON orders (created_at) WHERE ended IS NULL;
CREATE INDEX orders_ended ON orders (ended, id) WHERE ended IS NOT NULL;

ALTER TABLE sagas SET (fillfactor = 50);
ALTER TABLE sagas ADD COLUMN ended BOOLEAN GENERATED ALWAYS AS (step IN ('confirmed', 'failed', 'cancelled')) STORED;
DROP INDEX sagas_open;
CREATE INDEX sagas_open ON sagas (order_id) WHERE NOT ended;

-- The primary key begins with order_id.
DROP INDEX order_items_order_id;

-- +goose Down
SET LOCAL statement_timeout = 0;
CREATE INDEX order_items_order_id ON order_items (order_id);
ALTER TABLE sagas DROP COLUMN ended; -- and its index
CREATE INDEX sagas_open ON sagas (step, entered_at) WHERE step NOT IN ('confirmed', 'failed', 'cancelled');
ALTER TABLE sagas RESET (fillfactor);
ALTER TABLE orders DROP COLUMN ended; -- and its indexes
CREATE INDEX orders_status_created_at ON orders (status, created_at);
ALTER TABLE orders RESET (fillfactor);
