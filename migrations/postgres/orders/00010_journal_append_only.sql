-- +goose Up
-- A journal that can be changed proves nothing: the database itself refuses. Nothing deletes from
-- it; a retention of journals, when there is one, comes with a migration of its own that lets
-- through what was archived.
-- +goose StatementBegin
CREATE FUNCTION saga_journal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'saga_journal is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER saga_journal_append_only BEFORE UPDATE OR DELETE ON saga_journal
    FOR EACH ROW EXECUTE FUNCTION saga_journal_refuse();
CREATE TRIGGER saga_journal_no_truncate BEFORE TRUNCATE ON saga_journal
    FOR EACH STATEMENT EXECUTE FUNCTION saga_journal_refuse();

-- +goose Down
DROP TRIGGER saga_journal_no_truncate ON saga_journal;
DROP TRIGGER saga_journal_append_only ON saga_journal;
DROP FUNCTION saga_journal_refuse();
