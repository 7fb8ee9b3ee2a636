package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"millrace/adapters/sqldb"
	app "millrace/app/inventory"
	"millrace/domain/inventory"
)

var (
	stockRow = update("stock", "reserved = v.column2", "stock.sku = v.column1", "TEXT", "INTEGER")

	// There is nothing to lock before a reservation is there. So a new one must not meet another:
	// where it does, the unit is run again and sees that one.
	reservationNew   = insert("reservations", "order_id, state, lines, created_at, updated_at", "")
	reservationMoved = update("reservations", "state = v.column2, updated_at = v.column3",
		"reservations.order_id = v.column1", "TEXT", "TEXT", "TIMESTAMPTZ")
)

// Inventory is the inventory service's state.
type Inventory struct{ core *Core }

// NewInventory makes the store.
func NewInventory(core *Core) *Inventory { return &Inventory{core} }

// Do runs fn in one transaction; see app/inventory.Work.
func (s *Inventory) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&inventoryTx{unit: u, loaded: map[string]bool{}}) })
}

type stockRecord struct {
	SKU      string `db:"sku"`
	OnHand   int    `db:"on_hand"`
	Reserved int    `db:"reserved"`
}

func (r stockRecord) level() inventory.Level {
	return inventory.Level{SKU: r.SKU, OnHand: r.OnHand, Reserved: r.Reserved}
}

// Levels gives every SKU's stock.
func (s *Inventory) Levels(ctx context.Context) ([]inventory.Level, error) {
	return s.levels(ctx, "SELECT sku, on_hand, reserved FROM stock ORDER BY sku")
}

// Level gives one SKU's stock.
func (s *Inventory) Level(ctx context.Context, sku string) (inventory.Level, error) {
	found, err := s.levels(ctx, "SELECT sku, on_hand, reserved FROM stock WHERE sku = ?", sku)
	if err != nil {
		return inventory.Level{}, err
	}
	if len(found) == 0 {
		return inventory.Level{}, notFound("stock", sku)
	}
	return found[0], nil
}

func (s *Inventory) levels(ctx context.Context, query string, args ...any) ([]inventory.Level, error) {
	var rows []stockRecord
	db := s.core.DB.Read
	if err := db.SelectContext(ctx, &rows, db.Rebind(query), args...); err != nil {
		return nil, fmt.Errorf("read stock: %w", sqldb.Classify(err))
	}
	levels := make([]inventory.Level, len(rows))
	for i, r := range rows {
		levels[i] = r.level()
	}
	return levels, nil
}

type inventoryTx struct {
	*unit
	loaded map[string]bool // orders whose reservation is there, and locked
}

// Shelf locks the order's reservation first and then stock in SKU order, as every transaction of
// this service does: no two of them can wait for each other.
func (t *inventoryTx) Shelf(_ context.Context, orderID string, skus []string) (*inventory.Shelf, error) {
	reservation, err := t.reservation(orderID)
	if err != nil {
		return nil, err
	}
	wanted := slices.Clone(skus)
	if reservation != nil {
		for _, line := range reservation.Lines {
			wanted = append(wanted, line.SKU)
		}
	}
	if len(wanted) == 0 {
		return inventory.NewShelf(orderID, nil, reservation), nil
	}
	slices.Sort(wanted)
	var rows []stockRecord
	query := "SELECT sku, on_hand, reserved FROM stock WHERE sku IN (?) ORDER BY sku" + t.core.DB.Dialect.ForUpdate()
	if err := t.in(&rows, query, slices.Compact(wanted)); err != nil {
		return nil, err
	}
	levels := make([]inventory.Level, len(rows))
	for i, r := range rows {
		levels[i] = r.level()
	}
	return inventory.NewShelf(orderID, levels, reservation), nil
}

func (t *inventoryTx) reservation(orderID string) (*inventory.Reservation, error) {
	var rows []struct {
		State string `db:"state"`
		Lines string `db:"lines"`
	}
	query := "SELECT state, lines FROM reservations WHERE order_id IN (?)" + t.core.DB.Dialect.ForUpdate()
	if err := t.in(&rows, query, []string{orderID}); err != nil || len(rows) == 0 {
		return nil, err
	}
	t.loaded[orderID] = true
	r := &inventory.Reservation{OrderID: orderID, State: inventory.RestoreState(rows[0].State)}
	if err := json.Unmarshal([]byte(rows[0].Lines), &r.Lines); err != nil {
		return nil, fmt.Errorf("lines of reservation %s: %w", orderID, err)
	}
	return r, nil
}

func (t *inventoryTx) Keep(s *inventory.Shelf) {
	for _, level := range s.Touched() {
		t.stage(stockRow, level.SKU, level.Reserved)
	}
	switch r := s.Reservation(); {
	case r == nil:
	case t.loaded[r.OrderID]:
		t.stage(reservationMoved, r.OrderID, r.State.String(), t.now)
	default:
		t.stage(reservationNew, r.OrderID, r.State.String(), jsonText(r.Lines), t.now, t.now)
	}
}
