package sqlstore

import (
	"strings"

	"millrace/adapters/sqldb"
)

// table is one way of writing rows of a table: any number of rows, one statement. The same text
// serves both dialects: "INSERT … VALUES rows ON CONFLICT …" or "UPDATE … FROM (VALUES rows) …".
type table struct {
	name   string
	before string   // up to the rows
	row    []string // a cell each: "?", or an expression around it
	after  string   // behind the rows
	every  bool     // a row that changes nothing means that it was stale
}

// In a cell, {now} stands for the database's clock and {plus} for that clock moved by a
// parameter in microseconds: that is all in which the dialects differ.

// insert makes a table whose rows are inserted; conflict says what happens to those there already.
func insert(name, columns, conflict string, cells ...string) *table {
	if len(cells) == 0 {
		cells = make([]string, strings.Count(columns, ",")+1)
		for i := range cells {
			cells[i] = "?"
		}
	}
	return &table{
		name: name, row: cells, after: " " + conflict,
		before: "INSERT INTO " + name + " (" + columns + ") VALUES ",
	}
}

// mustTakeEffect makes a row that changes nothing an ErrStale.
func (t *table) mustTakeEffect() *table {
	t.every = true
	return t
}

// mayMiss lets rows change nothing.
func (t *table) mayMiss() *table {
	t.every = false
	return t
}

// update makes a table whose rows are updated by set: what is written and where, in terms of v,
// whose columns are column1, column2 and so on, each of the given SQL type.
func update(name, set, where string, types ...string) *table {
	cells := make([]string, len(types))
	for i, t := range types {
		cells[i] = "CAST(? AS " + t + ")"
	}
	return &table{
		name: name, row: cells, every: true,
		before: "UPDATE " + name + " SET " + set + " FROM (VALUES ",
		after:  ") AS v WHERE " + where,
	}
}

// remove makes a table whose rows are deleted by key.
func remove(name, where string, types ...string) *table {
	cells := make([]string, len(types))
	for i, t := range types {
		cells[i] = "CAST(? AS " + t + ")"
	}
	return &table{
		name: name, row: cells,
		before: "DELETE FROM " + name + " WHERE (" + where + ") IN (VALUES ",
		after:  ")",
	}
}

// parameters is how many a statement may have: SQLite's limit is 32,766, PostgreSQL's 65,535.
const parameters = 30000

// write writes the rows and gives how many took effect.
func (t *table) write(u *unit, rows [][]any) (int64, error) {
	changed, err := u.tx.Batch(u.ctx, t.statements(u.core.DB.Dialect, rows))
	var total int64
	for _, n := range changed {
		total += n
	}
	return total, err
}

// statements are as few as the limit on parameters allows: usually one.
func (t *table) statements(d sqldb.Dialect, rows [][]any) []sqldb.Statement {
	var all []sqldb.Statement
	most := max(1, parameters/max(1, len(t.row)))
	for len(rows) > 0 {
		n := min(most, len(rows))
		query, args := t.statement(d, rows[:n])
		all = append(all, sqldb.Statement{Query: query, Args: args})
		rows = rows[n:]
	}
	return all
}

func (t *table) statement(d sqldb.Dialect, rows [][]any) (string, []any) {
	row := "(" + strings.Join(t.row, ", ") + ")"
	row = strings.ReplaceAll(row, "{plus}", d.NowPlus("?"))
	row = strings.ReplaceAll(row, "{now}", d.Now())
	var text strings.Builder
	text.WriteString(strings.ReplaceAll(t.before, "{now}", d.Now()))
	args := make([]any, 0, len(rows)*len(t.row))
	for i, r := range rows {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(row)
		args = append(args, r...)
	}
	text.WriteString(strings.ReplaceAll(t.after, "{now}", d.Now()))
	return text.String(), args
}
