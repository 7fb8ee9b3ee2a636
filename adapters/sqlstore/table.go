package sqlstore

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/adapters/sqldb"
)

// table is one way of writing rows of a table: any number of rows, one statement a transaction (in SQLite, which has no arrays, a few). How a kind of row
// is written is said where its table is made, beside the store that stages it:
//
//	insert(name, columns, conflict)      the rows are new; conflict says what becomes of those that are there already
//	update(name, set, where, columns)    the rows, as v, say what is written and where; each has to find its own
//	remove(name, columns)                what has these values is deleted
//
//	.lastPerKey()                        of several rows with the same first column the last is written
//	.allowNoMatch()                      an update may find nothing
//	.mustTakeEffect()                    an insert that changes nothing is an ErrStale
//	.returningFirst(n)                   it is told which rows took effect, by their first n columns
//	.runLast()                           it comes behind all others, and reads what they have written
//	.writes(column, cell)                the column is not the parameter itself, but an expression around it
//
// PostgreSQL gets a column an array ("FROM unnest($1::text[], …)"), so that the text is the same for
// any number of rows and is prepared once a connection. SQLite, which has no arrays, gets rows of
// parameters, in numbers that are powers of two, so that few texts are compiled.
type table struct {
	name      string
	phase     phase
	columns   []column
	head      string // up to the rows
	tail      string // behind the rows
	derived   bool   // the rows are a table, v, that the statement selects from
	strict    bool   // a row that changes nothing means that it was stale
	oneAKey   bool   // of several rows with the same first column only the last counts
	returning int    // that many columns, the first ones, are given back for rows that took effect

	once sync.Once
	text string // PostgreSQL's, made once
}

// phase orders the statements of a transaction: what is new comes before what changes it, and that before what goes.
type phase int

const (
	inserts phase = iota
	updates
	removes
	afterAll
)

// column is a name, an SQL type of PostgreSQL, and what is written: "?", or an expression around
// it. In that, {plus} stands for the database's clock moved by the parameter in microseconds, and
// {now} for that clock: that is all in which the dialects differ.
type column struct{ name, sqlType, cell string }

// insert makes a table whose rows are inserted. Columns are given as "name type" with commas
// between; conflict says what happens to those there already.
func insert(name, columns, conflict string) *table {
	t := &table{name: name, phase: inserts, columns: parse(columns), tail: " " + conflict}
	t.head = "INSERT INTO " + name + " (" + t.first(len(t.columns)) + ") "
	return t
}

// update makes a table whose rows are updated by set: what is written and where, in terms of v,
// whose columns are those given.
func update(name, set, where, columns string) *table {
	return &table{
		name: name, phase: updates, derived: true, columns: parse(columns), strict: true,
		head: "UPDATE " + name + " SET " + set + " FROM ", tail: " WHERE " + where,
	}
}

// remove makes a table whose rows are deleted by the columns given.
func remove(name, columns string) *table {
	t := &table{name: name, phase: removes, columns: parse(columns), tail: ")"}
	t.head = "DELETE FROM " + name + " WHERE (" + t.first(len(t.columns)) + ") IN ("
	return t
}

// first lists the names of the first n columns.
func (t *table) first(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = t.columns[i].name
	}
	return strings.Join(names, ", ")
}

func parse(columns string) []column {
	var all []column
	for _, c := range strings.Split(columns, ",") {
		name, sqlType, found := strings.Cut(strings.TrimSpace(c), " ")
		if !found {
			panic("sqlstore: a column without a type: " + c) // a mistake in this package, seen by every test
		}
		all = append(all, column{name: name, sqlType: sqlType, cell: "?"})
	}
	return all
}

// writes says what is written into a column instead of the bare parameter.
func (t *table) writes(name, cell string) *table {
	for i := range t.columns {
		if t.columns[i].name == name {
			t.columns[i].cell = cell
		}
	}
	return t
}

// mustTakeEffect makes a row that changes nothing an ErrStale.
func (t *table) mustTakeEffect() *table {
	t.strict = true
	return t
}

// allowNoMatch lets rows change nothing.
func (t *table) allowNoMatch() *table {
	t.strict = false
	return t
}

// lastPerKey makes later rows with the same first column replace earlier ones: one statement cannot
// write a row twice.
func (t *table) lastPerKey() *table {
	t.oneAKey = true
	return t
}

// runLast makes the statement the last of its transaction: it reads what the others have written.
func (t *table) runLast() *table {
	t.phase = afterAll
	return t
}

// returningFirst makes the statement give back the first n columns of the rows that took effect.
func (t *table) returningFirst(n int) *table {
	t.returning = n
	t.tail += " RETURNING " + t.first(n)
	return t
}

// parameters is how many a statement may have in SQLite, whose limit is 32,766.
const parameters = 30000

// statements are as few as can be: one in PostgreSQL.
func (t *table) statements(d sqldb.Dialect, rows [][]any) []sqldb.Statement {
	if d == sqldb.Postgres {
		t.once.Do(func() { t.text = t.forPostgres() })
		return []sqldb.Statement{{Query: t.text, Args: t.arrays(rows), Returns: t.returning > 0}}
	}
	var all []sqldb.Statement
	most := max(1, parameters/len(t.columns))
	for len(rows) > 0 {
		n := powerOfTwo(min(most, len(rows)))
		args := make([]any, 0, n*len(t.columns))
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		all = append(all, sqldb.Statement{Query: t.forSQLite(n), Args: args, Returns: t.returning > 0})
		rows = rows[n:]
	}
	return all
}

// powerOfTwo is the largest that is not above n.
func powerOfTwo(n int) int {
	p := 1
	for p*2 <= n {
		p *= 2
	}
	return p
}

func (t *table) forPostgres() string {
	d := sqldb.Postgres
	arrays, cells := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, c := range t.columns {
		arrays[i] = "$" + strconv.Itoa(i+1) + "::" + c.sqlType + "[]"
		cells[i] = express(d, c.cell, "v."+c.name)
	}
	rows := "unnest(" + strings.Join(arrays, ", ") + ") AS v(" + t.first(len(t.columns)) + ")"
	if !t.derived {
		rows = "SELECT " + strings.Join(cells, ", ") + " FROM " + rows
	}
	return t.head + rows + t.tail
}

func (t *table) forSQLite(n int) string {
	d := sqldb.SQLite
	cells := make([]string, len(t.columns))
	for i, c := range t.columns {
		cells[i] = express(d, c.cell, "?")
	}
	row := "(" + strings.Join(cells, ", ") + ")"
	rows := "VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
	if !t.derived {
		return t.head + rows + t.tail
	}
	names := make([]string, len(t.columns)) // SQLite numbers the columns of VALUES and cannot rename them
	for i, c := range t.columns {
		names[i] = "column" + strconv.Itoa(i+1) + " AS " + c.name
	}
	return t.head + "(SELECT " + strings.Join(names, ", ") + " FROM (" + rows + ")) AS v" + t.tail
}

func express(d sqldb.Dialect, cell, value string) string {
	cell = strings.ReplaceAll(cell, "{now}", d.Now())
	if strings.Contains(cell, "{plus}") {
		return strings.ReplaceAll(cell, "{plus}", d.NowPlus(value))
	}
	return strings.ReplaceAll(cell, "?", value)
}

// arrays turns rows into columns, each of one Go type, as pgx wants them.
func (t *table) arrays(rows [][]any) []any {
	args := make([]any, len(t.columns))
	for i, c := range t.columns {
		switch c.sqlType {
		case "text":
			args[i] = collect(rows, i, must[string])
		case "integer", "bigint":
			args[i] = collect(rows, i, whole)
		case "boolean":
			args[i] = collect(rows, i, must[bool])
		case "timestamptz":
			args[i] = collect(rows, i, must[time.Time])
		case "bytea":
			args[i] = collect(rows, i, must[[]byte])
		default:
			panic("sqlstore: no array of " + c.sqlType)
		}
	}
	return args
}

func collect[T any](rows [][]any, column int, as func(any) T) []T {
	all := make([]T, len(rows))
	for i, r := range rows {
		all[i] = as(r[column])
	}
	return all
}

// must gives a value its type. Another one is a mistake in this package, seen by every test.
func must[T any](v any) T {
	typed, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("sqlstore: %T where %T is to be written", v, typed))
	}
	return typed
}

func whole(v any) int64 {
	switch n := v.(type) {
	case int:
		return int64(n)
	case int32:
		return int64(n)
	case int64:
		return n
	default:
		panic(fmt.Sprintf("sqlstore: %T is no whole number", v))
	}
}

// toWrite gives the rows that count: of several with the same key the last, at its place.
func (t *table) toWrite(rows [][]any) [][]any {
	if !t.oneAKey || len(rows) < 2 {
		return rows
	}
	at := make(map[any]int, len(rows))
	for i, r := range rows {
		at[r[0]] = i
	}
	if len(at) == len(rows) {
		return rows
	}
	kept := make([][]any, 0, len(at))
	for i, r := range rows {
		if at[r[0]] == i {
			kept = append(kept, r)
		}
	}
	return kept
}
