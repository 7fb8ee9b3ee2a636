package projections

import (
	"fmt"
	"strings"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
)

// model is a read model: a table with a row an order, and what is added up from it.
type model struct {
	name   string
	tables []table // the one with a row an order first
	row    func(app.Ended) []any
	sums   bool // the second table is daily_sales
}

// table is one of a model's tables, as the migrations make it; a test compares the two.
type table struct {
	name    string
	columns []column // those of the key first
	key     int      // how many
}

type column struct{ name, sqlType string }

func (t table) shadow() string { return t.name + "_shadow" }
func (t table) old() string    { return t.name + "_old" }

var models = map[string]model{
	app.OrdersByUser: {
		name: app.OrdersByUser,
		tables: []table{{"orders_by_user", []column{
			{"user_id", "TEXT"}, {"order_id", "TEXT"}, {"status", "TEXT"}, {"reason", "TEXT"}, {"currency", "TEXT"}, {"total", "BIGINT"},
			{"placed_at", "TIMESTAMPTZ"},
		}, 2}},
		row: func(o app.Ended) []any {
			return []any{o.UserID, o.OrderID, o.Status, o.Reason, o.Currency, o.Total, o.PlacedAt}
		},
	},
	app.DailySales: {
		name: app.DailySales,
		tables: []table{
			{"daily_sales_orders", []column{{"order_id", "TEXT"}, {"day", "TEXT"}, {"currency", "TEXT"}, {"status", "TEXT"}, {"total", "BIGINT"}}, 1},
			{"daily_sales", []column{
				{"day", "TEXT"}, {"currency", "TEXT"}, {"confirmed", "BIGINT"}, {"revenue", "BIGINT"}, {"failed", "BIGINT"}, {"cancelled", "BIGINT"},
			}, 2},
		},
		row: func(o app.Ended) []any {
			return []any{o.OrderID, o.Day(), o.Currency, o.Status, o.Total}
		},
		sums: true,
	},
}

// create makes the table under a name.
func (t table) create(name string, d sqldb.Dialect) string {
	var lines []string
	for _, c := range t.columns {
		if c.sqlType == "TIMESTAMPTZ" && d == sqldb.SQLite {
			c.sqlType = "TIMESTAMP"
		}
		lines = append(lines, c.name+" "+c.sqlType+" NOT NULL")
	}
	lines = append(lines, "PRIMARY KEY ("+strings.Join(t.names(t.key, ""), ", ")+")")
	return "CREATE TABLE " + name + " (" + strings.Join(lines, ", ") + ")"
}

// names gives the first n columns, each with a prefix.
func (t table) names(n int, prefix string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = prefix + t.columns[i].name
	}
	return all
}

// insert puts a row into the shadow, once.
func (t table) insert() string {
	return "INSERT INTO " + t.shadow() + " (" + strings.Join(t.names(len(t.columns), ""), ", ") + ") VALUES (?" +
		strings.Repeat(", ?", len(t.columns)-1) + ") ON CONFLICT DO NOTHING"
}

// same is the condition that two rows are of the same order.
func (t table) same(a, b string) string {
	var all []string
	for _, c := range t.columns[:t.key] {
		all = append(all, a+"."+c.name+" = "+b+"."+c.name)
	}
	return strings.Join(all, " AND ")
}

// ofOrder is the condition that a row s is of the order o.
func (t table) ofOrder() string {
	if t.key == 2 {
		return "s.user_id = o.user_id AND s.order_id = o.id"
	}
	return "s.order_id = o.id"
}

// text writes a row, or half of one, in a way that depends on its values alone.
func text(values []any) string {
	var b strings.Builder
	for _, v := range values {
		if bytes, ok := v.([]byte); ok {
			v = string(bytes)
		}
		if at, ok := v.(time.Time); ok {
			v = at.UTC().UnixMicro()
		}
		fmt.Fprintf(&b, "%q", fmt.Sprint(v))
	}
	return b.String()
}
