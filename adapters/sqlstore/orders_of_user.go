package sqlstore

import (
	"context"
	"strings"

	"millrace/adapters/sqldb"
	analytics "millrace/app/analytics"
	app "millrace/app/order"
	"millrace/domain/fault"
	"millrace/domain/order"
)

// choose gives one order more than a page has, the newest first. A read model that cannot be read is done
// without: it makes a list cheaper, and never makes it fail.
func (s *Orders) choose(ctx context.Context, f app.Filter) ([]orderRecord, error) {
	if f.UserID != "" {
		rows, err := s.chosen(ctx, ofUser, f, narrow(f, "p.user_id", "p.order_id", "p.status", "p.placed_at"),
			narrow(f, "o.user_id", "o.id", "o.status", "o.created_at"))
		if err == nil || ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable {
			return rows, err
		}
		s.core.Logger.WarnContext(ctx, "the read model cannot be read; the orders are listed without it",
			"model", analytics.OrdersByUser, "error", err)
	}
	return s.chosen(ctx, ofAll, f, narrow(f, "o.user_id", "o.id", "o.status", "o.created_at"))
}

// watermark is the model's: every order below it has ended and is in the model.
const watermark = "coalesce((SELECT line FROM read_models WHERE name = '" + analytics.OrdersByUser + "'), '')"

// ofUser takes the orders below the watermark from the model and those from it on from where they are written,
// in one statement, which sees one moment. So an order is found from its 202 on, however far behind
// the model is; an order below the watermark does not change any more, so the model's word on it is the last.
var (
	ofUser = columnsOf("c") + " FROM (SELECT * FROM (" + columnsOf("o") +
		" FROM orders_by_user p JOIN orders o ON o.id = p.order_id WHERE p.order_id < " + watermark + "{1} ORDER BY p.order_id DESC LIMIT ?) below" +
		" UNION ALL SELECT * FROM (" + columnsOf("o") +
		" FROM orders o WHERE o.id >= " + watermark + "{2} ORDER BY o.id DESC LIMIT ?) above) c ORDER BY c.id DESC LIMIT ?"
	ofAll = columnsOf("o") + " FROM orders o WHERE TRUE{1} ORDER BY o.id DESC LIMIT ?"
)

func columnsOf(alias string) string {
	head, _, _ := strings.Cut(orderColumns, " FROM ")
	names := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(head, "SELECT"), ",", " "))
	return "SELECT " + alias + "." + strings.Join(names, ", "+alias+".")
}

// condition is what a filter wants, of columns by some names.
type condition struct {
	text string
	args []any
}

func narrow(f app.Filter, user, id, status, placed string) condition {
	var c condition
	restrict := func(given bool, condition string, value any) {
		if given {
			c.text += " AND " + condition + " ?"
			c.args = append(c.args, value)
		}
	}
	restrict(f.UserID != "", user+" =", f.UserID)
	restrict(f.Status != (order.Status{}), status+" =", f.Status.String())
	if status == "o.status" { // what is indexed of it is how an order ended, and that it has not
		restrict(f.Status.Terminal(), "o.ended =", f.Status.String())
		if f.Status != (order.Status{}) && !f.Status.Terminal() {
			c.text += " AND o.ended IS NULL"
		}
	}
	restrict(!f.From.IsZero(), placed+" >=", f.From.UTC())
	restrict(!f.To.IsZero(), placed+" <", f.To.UTC())
	restrict(f.Before != "", id+" <", string(f.Before))
	return c
}

// chosen reads the orders of a query whose {1} and {2} stand for the conditions.
func (s *Orders) chosen(ctx context.Context, query string, f app.Filter, conditions ...condition) ([]orderRecord, error) {
	var args []any
	for i, c := range conditions {
		query = strings.Replace(query, []string{"{1}", "{2}"}[i], c.text, 1)
		args = append(append(args, c.args...), f.Limit+1)
	}
	if len(conditions) > 1 {
		args = append(args, f.Limit+1)
	}
	db := s.core.DB.Read
	var rows []orderRecord
	err := db.SelectContext(ctx, &rows, db.Rebind(query), args...)
	return rows, sqldb.Classify(err)
}
