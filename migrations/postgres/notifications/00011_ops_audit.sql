-- +goose Up
-- Every act of an operator, who did it and why: line 1 is written in the transaction of the act itself,
-- the lines behind it say what became of it. Rows are only ever added; the database refuses the rest.
CREATE TABLE ops_audit (
    id       TEXT        NOT NULL,
    line     INTEGER     NOT NULL,
    at       TIMESTAMPTZ NOT NULL,
    act      TEXT        NOT NULL,
    target   TEXT        NOT NULL,
    order_id TEXT        NOT NULL,
    version  INTEGER     NOT NULL,
    plan     TEXT        NOT NULL,
    actor    TEXT        NOT NULL,
    reason   TEXT        NOT NULL,
    outcome  TEXT        NOT NULL,
    detail   TEXT        NOT NULL,
    PRIMARY KEY (id, line)
);
CREATE INDEX ops_audit_at ON ops_audit (at);
CREATE INDEX ops_audit_order ON ops_audit (order_id);
CREATE INDEX ops_audit_plan ON ops_audit (plan);
-- +goose StatementBegin
CREATE FUNCTION ops_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ops_audit is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER ops_audit_append_only BEFORE UPDATE OR DELETE ON ops_audit
    FOR EACH ROW EXECUTE FUNCTION ops_audit_refuse();
CREATE TRIGGER ops_audit_no_truncate BEFORE TRUNCATE ON ops_audit
    FOR EACH STATEMENT EXECUTE FUNCTION ops_audit_refuse();

-- +goose Down
DROP TABLE ops_audit;
DROP FUNCTION ops_audit_refuse();
