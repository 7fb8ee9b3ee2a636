package journal

import (
	"context"

	"millrace/adapters/sqldb"
)

// Schema is the migration of ordering's database that gave the journal, and what is beside it in a history,
// the shape that is read here. A test fails when a later one touches it: then this number follows.
const Schema = 14

// Check fails with sqldb.ErrVersion when a database is older than the journal's present shape. A database
// that is behind or ahead of this build otherwise is read as it is: a branch that brings a migration is asked
// about the live database before it is deployed, and an older build reads what a newer one has left. Whoever
// writes needs sqldb.Check.
func Check(ctx context.Context, ordering *sqldb.DB) error {
	return sqldb.CheckAtLeast(ctx, ordering, "orders", Schema)
}
