-- +goose Up
-- Orders whose messages to a consumer wait behind a dead letter. The row is the lock under which it
-- is decided who waits and whose turn it is; it goes with the last one that waits. Nearly always
-- the table is empty.
CREATE TABLE held_orders (
    consumer TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    length   INTEGER NOT NULL,
    PRIMARY KEY (consumer, order_id)
);

-- A dead letter is waiting, redriving, done, discarded or settled. The messages behind it are kept in
-- the same table: parked, then redriving and done, or waiting when they fail themselves. version moves
-- with every change, position is the place in the order's sequence, redrives counts dead letters sent again.
ALTER TABLE dead_letters ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE dead_letters ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN redrives INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dead_letters_open ON dead_letters (consumer, order_id, position) WHERE state IN ('waiting', 'parked', 'redriving');

-- What was done about dead letters, by whom and why. Rows are only ever added.
CREATE TABLE dead_letter_log (
    letter_id TEXT        NOT NULL,
    version   INTEGER     NOT NULL,
    at        TIMESTAMPTZ NOT NULL,
    act       TEXT        NOT NULL,
    actor     TEXT        NOT NULL,
    reason    TEXT        NOT NULL,
    PRIMARY KEY (letter_id, version)
);

INSERT INTO held_orders (consumer, order_id, length)
    SELECT consumer, order_id, 0 FROM dead_letters WHERE state = 'waiting' AND order_id <> '' GROUP BY consumer, order_id;

-- How often an act was refused for good before: it has a dead letter then, named as the act.
ALTER TABLE intents ADD COLUMN buried INTEGER NOT NULL DEFAULT 0;
UPDATE intents SET buried = 1 WHERE state = 'dead';
INSERT INTO dead_letters (id, message_id, order_id, service, consumer, handler, type, topic, partition_no, offset_no,
        headers, reason, error, attempts, first_at, last_at)
    SELECT id, id, order_id, 'notification-service', 'intent_' || kind, 'intent_' || kind, kind, '', 0, 0,
        '{}', 'unknown', last_error, attempts, created_at, updated_at FROM intents WHERE state = 'dead';

-- +goose Down
DELETE FROM dead_letters WHERE topic = '';
ALTER TABLE intents DROP COLUMN buried;
DELETE FROM dead_letters WHERE state = 'parked';
DROP TABLE dead_letter_log;
DROP INDEX dead_letters_open;
ALTER TABLE dead_letters DROP COLUMN redrives;
ALTER TABLE dead_letters DROP COLUMN position;
ALTER TABLE dead_letters DROP COLUMN version;
DROP TABLE held_orders;
