package cli

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is what `bench` puts on the system.
type load struct {
	api         api
	orders      int
	concurrency int
	rate        float64 // orders a second; 0 for a closed loop
	maxOpen     int     // 0 for any number
	skus        int
	payment     string
	patience    time.Duration
	handled     *handled // nil: nobody can be asked
	freed       int      // slots that were freed by count, for orders that were not yet seen to have ended
	now         func() time.Time
}

// run places all orders and returns when all have ended and been handled by all, or when none has for
// as long as the patience lasts. It fails when not one order was answered, or ctx ends.
func (l *load) run(ctx context.Context, progress func(ended int)) (*measure, error) {
	m := newMeasure(l.orders)
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var slots chan struct{}
	if l.maxOpen > 0 {
		slots = make(chan struct{}, l.maxOpen)
	}
	m.moved = l.now()
	var workers sync.WaitGroup
	var next atomic.Int64
	var lost atomic.Pointer[error]
	origin := l.now()
	run := strconv.FormatInt(origin.UnixMilli(), 36)
	for range min(l.concurrency, l.orders) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= l.orders || !l.wait(sending, origin, i) || !take(sending, slots) {
					return
				}
				if err := l.place(sending, m, run, origin, i); err != nil {
					lost.Store(&err)
					free(slots)
				}
			}
		})
	}
	l.watch(ctx, m, slots, progress)
	stop()
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("stopped before all orders had ended: %w", err)
	}
	if err := lost.Load(); err != nil && len(m.accepts) == 0 {
		return nil, fmt.Errorf("no order was accepted: %w", *err)
	}
	m.abandon()
	if orders := m.decided(); l.handled != nil && orders > 0 {
		at, missing := l.handled.await(ctx, orders, l.patience, l.now)
		m.handledByAll(at, missing)
	}
	return m, ctx.Err()
}

// wait holds an order back until its time, and says whether it may begin.
func (l *load) wait(ctx context.Context, origin time.Time, i int) bool {
	if l.rate == 0 {
		return ctx.Err() == nil
	}
	return pause(ctx, l.due(origin, i).Sub(l.now()))
}

// due is when an order should begin.
func (l *load) due(origin time.Time, i int) time.Time {
	return origin.Add(time.Duration(float64(i) / l.rate * float64(time.Second)))
}

func take(ctx context.Context, slots chan struct{}) bool {
	if slots == nil {
		return true
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// free lets one more order begin, where there is a bound and it was reached by an order of ours.
func free(slots chan struct{}) {
	select {
	case <-slots:
	default:
	}
}

func (l *load) place(ctx context.Context, m *measure, run string, origin time.Time, i int) error {
	begun := l.now()
	if l.rate > 0 {
		begun = l.due(origin, i)
	}
	m.begun(begun)
	order := struct {
		UserID        string `json:"userId"`
		Items         []line `json:"items"`
		Currency      string `json:"currency"`
		PaymentMethod string `json:"paymentMethod"`
	}{fmt.Sprintf("bench_%s_%d", run, i), []line{{SKU: fmt.Sprintf("SKU-%03d", i%l.skus+1), Qty: 1}}, "LKR", l.payment}
	raw, err := l.api.post(ctx, "/api/v1/orders", order, "")
	at := l.now()
	var answer placed
	if err == nil {
		err = l.api.decode(raw, &answer)
	}
	if err != nil {
		if ctx.Err() == nil {
			m.refused(codeOf(err), at)
		}
		return err
	}
	m.accepted(answer.OrderID, begun, at)
	return nil
}

// watch looks for ends until there is nothing more to come. How often it looks does not change
// what is measured, only how soon a slot is free again. Where counters tell how many have ended, the
// orders themselves are asked for when all have: looking for them all the time is load, too.
func (l *load) watch(ctx context.Context, m *measure, slots chan struct{}, progress func(int)) {
	often, patience := 250*time.Millisecond, l.patience
	if l.rate > 0 {
		patience += time.Duration(float64(time.Second) / l.rate) // between two orders nothing need happen
	}
	if l.handled != nil {
		l.follow(ctx, m, slots, progress, patience)
	}
	if slots != nil {
		often = 20 * time.Millisecond
	}
	for {
		began := l.now()
		l.look(ctx, m, slots)
		ended, moved := m.progress()
		progress(ended)
		if ended == l.orders || l.now().Sub(moved) > patience || !pause(ctx, max(often, 4*l.now().Sub(began))) {
			return
		}
	}
}

// follow frees a slot for every order whose end has been handled, until all orders have, or until the
// counters do not tell any more.
func (l *load) follow(ctx context.Context, m *measure, slots chan struct{}, progress func(int), patience time.Duration) {
	for {
		done := l.handled.look(ctx, l.now)
		for ; l.freed < done; l.freed++ {
			free(slots)
		}
		refused, moved := m.progress()
		if l.handled.at.After(moved) {
			moved = l.handled.at
		}
		progress(min(l.orders, done+refused))
		if done+refused >= l.orders || l.handled.lost || l.now().Sub(moved) > patience || !pause(ctx, often) {
			return
		}
	}
}

// look asks for open orders, 200 at a time, the newest first. A few that are much older than the
// rest are asked for one by one.
func (l *load) look(ctx context.Context, m *measure, slots chan struct{}) {
	const largest, few = 200, 16
	waiting := m.waiting()
	var cursor string
	for len(waiting) > 0 {
		query := url.Values{"limit": {strconv.Itoa(min(largest, max(2*few, 2*len(waiting))))}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var list page
		raw, _, err := l.api.get(ctx, "/api/v1/orders?"+query.Encode(), "")
		if err != nil || l.api.decode(raw, &list) != nil || len(list.Items) == 0 {
			return // asked again at the next look
		}
		for _, o := range list.Items {
			l.seen(m, slots, o)
		}
		older, _ := slices.BinarySearch(waiting, list.Items[len(list.Items)-1].OrderID)
		waiting = waiting[:older]
		if list.Next == nil {
			return
		}
		cursor = *list.Next
		if len(waiting) <= few {
			break
		}
	}
	for _, id := range waiting {
		if o, _, _, err := l.api.order(ctx, id, ""); err == nil {
			l.seen(m, slots, o)
		}
	}
}

func (l *load) seen(m *measure, slots chan struct{}, o shown) {
	if !o.ended() || !m.finished(o, l.now()) {
		return
	}
	if l.freed > 0 {
		l.freed--
		return
	}
	free(slots)
}

// pause waits, and says whether it was for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
