package cli

import (
	"math"
	"slices"
	"sync"
	"time"
)

// booking is one order that was accepted and has not ended.
type booking struct {
	begun time.Time // when it should have begun
}

// measure is what a load has shown so far. Its methods may be called by many at once.
type measure struct {
	mu       sync.Mutex
	orders   int
	accepts  []time.Duration
	confirms []time.Duration
	open     map[string]booking
	failures map[string]int // by reason
	shed     int            // orders that were refused because more came than could be worked off
	ended    int            // orders of which nothing more is to come
	moved    time.Time      // when the last of them ended, or was accepted

	first, lastAccept, lastConfirm time.Time

	handled   time.Time // when the last OrderCompleted had been handled; zero where nobody can tell
	unhandled int       // orders that ended, and whose OrderCompleted was not handled in time
}

func newMeasure(orders int) *measure {
	return &measure{orders: orders, open: map[string]booking{}, failures: map[string]int{}}
}

func (m *measure) begun(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first.IsZero() || at.Before(m.first) {
		m.first = at
	}
}

func (m *measure) accepted(id string, begun, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepts = append(m.accepts, at.Sub(begun))
	m.open[id] = booking{begun}
	m.moved = at
	if at.After(m.lastAccept) {
		m.lastAccept = at
	}
}

func (m *measure) refused(code string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if code == "overloaded" {
		m.shed++
	} else {
		m.failures["not accepted: "+code]++
	}
	m.ended++
	m.moved = at
}

// finished notes the end of an order, at the moment that the order tells. It gives false for one
// that is not open.
func (m *measure) finished(o shown, seen time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.open[o.OrderID]
	if !ok {
		return false
	}
	delete(m.open, o.OrderID)
	m.ended++
	m.moved = seen
	if o.Status != "CONFIRMED" {
		m.failures[o.Status+" "+o.reason()]++
		return true
	}
	m.confirms = append(m.confirms, max(0, o.UpdatedAt.Sub(b.begun)))
	if o.UpdatedAt.After(m.lastConfirm) {
		m.lastConfirm = o.UpdatedAt
	}
	return true
}

// abandon gives up on whatever has not ended.
func (m *measure) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.open); n > 0 {
		m.failures["accepted, not ended in time"] += n
	}
	if n := m.orders - m.ended - len(m.open); n > 0 {
		m.failures["not sent, or not answered, in time"] += n
	}
}

// decided gives how many orders have ended by their saga's decision.
func (m *measure) decided() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.accepts) - len(m.open)
}

// handledByAll notes when OrderCompleted of all that were decided had been handled, or how many were
// missing when nothing moved any more.
func (m *measure) handledByAll(at time.Time, missing int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handled, m.unhandled = at, missing
	if missing > 0 {
		m.failures["ended, OrderCompleted not handled in time"] = missing
	}
}

// progress gives how many orders have ended, and when the last thing happened.
func (m *measure) progress() (ended int, moved time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended, m.moved
}

// waiting gives the ids of open orders, the oldest first: ids sort by age.
func (m *measure) waiting() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, len(m.open))
	for id := range m.open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// benchResult is what `bench --json` prints. Times are in milliseconds.
type benchResult struct {
	Orders             int       `json:"orders"`
	Accepted           int       `json:"accepted"`
	Completed          int       `json:"completed"`
	Failed             int       `json:"failed"`
	Refused            int       `json:"refused,omitempty"` // because more came than could be worked off
	AcceptedPerSecond  float64   `json:"acceptedPerSecond"`
	CompletedPerSecond float64   `json:"completedPerSecond"`
	Accept             quantiles `json:"accept"`
	Confirm            quantiles `json:"confirm"`
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
}

func (m *measure) result() benchResult {
	m.mu.Lock()
	defer m.mu.Unlock()
	completed, last := max(0, len(m.confirms)-m.unhandled), m.lastConfirm
	if m.handled.After(last) {
		last = m.handled
	}
	return benchResult{
		Orders: m.orders, Accepted: len(m.accepts), Refused: m.shed, Completed: completed, Failed: m.orders - m.shed - completed,
		AcceptedPerSecond:  perSecond(len(m.accepts), m.lastAccept.Sub(m.first)),
		CompletedPerSecond: perSecond(completed, last.Sub(m.first)),
		Accept:             quantilesOf(m.accepts), Confirm: quantilesOf(m.confirms),
	}
}

func perSecond(n int, took time.Duration) float64 {
	if n == 0 || took <= 0 {
		return 0
	}
	return math.Round(float64(n)/took.Seconds()*10) / 10
}

// quantilesOf takes nearest ranks.
func quantilesOf(all []time.Duration) quantiles {
	sorted := slices.Sorted(slices.Values(all))
	rank := func(percent int) float64 {
		if len(sorted) == 0 {
			return 0
		}
		at := sorted[(len(sorted)*percent+99)/100-1]
		return math.Round(float64(at)/float64(time.Millisecond)*10) / 10
	}
	return quantiles{rank(50), rank(90), rank(99)}
}
