-- +goose Up
-- Every act of an operator, who did it and why: line 1 is written in the transaction of the act itself,
-- the lines behind it say what became of it. Rows are only ever added; the database refuses the rest.
CREATE TABLE ops_audit (
    id       TEXT        NOT NULL,
    line     INTEGER     NOT NULL,
    at       TIMESTAMP   NOT NULL,
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
CREATE TRIGGER ops_audit_no_update BEFORE UPDATE ON ops_audit
BEGIN
    SELECT RAISE(ABORT, 'ops_audit is append-only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ops_audit_no_delete BEFORE DELETE ON ops_audit
BEGIN
    SELECT RAISE(ABORT, 'ops_audit is append-only: DELETE is refused');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE ops_audit;
