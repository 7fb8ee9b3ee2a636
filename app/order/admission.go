package order

import (
	"context"
	"math"
	"sync"
	"time"

	"millrace/domain/fault"
)

// ErrOverloaded: more orders come in than can be worked off. Nothing was done with this one.
var ErrOverloaded = fault.New(fault.Unavailable, "overloaded", "more orders come in than can be worked off")

// Overloaded is ErrOverloaded with the time after which there is likely to be a place.
type Overloaded struct{ Wait time.Duration }

// Error is that of ErrOverloaded.
func (o *Overloaded) Error() string { return ErrOverloaded.Error() }

// Unwrap gives ErrOverloaded.
func (o *Overloaded) Unwrap() error { return ErrOverloaded }

// RetryAfter is Wait, whole seconds from 1 to 30.
func (o *Overloaded) RetryAfter() time.Duration { return o.Wait }

// Limits bound what is let in.
type Limits struct {
	InHand   int // requests that are worked on at a time
	UnderWay int // orders that are accepted and have not ended, and the requests in hand with them
}

// Why an order is not let in, as metrics name it.
const (
	RefusedInHand   = "in_hand"   // the database is behind: too many requests wait for it already
	RefusedUnderWay = "under_way" // too many orders have not ended
)

// Placing is PlaceOrder as the door sees it.
type Placing interface {
	Handle(ctx context.Context, r Request) (Answer, error)
	Again(ctx context.Context, r Request) (answer Answer, known bool, err error)
}

// Backlog counts what was accepted and is still to be worked off.
type Backlog interface {
	// UnderWay gives the number of orders that have not ended and are not being undone; of more than
	// most it gives most.
	UnderWay(ctx context.Context, most int) (int, error)
}

const (
	longestWait = 30 * time.Second // that a caller is told
	rateMemory  = 2 * time.Second  // so that one look does not decide
)

// Admission is the door in front of PlaceOrder. It refuses at once, with Overloaded, what would only
// wait: an order that is taken in although those before it cannot be worked off is answered late, meets
// the saga's time-outs, and its undoing is more work than the order was.
//
// Orders under way are counted by Look, which is to be called all the time, and in between the door
// adds what it has let in itself. So one process keeps to the limit, and several go beyond it by what
// the others let in between two looks.
type Admission struct {
	place   Placing
	backlog Backlog
	limits  Limits
	refused func(why string)
	now     func() time.Time

	mu       sync.Mutex
	inHand   int
	known    int // under way when they were last counted
	accepted int // all in all
	counted  int // of those, accepted when the last count began
	shed     int // not let in since the last look

	shedRate       ewma // measured at every look
	completionRate ewma // of the orders that ended, measured at every count
}

// ewma is a rate as an exponentially weighted moving average: what lies more than rateMemory back has little weight.
type ewma struct {
	at        time.Time // of the last measurement
	perSecond float64
}

// add measures that n have happened since the last time.
func (r *ewma) add(n int, at time.Time) {
	took := at.Sub(r.at)
	if took <= 0 {
		return
	}
	r.perSecond += (float64(n)/took.Seconds() - r.perSecond) * min(1, took.Seconds()/rateMemory.Seconds())
	r.at = at
}

// NewAdmission makes the door. refused is told of every order that is not let in; it must not block.
func NewAdmission(place Placing, backlog Backlog, limits Limits, refused func(why string), now func() time.Time) *Admission {
	return &Admission{
		place: place, backlog: backlog, limits: limits, refused: refused, now: now,
		shedRate: ewma{at: now()}, completionRate: ewma{at: now()},
	}
}

// Handle places the order, or fails with Overloaded and has not touched anything. An order that was
// accepted before, by a key whose answer is remembered, needs no place.
func (a *Admission) Handle(ctx context.Context, r Request) (Answer, error) {
	if why, wait := a.enter(); why != "" {
		if answer, known, err := a.place.Again(ctx, r); known {
			return answer, err
		}
		a.refused(why)
		return Answer{}, &Overloaded{wait}
	}
	accepted := false
	defer func() { a.leave(accepted) }()
	answer, err := a.place.Handle(ctx, r)
	accepted = err == nil && !answer.Replayed
	return answer, err
}

func (a *Admission) enter() (why string, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.underWay() >= a.limits.UnderWay:
		a.shed++
		return RefusedUnderWay, a.wait()
	case a.inHand >= a.limits.InHand:
		a.shed++
		return RefusedInHand, time.Second // they are committed together, well within it
	}
	a.inHand++
	return "", 0
}

func (a *Admission) leave(accepted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inHand--
	if accepted {
		a.accepted++
	}
}

// underWay is never less than there are, as far as this process can know.
func (a *Admission) underWay() int { return a.known + a.accepted - a.counted + a.inHand }

// wait is how long it takes until as many orders have ended as were refused in a second: those who
// come again then find places. Where nothing ends it is the longest.
func (a *Admission) wait() time.Duration {
	if a.shedRate.perSecond == 0 {
		return time.Second
	}
	seconds := math.Ceil(a.shedRate.perSecond / max(a.completionRate.perSecond, 1e-9))
	return time.Duration(min(max(seconds, 1), longestWait.Seconds())) * time.Second
}

// Look counts the orders under way. Where there are clearly fewer than the limit it asks nobody. It
// fails as the Backlog does; then the door goes by what it knows.
func (a *Admission) Look(ctx context.Context) error {
	a.mu.Lock()
	begun, accepted, idle := a.now(), a.accepted, a.underWay() < (a.limits.UnderWay+1)/2
	a.shedRate.add(a.shed, begun)
	a.shed = 0
	a.mu.Unlock()
	if idle {
		return nil
	}
	n, err := a.backlog.UnderWay(ctx, a.limits.UnderWay)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.completionRate.add(a.known+accepted-a.counted-n, begun)
	a.known, a.counted = n, accepted
	return nil
}
