package order

import (
	"slices"
	"time"

	"millrace/domain/fault"
	"millrace/domain/order"
)

// ScopeAll is what an operator's token holds: whoever has it sees, lists, cancels and places the orders of every user.
const ScopeAll = "orders:all"

// ErrForbiddenUser: the caller named a user whom they may not act for.
var ErrForbiddenUser = fault.New(fault.Invalid, "forbidden_user", "you may act for your own user alone: give the userId that your token names, or use a token with the scope "+ScopeAll)

// Caller is who asks, and so whose orders may be touched. The zero Caller may touch none.
type Caller struct {
	user order.UserID
	all  bool
	ends time.Time // when the proof of who they are is over; zero where it never is
}

// Anyone is the caller where nobody is asked who they are: every order may be touched.
func Anyone() Caller { return Caller{all: true} }

// Identified is the caller whose user id and scopes were proven. It fails with fault.Invalid when the id is not of the
// form that a user's has.
func Identified(user string, scopes []string) (Caller, error) {
	id, err := order.ParseUserID(user)
	if err != nil {
		return Caller{}, err
	}
	return Caller{user: id, all: slices.Contains(scopes, ScopeAll)}, nil
}

// Until is the caller with the time at which the proof of who they are is over.
func (c Caller) Until(ends time.Time) Caller {
	c.ends = ends
	return c
}

// Ends is that time, and false where there is none. What goes on for longer than a request, such as a stream, ends then.
func (c Caller) Ends() (time.Time, bool) { return c.ends, !c.ends.IsZero() }

// ActsFor fails with ErrForbiddenUser unless the caller may place orders for that user. Whoever takes a Request in asks
// this first: what stands behind it (the door, keys in flight, stored replies) answers by user and key alone.
func (c Caller) ActsFor(user string) error {
	if !c.owns(order.UserID(user)) {
		return ErrForbiddenUser
	}
	return nil
}

// owns says whether orders of that user may be touched.
func (c Caller) owns(user order.UserID) bool { return c.all || c.user != "" && c.user == user }

// within is the filter kept to what the caller may see. It fails with ErrForbiddenUser when it asks for somebody else's.
func (c Caller) within(f Filter) (Filter, error) {
	if f.UserID != "" || c.all {
		return f, c.ActsFor(f.UserID)
	}
	if c.user == "" {
		return f, ErrForbiddenUser // an empty filter would be everybody's
	}
	f.UserID = string(c.user)
	return f, nil
}
