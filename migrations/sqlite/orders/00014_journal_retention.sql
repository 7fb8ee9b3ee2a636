-- +goose Up
-- What the retention of journals has put into files. A row says that the first entries of a saga's
-- journal, with the hash of the last of them, lie in a file of that name, whole and on the disk. It can
-- only be written for a saga that has ended and has written exactly that, and it is never changed: what
-- reaches the saga later stays in saga_journal, chained to the hash that stands here.
CREATE TABLE saga_archives (
    order_id    TEXT      NOT NULL PRIMARY KEY,
    entries     INTEGER   NOT NULL CHECK (entries > 0),
    hash        TEXT      NOT NULL,
    file        TEXT      NOT NULL CHECK (file <> ''),
    archived_at TIMESTAMP NOT NULL
);
CREATE INDEX saga_archives_file ON saga_archives (file);
-- Journals from their beginning, the oldest first: those that are archived have none.
CREATE INDEX saga_journal_begun ON saga_journal (at, order_id) WHERE seq = 1;

-- +goose StatementBegin
CREATE TRIGGER saga_archives_of_ended BEFORE INSERT ON saga_archives
WHEN NOT EXISTS (SELECT 1 FROM sagas s WHERE s.order_id = NEW.order_id AND s.step IN ('confirmed', 'failed', 'cancelled')
    AND s.journal_seq = NEW.entries AND s.journal_hash = NEW.hash)
BEGIN
    SELECT RAISE(ABORT, 'saga_archives: the saga has not ended, or its journal is another one');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER saga_archives_no_update BEFORE UPDATE ON saga_archives
BEGIN
    SELECT RAISE(ABORT, 'saga_archives is append-only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER saga_archives_no_delete BEFORE DELETE ON saga_archives
BEGIN
    SELECT RAISE(ABORT, 'saga_archives is append-only: DELETE is refused');
END;
-- +goose StatementEnd
-- INSERT OR REPLACE deletes without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER saga_archives_no_replace BEFORE INSERT ON saga_archives
WHEN EXISTS (SELECT 1 FROM saga_archives a WHERE a.order_id = NEW.order_id)
BEGIN
    SELECT RAISE(ABORT, 'saga_archives is append-only: REPLACE is refused');
END;
-- +goose StatementEnd

-- Entries that are archived may be deleted, and no others.
DROP TRIGGER saga_journal_no_delete;
-- +goose StatementBegin
CREATE TRIGGER saga_journal_no_delete BEFORE DELETE ON saga_journal
WHEN NOT EXISTS (SELECT 1 FROM saga_archives a WHERE a.order_id = OLD.order_id AND a.entries >= OLD.seq)
BEGIN
    SELECT RAISE(ABORT, 'saga_journal is append-only: DELETE is refused');
END;
-- +goose StatementEnd

-- +goose Down
-- The files stay; without the rows that tell of them the journals that are in them seem to be gone.
DROP TRIGGER saga_journal_no_delete;
-- +goose StatementBegin
CREATE TRIGGER saga_journal_no_delete BEFORE DELETE ON saga_journal
BEGIN
    SELECT RAISE(ABORT, 'saga_journal is append-only: DELETE is refused');
END;
-- +goose StatementEnd
DROP INDEX saga_journal_begun;
DROP TABLE saga_archives;
