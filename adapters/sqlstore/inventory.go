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
	stockRow = update("stock", "reserved = v.reserved", "stock.sku = v.sku", "sku text, reserved integer").lastPerKey()

	// There is nothing to lock before a reservation is there. So a new one must not meet another:
	// where it does, the unit is run again and sees that one.
	reservationNew = insert("reservations",
		"order_id text, state text, lines text, created_at timestamptz, updated_at timestamptz", "")
	reservationMoved = update("reservations", "state = v.state, updated_at = v.updated_at", "reservations.order_id = v.order_id",
		"order_id text, state text, updated_at timestamptz").lastPerKey()
)

// Every transaction of this service locks reservations first and then stock, each in the order of
// their keys: no two of them can wait for each other.
var (
	reservations = &loader[string, reservationRecord]{"reservations", readReservations}
	stock        = &loader[string, stockRecord]{"stock", readStock}
)

// Inventory is the inventory service's state.
type Inventory struct{ core *Core }

// NewInventory makes the store.
func NewInventory(core *Core) *Inventory { return &Inventory{core} }

// Do runs fn in one transaction; see app/inventory.Work.
func (s *Inventory) Do(ctx context.Context, fn func(app.Tx) error) error {
	return s.core.do(ctx, func(u *unit) error { return fn(&inventoryTx{u}) }, byOrder[reservationRecord]{reservations})
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

type inventoryTx struct{ *unit }

type reservationRecord struct {
	OrderID string `db:"order_id"`
	State   string `db:"state"`
	Lines   string `db:"lines"`
}

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
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	rows, err := stock.get(t.unit, wanted...)
	if err != nil {
		return nil, err
	}
	var levels []inventory.Level
	for _, sku := range wanted {
		if r, ok := rows[sku]; ok {
			levels = append(levels, r.level())
		}
	}
	return inventory.NewShelf(orderID, levels, reservation), nil
}

func readStock(b *batch, skus []string) reading[string, stockRecord] {
	query := "SELECT sku, on_hand, reserved FROM stock WHERE " + b.among("sku") + " ORDER BY sku" + b.core.DB.Dialect.ForUpdate()
	return byKey(new([]stockRecord), func(r stockRecord) string { return r.SKU }, query, b.set(skus))
}

func (t *inventoryTx) reservation(orderID string) (*inventory.Reservation, error) {
	rows, err := reservations.get(t.unit, orderID)
	if err != nil {
		return nil, err
	}
	row, ok := rows[orderID]
	if !ok {
		return nil, nil
	}
	r := &inventory.Reservation{OrderID: orderID, State: inventory.RestoreState(row.State)}
	if err := json.Unmarshal([]byte(row.Lines), &r.Lines); err != nil {
		return nil, fmt.Errorf("lines of reservation %s: %w", orderID, err)
	}
	return r, nil
}

func readReservations(b *batch, orderIDs []string) reading[string, reservationRecord] {
	query := "SELECT order_id, state, lines FROM reservations WHERE " + b.among("order_id") + " ORDER BY order_id" + b.core.DB.Dialect.ForUpdate()
	return byKey(new([]reservationRecord), func(r reservationRecord) string { return r.OrderID }, query, b.set(orderIDs))
}

func (t *inventoryTx) Keep(s *inventory.Shelf) {
	for _, level := range s.Touched() {
		t.stage(stockRow, level.SKU, level.Reserved)
		stock.put(t.unit, level.SKU, stockRecord{SKU: level.SKU, OnHand: level.OnHand, Reserved: level.Reserved})
	}
	r := s.Reservation()
	if r == nil {
		return
	}
	record := reservationRecord{OrderID: r.OrderID, State: r.State.String(), Lines: jsonText(r.Lines)}
	if _, there := reservations.of(t.batch).rows[r.OrderID]; there {
		t.stage(reservationMoved, record.OrderID, record.State, t.now)
	} else {
		t.stage(reservationNew, record.OrderID, record.State, record.Lines, t.now, t.now)
	}
	reservations.put(t.unit, r.OrderID, record)
}
