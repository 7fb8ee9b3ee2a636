package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Queue keeps statements for a batch instead of running them: whoever believes to write through it has
// written when the batch has run. Results are not known before, and are said to be none.
type Queue struct{ Statements []Statement }

// ExecContext never fails.
func (q *Queue) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	q.Statements = append(q.Statements, Statement{Query: query, Args: args})
	return driver.ResultNoRows, nil
}
