// Package inventory keeps stock: what is on hand, what is set aside for orders, and which orders
// may no longer reserve. It knows no clock and no I/O.
package inventory

import "sort"

// Line is a number of pieces of one SKU.
type Line struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

// Level is the stock of one SKU. Reserved never exceeds OnHand.
type Level struct {
	SKU      string
	OnHand   int
	Reserved int
}

// Available is what can still be reserved.
func (l Level) Available() int { return l.OnHand - l.Reserved }

// Shortage says why a line could not be reserved.
type Shortage struct {
	SKU       string
	Wanted    int
	Available int
}

// State is where an order's reservation is. The set is closed.
type State struct{ name string }

// The states of a reservation.
var (
	Held     = State{"held"}     // the pieces are set aside
	Refused  = State{"refused"}  // there were too few
	Released = State{"released"} // set aside once, free again
	Barred   = State{"barred"}   // the release came first: a tombstone
)

// String gives the name that is stored.
func (s State) String() string { return s.name }

// RestoreState gives a stored name back its type; only adapters call it.
func RestoreState(name string) State { return State{name} }

// Reservation is what one order has, had, or may not have.
type Reservation struct {
	OrderID string
	State   State
	Lines   []Line
}

// Shelf is the part of the stock that one order touches, with that order's reservation.
type Shelf struct {
	orderID     string
	levels      map[string]Level
	reservation *Reservation
	touched     map[string]bool
}

// NewShelf puts levels and the order's reservation, nil when it has none, together.
func NewShelf(orderID string, levels []Level, reservation *Reservation) *Shelf {
	s := &Shelf{orderID: orderID, levels: make(map[string]Level, len(levels)), touched: map[string]bool{}}
	for _, l := range levels {
		s.levels[l.SKU] = l
	}
	if reservation != nil {
		r := *reservation
		s.reservation = &r
	}
	return s
}

// Verdict says how a wish to reserve ended. The set is closed.
type Verdict struct{ name string }

// The verdicts of Reserve.
var (
	Reserved   = Verdict{"reserved"}     // every line is set aside
	OutOfStock = Verdict{"out_of_stock"} // nothing is; Shortages say why
	TooLate    = Verdict{"barred"}       // nothing is; the order was undone before
	Known      = Verdict{"known"}        // it was decided before; nothing changed
)

// Reserve sets every line aside, or none. An order that was released before may not reserve.
func (s *Shelf) Reserve(lines []Line) (Verdict, []Shortage) {
	if s.reservation != nil {
		if s.reservation.State == Barred || s.reservation.State == Released {
			return TooLate, nil
		}
		return Known, nil
	}
	var short []Shortage
	for _, l := range lines {
		if have := s.levels[l.SKU].Available(); have < l.Qty {
			short = append(short, Shortage{l.SKU, l.Qty, have})
		}
	}
	if short != nil {
		s.reservation = &Reservation{OrderID: s.orderID, State: Refused, Lines: lines}
		return OutOfStock, short
	}
	for _, l := range lines {
		s.move(l.SKU, l.Qty)
	}
	s.reservation = &Reservation{OrderID: s.orderID, State: Held, Lines: lines}
	return Reserved, nil
}

// Release frees what the order holds and bars it from reserving later. It gives the lines that
// became free, none when nothing was held.
func (s *Shelf) Release() []Line {
	switch {
	case s.reservation == nil:
		s.reservation = &Reservation{OrderID: s.orderID, State: Barred}
		return nil
	case s.reservation.State == Held:
		freed := s.reservation.Lines
		for _, l := range freed {
			s.move(l.SKU, -l.Qty)
		}
		s.reservation.State = Released
		return freed
	case s.reservation.State == Refused:
		s.reservation.State = Barred
	}
	return nil
}

func (s *Shelf) move(sku string, qty int) {
	l := s.levels[sku]
	l.SKU = sku
	l.Reserved += qty
	s.levels[sku] = l
	s.touched[sku] = true
}

// Touched gives the levels that were changed, in SKU order.
func (s *Shelf) Touched() []Level {
	out := make([]Level, 0, len(s.touched))
	for sku := range s.touched {
		out = append(out, s.levels[sku])
	}
	sort.Slice(out, func(i, j int) bool { return out[i].SKU < out[j].SKU })
	return out
}

// Reservation gives the order's reservation, nil when it has none.
func (s *Shelf) Reservation() *Reservation { return s.reservation }
