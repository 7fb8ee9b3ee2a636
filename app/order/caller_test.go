package order_test

import (
	"context"
	"errors"
	"testing"

	"millrace/app/order"
	"millrace/domain/fault"
	domain "millrace/domain/order"
)

// shelf is two orders of two users, and remembers what it was asked for.
type shelf struct{ asked order.Filter }

func (s *shelf) Order(_ context.Context, id domain.ID) (*domain.Order, error) {
	user, ok := map[domain.ID]domain.UserID{"ord_1": "usr_001", "ord_2": "usr_002"}[id]
	if !ok {
		return nil, domain.ErrNotFound
	}
	return domain.Restore(domain.Snapshot{ID: id, UserID: user}), nil
}

func (s *shelf) List(_ context.Context, f order.Filter) ([]*domain.Order, bool, error) {
	s.asked = f
	return nil, false, nil
}

func identified(t *testing.T, user string, scopes ...string) order.Caller {
	t.Helper()
	caller, err := order.Identified(user, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

func TestACallerTouchesTheirOwnOrdersAndAnOperatorEverybodys(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		caller     order.Caller
		own, other bool
		lists      string // the user whose orders a list without a userId has; "-" for none at all
	}{
		"a user":                      {identified(t, "usr_001"), true, false, "usr_001"},
		"a user with another scope":   {identified(t, "usr_001", "orders:al", "orders"), true, false, "usr_001"},
		"an operator":                 {identified(t, "ops", "profile", order.ScopeAll), true, true, ""},
		"anyone":                      {order.Anyone(), true, true, ""},
		"a caller that nobody proved": {order.Caller{}, false, false, "-"},
	} {
		s := &shelf{}
		show := order.NewShowOrders(s)
		for user, may := range map[string]bool{"usr_001": c.own, "usr_002": c.other} {
			if err := c.caller.ActsFor(user); (err == nil) != may || !may && !errors.Is(err, order.ErrForbiddenUser) {
				t.Errorf("%s, acting for %s: %v", name, user, err)
			}
			if _, _, err := show.List(t.Context(), c.caller, order.Filter{UserID: user}); (err == nil) != may || may && s.asked.UserID != user {
				t.Errorf("%s, listing %s: %v, of %q", name, user, err, s.asked.UserID)
			}
			id := domain.ID("ord_" + user[len(user)-1:])
			if _, err := show.One(t.Context(), c.caller, id); (err == nil) != may || !may && !errors.Is(err, domain.ErrNotFound) {
				t.Errorf("%s, showing %s: %v", name, id, err)
			}
		}
		s.asked = order.Filter{UserID: "nobody asked"}
		_, _, err := show.List(t.Context(), c.caller, order.Filter{})
		if none := c.lists == "-"; (err != nil) != none || !none && s.asked.UserID != c.lists {
			t.Errorf("%s lists %q: %v", name, s.asked.UserID, err)
		}
		if _, err := show.One(t.Context(), c.caller, "ord_9"); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("%s finds what is not there: %v", name, err)
		}
	}
}

func TestACallerHasTheFormOfAUser(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "a b", "usr/1", "né"} {
		if caller, err := order.Identified(user, []string{order.ScopeAll}); fault.KindOf(err) != fault.Invalid || caller != (order.Caller{}) {
			t.Errorf("%q: %v", user, err)
		}
	}
}
