-- +goose Up
-- How often the outbox was replayed. The relay reads it with the rows, and marks as published only what it
-- read since: what was on its way to a broker when that broker's disk was lost is sent again.
CREATE TABLE outbox_replays (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    n   INTEGER NOT NULL
);
INSERT INTO outbox_replays (one, n) VALUES (1, 0);

-- +goose Down
DROP TABLE outbox_replays;
