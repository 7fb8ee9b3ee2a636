-- +goose Up
-- A journal that can be changed proves nothing: the database itself refuses. Nothing deletes from
-- it; a retention of journals, when there is one, comes with a migration of its own that lets
-- through what was archived.
-- +goose StatementBegin
CREATE TRIGGER saga_journal_no_update BEFORE UPDATE ON saga_journal
BEGIN
    SELECT RAISE(ABORT, 'saga_journal is append-only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER saga_journal_no_delete BEFORE DELETE ON saga_journal
BEGIN
    SELECT RAISE(ABORT, 'saga_journal is append-only: DELETE is refused');
END;
-- +goose StatementEnd
-- INSERT OR REPLACE deletes without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER saga_journal_no_replace BEFORE INSERT ON saga_journal
WHEN EXISTS (SELECT 1 FROM saga_journal j WHERE j.order_id = NEW.order_id AND j.seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'saga_journal is append-only: REPLACE is refused');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER saga_journal_no_replace;
DROP TRIGGER saga_journal_no_delete;
DROP TRIGGER saga_journal_no_update;
