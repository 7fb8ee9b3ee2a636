// Package sqldb opens the databases of both stacks and hides what differs between them: how to
// connect, how to say "now" and "for update", and what an error means. No table of a service may
// be named here.
package sqldb

// Dialect is one of the two SQL dialects that Millrace speaks. The set is closed.
type Dialect struct{ name string }

// The dialects.
var (
	Postgres = Dialect{"postgres"}
	SQLite   = Dialect{"sqlite"}
)

// String gives the dialect's name, which is also its folder under migrations/.
func (d Dialect) String() string { return d.name }

// Now is the database's own clock as an expression that compares with the time columns.
func (d Dialect) Now() string {
	if d == SQLite {
		return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	}
	return "clock_timestamp()"
}

// NowPlus is the database's clock moved by a parameter in microseconds, as an expression.
func (d Dialect) NowPlus(placeholder string) string {
	if d == SQLite {
		return "(" + d.Now() + " + " + placeholder + ")"
	}
	return "(clock_timestamp() + " + placeholder + " * interval '1 microsecond')"
}

// ForUpdate locks the rows of a SELECT until the end of the transaction. SQLite has one writer,
// which is lock enough.
func (d Dialect) ForUpdate() string {
	if d == SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// SkipLocked locks the rows of a SELECT and passes over those that somebody else has locked.
func (d Dialect) SkipLocked() string {
	if d == SQLite {
		return ""
	}
	return " FOR UPDATE SKIP LOCKED"
}
