package order_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"millrace/app/order"
	domain "millrace/domain/order"
)

// books are the orders of a database in which somebody else works.
type books struct {
	orders map[domain.ID]domain.Snapshot
	fails  error
	asked  []map[domain.ID]int
	during func() // the database answers
}

func newBooks(ids ...domain.ID) *books {
	b := &books{orders: map[domain.ID]domain.Snapshot{}}
	for _, id := range ids {
		b.moves(id, domain.Pending, "OrderCreated")
	}
	return b
}

// moves adds an entry to an order's timeline.
func (b *books) moves(id domain.ID, to domain.Status, event string) {
	s := b.orders[id]
	s.ID, s.Status = id, to
	s.Timeline = append(slices.Clone(s.Timeline), domain.Entry{Seq: len(s.Timeline) + 1, Event: event, Status: to})
	b.orders[id] = s
}

func (b *books) Order(_ context.Context, id domain.ID) (*domain.Order, error) {
	if s, ok := b.orders[id]; ok {
		return domain.Restore(s), b.fails
	}
	return nil, domain.ErrNotFound
}

func (b *books) List(context.Context, order.Filter) ([]*domain.Order, bool, error) {
	return nil, false, errors.New("nobody asks for a list")
}

func (b *books) Since(_ context.Context, seen map[domain.ID]int) ([]order.Progress, error) {
	b.asked = append(b.asked, maps.Clone(seen))
	var moved []order.Progress
	for id, seq := range seen {
		if s := b.orders[id]; len(s.Timeline) > seq {
			moved = append(moved, order.Progress{ID: id, Status: s.Status, Reason: s.Reason, Entries: s.Timeline[seq:]})
		}
	}
	if b.during != nil {
		b.during()
	}
	return moved, b.fails
}

func following(b *books, most int) (*order.FollowOrder, *int) {
	open := new(int)
	return order.NewFollowOrder(b, b, most, func(n int) { *open = n }), open
}

func follow(t *testing.T, h *order.FollowOrder, id domain.ID, after int) (<-chan order.Progress, func()) {
	t.Helper()
	news, leave, err := h.Handle(t.Context(), order.Anyone(), id, after)
	if err != nil {
		t.Fatal(err)
	}
	return news, leave
}

func look(t *testing.T, h *order.FollowOrder) {
	t.Helper()
	if err := h.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// told takes what a caller can be told now.
func told(news <-chan order.Progress) string {
	select {
	case p := <-news:
		var events []string
		for _, e := range p.Entries {
			events = append(events, fmt.Sprint(e.Seq, e.Event))
		}
		return fmt.Sprintf("%s [%s] ended %t", p.Status, strings.Join(events, " "), p.Ended())
	default:
		return "nothing"
	}
}

func wantTold(t *testing.T, news <-chan order.Progress, want string) {
	t.Helper()
	if got := told(news); got != want {
		t.Errorf("it is told %q, want %q", got, want)
	}
}

func TestAnOrderIsFollowedFromItsFirstEntryToItsEnd(t *testing.T) {
	t.Parallel()
	b := newBooks("ord_1")
	h, open := following(b, 10)
	news, leave := follow(t, h, "ord_1", 0)
	wantTold(t, news, "PENDING [1OrderCreated] ended false")
	look(t, h)
	wantTold(t, news, "nothing")
	b.moves("ord_1", domain.Paid, "PaymentSucceeded")
	look(t, h)
	b.moves("ord_1", domain.Paid, "InventoryReserved") // before the caller has taken what there was
	look(t, h)
	wantTold(t, news, "PAID [2PaymentSucceeded 3InventoryReserved] ended false")
	b.moves("ord_1", domain.Confirmed, "OrderCompleted")
	look(t, h)
	wantTold(t, news, "CONFIRMED [4OrderCompleted] ended true")
	asked := len(b.asked)
	look(t, h)
	if len(b.asked) != asked {
		t.Error("it goes on asking about an order that has ended")
	}
	if leave(); *open != 0 {
		t.Errorf("%d follow, and the only one has left", *open)
	}
}

func TestOneWhoComesLaterIsToldTheRest(t *testing.T) {
	t.Parallel()
	b := newBooks("ord_1")
	b.moves("ord_1", domain.Paid, "PaymentSucceeded")
	h, _ := following(b, 10)
	for after, want := range map[int]string{0: "PAID [1OrderCreated 2PaymentSucceeded] ended false", 1: "PAID [2PaymentSucceeded] ended false", 2: "PAID [] ended false", 99: "PAID [] ended false"} {
		news, _ := follow(t, h, "ord_1", after)
		wantTold(t, news, want)
		defer wantTold(t, news, "CONFIRMED [3OrderCompleted] ended true")
	}
	b.moves("ord_1", domain.Confirmed, "OrderCompleted")
	look(t, h)
	if want := (map[domain.ID]int{"ord_1": 2}); len(b.asked) != 1 || !maps.Equal(b.asked[0], want) {
		t.Errorf("the database was asked %v, want %v once for all", b.asked, want)
	}
	for after, want := range map[int]string{2: "CONFIRMED [3OrderCompleted] ended true", 3: "CONFIRMED [] ended true"} {
		news, _ := follow(t, h, "ord_1", after)
		wantTold(t, news, want)
	}
	look(t, h)
	if len(b.asked) != 1 {
		t.Error("it asks about orders that had ended when their callers came")
	}
}

// Whoever comes while the database is asked may have seen more than those for whom it is asked.
func TestOneWhoComesDuringALookMissesNothing(t *testing.T) {
	t.Parallel()
	b := newBooks("ord_1")
	h, _ := following(b, 10)
	first, _ := follow(t, h, "ord_1", 0)
	told(first)
	b.moves("ord_1", domain.Paid, "PaymentSucceeded")
	look(t, h)
	told(first)
	var second <-chan order.Progress
	b.moves("ord_1", domain.Paid, "InventoryReserved")
	now := b.orders["ord_1"]
	b.during = func() {
		was := now
		was.Timeline = was.Timeline[:1] // it read the order long ago, and was held up
		b.orders["ord_1"], b.during = was, nil
		second, _ = follow(t, h, "ord_1", 0)
		b.orders["ord_1"] = now
	}
	look(t, h)
	wantTold(t, first, "PAID [3InventoryReserved] ended false")
	wantTold(t, second, "PAID [1OrderCreated] ended false")
	look(t, h)
	wantTold(t, first, "nothing")
	wantTold(t, second, "PAID [2PaymentSucceeded 3InventoryReserved] ended false")
}

func TestManyOrdersAreOneQuestion(t *testing.T) {
	t.Parallel()
	b := newBooks("ord_1", "ord_2", "ord_3")
	h, _ := following(b, 10)
	look(t, h)
	if len(b.asked) != 0 {
		t.Error("it asks although nobody follows anything")
	}
	_, _ = follow(t, h, "ord_1", 0)
	_, leave := follow(t, h, "ord_2", 0)
	third, _ := follow(t, h, "ord_3", 0)
	leave()
	told(third)
	b.moves("ord_3", domain.Failed, "OrderCompleted")
	look(t, h)
	if want := (map[domain.ID]int{"ord_1": 1, "ord_3": 1}); len(b.asked) != 1 || !maps.Equal(b.asked[0], want) {
		t.Errorf("the database was asked %v, want %v", b.asked, want)
	}
	wantTold(t, third, "FAILED [2OrderCompleted] ended true")
}

func TestNoMoreFollowThanMay(t *testing.T) {
	t.Parallel()
	b := newBooks("ord_1")
	h, open := following(b, 2)
	_, leave := follow(t, h, "ord_1", 0)
	if _, _, err := h.Handle(t.Context(), order.Anyone(), "ord_9", 0); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("an order that is not there: %v", err)
	}
	if _, _, err := h.Handle(t.Context(), order.Caller{}, "ord_1", 0); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("an order that is somebody else's: %v", err)
	}
	_, _ = follow(t, h, "ord_1", 0) // the places of those before are free
	if _, _, err := h.Handle(t.Context(), order.Anyone(), "ord_1", 0); !errors.Is(err, order.ErrTooManyStreams) || *open != 2 {
		t.Errorf("the third is told %v, and %d follow", err, *open)
	}
	leave()
	if _, _ = follow(t, h, "ord_1", 0); *open != 2 {
		t.Errorf("%d follow, want 2", *open)
	}
}

func TestADatabaseThatIsAwayIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := newBooks("ord_1")
	h, _ := following(b, 1)
	news, _ := follow(t, h, "ord_1", 0)
	told(news)
	b.moves("ord_1", domain.Paid, "PaymentSucceeded")
	b.fails = errors.New("away")
	if err := h.Look(t.Context()); !errors.Is(err, b.fails) {
		t.Errorf("it came to %v", err)
	}
	wantTold(t, news, "nothing")
	b.fails = nil
	look(t, h)
	wantTold(t, news, "PAID [2PaymentSucceeded] ended false")
}
