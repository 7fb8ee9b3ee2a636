-- +goose Up
-- What the retention of journals has put into files. A row says that the first entries of a saga's
-- journal, with the hash of the last of them, lie in a file of that name, whole and on the disk. It can
-- only be written for a saga that has ended and has written exactly that, and it is never changed: what
-- reaches the saga later stays in saga_journal, chained to the hash that stands here.
SET LOCAL statement_timeout = 0; -- a large table takes longer than a session's statement may
CREATE TABLE saga_archives (
    order_id    TEXT        NOT NULL PRIMARY KEY,
    entries     INTEGER     NOT NULL CHECK (entries > 0),
    hash        TEXT        NOT NULL,
    file        TEXT        NOT NULL CHECK (file <> ''),
    archived_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX saga_archives_file ON saga_archives (file);
-- Journals from their beginning, the oldest first: those that are archived have none.
CREATE INDEX saga_journal_begun ON saga_journal (at, order_id) WHERE seq = 1;

-- The functions look into this schema whoever calls them.
-- +goose StatementBegin
CREATE FUNCTION saga_archives_check() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT 1 FROM sagas s WHERE s.order_id = NEW.order_id AND s.step IN ('confirmed', 'failed', 'cancelled')
                AND s.journal_seq = NEW.entries AND s.journal_hash = NEW.hash) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'saga_archives: the saga % has not ended, or its journal is another one', NEW.order_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RAISE EXCEPTION 'saga_archives is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER saga_archives_append_only BEFORE INSERT OR UPDATE OR DELETE ON saga_archives
    FOR EACH ROW EXECUTE FUNCTION saga_archives_check();
CREATE TRIGGER saga_archives_no_truncate BEFORE TRUNCATE ON saga_archives
    FOR EACH STATEMENT EXECUTE FUNCTION saga_archives_check();

-- Entries that are archived may be deleted, and no others.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION saga_journal_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM saga_archives a WHERE a.order_id = OLD.order_id AND a.entries >= OLD.seq) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'saga_journal is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

-- +goose Down
-- The files stay; without the rows that tell of them the journals that are in them seem to be gone.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION saga_journal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'saga_journal is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
DROP INDEX saga_journal_begun;
DROP TABLE saga_archives;
DROP FUNCTION saga_archives_check();
