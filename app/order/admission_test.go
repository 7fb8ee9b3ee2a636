package order_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"millrace/app/order"
	"millrace/domain/fault"
)

// shop answers requests when the test lets it, and says how many orders are under way.
type shop struct {
	entered  chan struct{}
	let      chan error
	replayed bool
	open     int
	asked    int
	away     error
}

func (s *shop) Handle(context.Context, order.Request) (order.Answer, error) {
	if s.let != nil {
		s.entered <- struct{}{}
		return order.Answer{Replayed: s.replayed}, <-s.let
	}
	return order.Answer{Replayed: s.replayed}, nil
}

// Again remembers one key.
func (s *shop) Again(_ context.Context, r order.Request) (order.Answer, bool, error) {
	return order.Answer{OrderID: "ord_before", Replayed: true}, r.Key == "remembered", nil
}

func (s *shop) UnderWay(_ context.Context, most int) (int, error) {
	s.asked++
	return min(s.open, most), s.away
}

// door is an Admission whose clock the test moves.
type door struct {
	*order.Admission
	at      time.Time
	refused []string
}

func newDoor(s *shop, limits order.Limits) *door {
	d := &door{at: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	d.Admission = order.NewAdmission(s, s, limits, func(why string) { d.refused = append(d.refused, why) }, func() time.Time { return d.at })
	return d
}

// knock places an order and gives how long it is to wait; 0 when it was accepted.
func (d *door) knock(t *testing.T) time.Duration {
	t.Helper()
	_, err := d.Handle(t.Context(), order.Request{})
	var refused *order.Overloaded
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &refused) || !errors.Is(err, order.ErrOverloaded) || fault.KindOf(err) != fault.Unavailable:
		t.Fatalf("it fails with %v", err)
	}
	return refused.RetryAfter()
}

// look counts a while after the last time.
func (d *door) look(t *testing.T, after time.Duration) {
	t.Helper()
	d.at = d.at.Add(after)
	if err := d.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestNoMoreOrdersAreLetInThanMayBeUnderWay(t *testing.T) {
	t.Parallel()
	s := &shop{}
	d := newDoor(s, order.Limits{InHand: 10, UnderWay: 4})
	for n := range 4 {
		if wait := d.knock(t); wait != 0 {
			t.Fatalf("order %d is refused", n+1)
		}
	}
	if d.knock(t) == 0 {
		t.Fatal("the fifth is accepted")
	}
	s.open = 3 // one has ended
	d.look(t, time.Second)
	if d.knock(t) != 0 || d.knock(t) == 0 {
		t.Error("one place is not one order")
	}
	if len(d.refused) != 2 || d.refused[0] != order.RefusedUnderWay {
		t.Errorf("refused %v", d.refused)
	}
}

func TestAnAnswerThatWasGivenBeforeIsGivenAgainThroughAShutDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(&shop{}, order.Limits{InHand: 10, UnderWay: 0})
	answer, err := d.Handle(t.Context(), order.Request{Key: "remembered"})
	if err != nil || answer.OrderID != "ord_before" || !answer.Replayed {
		t.Errorf("it is %+v, %v", answer, err)
	}
	if _, err := d.Handle(t.Context(), order.Request{Key: "forgotten"}); !errors.Is(err, order.ErrOverloaded) {
		t.Errorf("a key that nobody remembers gives %v", err)
	}
	if len(d.refused) != 1 {
		t.Errorf("refused %v", d.refused)
	}
}

func TestNoMoreRequestsAreWorkedOnThanMayBeInHand(t *testing.T) {
	t.Parallel()
	s := &shop{entered: make(chan struct{}), let: make(chan error)}
	d := newDoor(s, order.Limits{InHand: 2, UnderWay: 100})
	results := make(chan error)
	for range 2 {
		go func() {
			_, err := d.Handle(t.Context(), order.Request{})
			results <- err
		}()
		<-s.entered
	}
	if wait := d.knock(t); wait != time.Second || len(d.refused) != 1 || d.refused[0] != order.RefusedInHand {
		t.Errorf("the third is to wait %s, refused %v", wait, d.refused)
	}
	failure := errors.New("it failed")
	s.let <- failure
	if err := <-results; !errors.Is(err, failure) {
		t.Errorf("a failure becomes %v", err)
	}
	go func() {
		_, err := d.Handle(t.Context(), order.Request{})
		results <- err
	}()
	<-s.entered // there is a place again
	for range 2 {
		s.let <- nil
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestWhatMakesNoOrderTakesNoPlace(t *testing.T) {
	t.Parallel()
	s := &shop{replayed: true}
	d := newDoor(s, order.Limits{InHand: 1, UnderWay: 2})
	for range 5 {
		if d.knock(t) != 0 {
			t.Fatal("the answer to an old request is refused")
		}
	}
}

// A hundred a second find no place and twenty a second are freed: it is five seconds until all of
// those who were refused in one have a place.
func TestTheWaitIsUntilThereArePlacesForThoseWhoWereRefused(t *testing.T) {
	t.Parallel()
	s := &shop{}
	d := newDoor(s, order.Limits{InHand: 1, UnderWay: 40})
	var wait time.Duration
	for range 20 {
		for range 60 {
			if w := d.knock(t); w > 0 {
				wait = w
			}
		}
		s.open = 30 // ten end in half a second
		d.look(t, 500*time.Millisecond)
	}
	if wait != 5*time.Second {
		t.Errorf("it is %s", wait)
	}
}

func TestTheWaitIsLongWhereNothingEnds(t *testing.T) {
	t.Parallel()
	s := &shop{open: 5}
	d := newDoor(s, order.Limits{InHand: 1, UnderWay: 5})
	for range 5 {
		d.knock(t)
	}
	if wait := d.knock(t); wait != time.Second {
		t.Errorf("before anything is known it is %s", wait)
	}
	for range 20 {
		d.knock(t)
		d.look(t, time.Second)
	}
	if wait := d.knock(t); wait != 30*time.Second {
		t.Errorf("when nothing has ended for long it is %s", wait)
	}
}

func TestNobodyIsAskedWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	s := &shop{}
	d := newDoor(s, order.Limits{InHand: 1, UnderWay: 10})
	for range 4 {
		d.knock(t)
	}
	d.look(t, time.Second)
	if s.asked != 0 {
		t.Error("the database was asked")
	}
	d.knock(t)
	d.look(t, time.Second)
	if s.asked != 1 {
		t.Errorf("it was asked %d times", s.asked)
	}
}

func TestADoorThatCannotCountGoesByWhatItKnows(t *testing.T) {
	t.Parallel()
	s := &shop{}
	d := newDoor(s, order.Limits{InHand: 1, UnderWay: 2})
	d.knock(t)
	s.away = errors.New("the database is away")
	if err := d.Look(t.Context()); !errors.Is(err, s.away) {
		t.Errorf("it says %v", err)
	}
	if d.knock(t) != 0 || d.knock(t) == 0 {
		t.Error("the limit does not hold")
	}
}
