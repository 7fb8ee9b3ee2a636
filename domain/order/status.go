package order

import "fmt"

// Status is where an order is, as its customer sees it. The set is closed: outside this package
// a Status is one of the variables below or comes from ParseStatus.
type Status struct{ name string }

// The states of an order. Failed, Confirmed and Cancelled absorb.
var (
	Pending    = Status{"PENDING"}    // accepted, not yet seen by the saga
	Processing = Status{"PROCESSING"} // payment is awaited
	Paid       = Status{"PAID"}       // paid, stock is awaited
	Confirmed  = Status{"CONFIRMED"}  // paid and reserved
	Failed     = Status{"FAILED"}     // ended without a sale, everything undone
	Cancelled  = Status{"CANCELLED"}  // ended by the customer's wish, everything undone
)

// Statuses lists every status in the order of an order's life.
var Statuses = []Status{Pending, Processing, Paid, Confirmed, Failed, Cancelled}

var next = map[Status][]Status{
	Pending:    {Processing, Failed, Cancelled},
	Processing: {Paid, Failed, Cancelled},
	Paid:       {Confirmed, Failed, Cancelled},
}

// String gives the name that the API shows.
func (s Status) String() string { return s.name }

// Terminal says whether no move leads out of s.
func (s Status) Terminal() bool { return s.name != "" && len(next[s]) == 0 }

// CanBecome says whether the table allows the move from s to t in one step.
func (s Status) CanBecome(t Status) bool {
	for _, n := range next[s] {
		if n == t {
			return true
		}
	}
	return false
}

// Reaches says whether t is s, or lies ahead of it by allowed moves.
func (s Status) Reaches(t Status) bool {
	if s == t {
		return true
	}
	for _, n := range next[s] {
		if n.Reaches(t) {
			return true
		}
	}
	return false
}

// ParseStatus takes a name as String gives it.
func ParseStatus(name string) (Status, error) {
	for _, s := range Statuses {
		if s.name == name {
			return s, nil
		}
	}
	return Status{}, fmt.Errorf("unknown order status %q", name)
}

// MarshalText makes a status its name in JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.name), nil }

// UnmarshalText fails for a name that is no status.
func (s *Status) UnmarshalText(text []byte) error {
	parsed, err := ParseStatus(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}
