package sqlstore

import (
	"context"
	"fmt"
	"slices"

	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/domain/inventory"
	"millrace/domain/payment"
	"millrace/sagas/engine"
	"millrace/sagas/operator"
	saga "millrace/sagas/order"
)

// bookOf is what a participant's books say of the steps that wait for it: the answer's name by the state in
// which they are, and the states in which it is at an undo.
type bookOf struct {
	service, query string
	answers        map[saga.Step]map[string]string
	working        map[saga.Step][]string
}

// says reads a state of the books for a step.
func (b bookOf) says(step saga.Step, state string) engine.Books {
	said := engine.Books{Answer: b.answers[step][state]}
	if slices.Contains(b.working[step], state) {
		said.Working = state
	}
	return said
}

var books = []bookOf{
	{messages.PaymentService, "SELECT order_id, state FROM payments WHERE {among}", map[saga.Step]map[string]string{
		saga.AwaitingPayment: {
			payment.Captured.String(): messages.PaymentSucceeded{}.Name(),
			payment.Declined.String(): messages.PaymentFailed{}.Name(),
		},
		saga.UndoingPayment: {
			payment.Refunded.String(): messages.PaymentRefunded{}.Name(),
			payment.Voided.String():   messages.PaymentRefunded{}.Name(),
			payment.Barred.String():   messages.PaymentRefunded{}.Name(),
			payment.Declined.String(): messages.PaymentRefunded{}.Name(),
		},
	}, map[saga.Step][]string{
		saga.UndoingPayment: {payment.Undoing.String(), payment.Refunding.String()},
	}},
	{messages.InventoryService, "SELECT order_id, state FROM reservations WHERE {among}", map[saga.Step]map[string]string{
		saga.AwaitingInventory: {
			inventory.Held.String():    messages.InventoryReserved{}.Name(),
			inventory.Refused.String(): messages.InventoryFailed{}.Name(),
		},
		saga.UndoingInventory: {
			inventory.Released.String(): messages.InventoryReleased{}.Name(),
			inventory.Barred.String():   messages.InventoryReleased{}.Name(),
		},
	}, nil}, // it releases in the transaction in which it is told to
}

// bookRecord is one order in a participant's books.
type bookRecord struct {
	OrderID string `db:"order_id"`
	State   string `db:"state"`
}

// booked finds what stands in the participants' books.
func (o *Operator) booked(ctx context.Context, all map[string]operator.Standing, orderIDs []string) error {
	for _, book := range books {
		var rows []bookRecord
		if err := o.selectAmong(ctx, o.of[book.service], &rows, book.query, "order_id", orderIDs); err != nil {
			return err
		}
		for _, r := range rows {
			s, ok := all[r.OrderID]
			if !ok {
				continue
			}
			if said := book.says(s.State.Step, r.State); said != (engine.Books{}) {
				s.Books = said
				all[r.OrderID] = s
			}
		}
	}
	return nil
}

// selecter reads in a transaction, or outside of one.
type selecter interface {
	SelectContext(ctx context.Context, into any, query string, args ...any) error
}

// Books reads the books of whoever the step waits for, as they are now. They are another database: what is
// read is committed there, and stays so whatever becomes of this transaction.
func (t *operatorTx) Books(ctx context.Context, orderID string, step saga.Step) (engine.Books, error) {
	for _, book := range books {
		if book.answers[step] == nil {
			continue
		}
		core := t.store.of[book.service]
		if core == nil {
			return engine.Books{}, fmt.Errorf("the books of %s are not open", book.service)
		}
		var read selecter = core.DB.Read
		if core.DB == t.core.DB {
			read = t.tx
		}
		query, order := amongOrders(core.DB, book.query, "order_id"), sqldb.Set(core.DB.Dialect, []string{orderID})
		var rows []bookRecord
		if err := read.SelectContext(ctx, &rows, query, order); err != nil {
			return engine.Books{}, fmt.Errorf("read the books of %s: %w", book.service, sqldb.Classify(err))
		}
		if len(rows) > 0 {
			return book.says(step, rows[0].State), nil
		}
	}
	return engine.Books{}, nil
}
