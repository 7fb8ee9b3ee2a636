package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/analytics"
	"millrace/app/messages"
	orderapp "millrace/app/order"
	"millrace/domain/order"
)

// readModels is ordering's database with the store of its orders and the subscriber beside it.
type readModels struct {
	db     *sqldb.DB
	orders *Orders
	store  *Analytics
	record *analytics.RecordEnd
	now    time.Time // of the subscriber
}

func newReadModels(db *sqldb.DB) *readModels {
	r := &readModels{db: db, orders: NewOrders(newCore(db)), now: time.Now()}
	core := newCore(db)
	core.Now = func() time.Time { return r.now }
	r.store = NewAnalytics(core)
	r.record = analytics.NewRecordEnd(r.store)
	return r
}

// order writes an order that was placed at a time, and gives its id.
func (r *readModels) order(t *testing.T, user string, status order.Status, at time.Time) string {
	t.Helper()
	id := lowestID(at)
	id = id[:len(id)-4] + fmt.Sprintf("%04d", r.count(t, "SELECT count(*) FROM orders"))
	_, err := r.db.ExecContext(t.Context(), r.db.Rebind(`INSERT INTO orders (id, user_id, status, reason, currency, total, payment_method, version, created_at, updated_at)
		VALUES (?, ?, ?, '', 'LKR', 500, 'pm_card_ok', 1, ?, ?)`), id, user, status.String(), at.UTC().Truncate(time.Microsecond), at.UTC().Truncate(time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r *readModels) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	return count(t, r.db, query, args...)
}

// hears hands the end of an order over, under a message's id.
func (r *readModels) hears(ctx context.Context, message, id, user string, status order.Status) error {
	return r.record.Handle(messages.WithCause(ctx, messages.Cause{
		Consumer: "order-service.order.events", MessageID: message, CorrelationID: id, Type: "OrderCompleted", Topic: messages.OrderEvents,
	}), &messages.OrderCompleted{OrderID: id, UserID: user, Status: status.String(), Total: 500, Currency: "LKR"})
}

func (r *readModels) sales(t *testing.T) string {
	t.Helper()
	var rows []string
	if err := r.db.SelectContext(t.Context(), &rows,
		"SELECT day || ' ' || confirmed || ' ' || revenue || ' ' || failed || ' ' || cancelled FROM daily_sales ORDER BY day"); err != nil {
		t.Fatal(err)
	}
	return strings.Join(rows, "\n")
}

func onReadModels(t *testing.T, test func(t *testing.T, r *readModels)) {
	t.Helper()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) { test(t, newReadModels(open(t))) })
}

func TestTheEndOfAnOrderIsCountedOnceOnTheDayOnWhichItWasPlaced(t *testing.T) {
	t.Parallel()
	onReadModels(t, func(t *testing.T, r *readModels) {
		late := time.Date(2026, 1, 31, 23, 59, 59, 999_999_000, time.FixedZone("", -3600)) // the first of February in UTC
		var all sync.WaitGroup
		for n := range 40 {
			status := []order.Status{order.Confirmed, order.Confirmed, order.Failed, order.Cancelled}[n%4]
			at := late
			if n < 20 {
				at = late.Add(-time.Hour)
			}
			id := r.order(t, "usr_1", status, at)
			for _, message := range []string{id + "-a", id + "-a", id + "-b"} { // again, and told a second time
				all.Go(func() {
					if err := r.hears(t.Context(), message, id, "usr_1", status); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if got, want := r.sales(t), "2026-01-31 10 5000 5 5\n2026-02-01 10 5000 5 5"; got != want {
			t.Errorf("the days are\n%s\nwant\n%s", got, want)
		}
		if n := r.count(t, "SELECT count(*) FROM orders_by_user WHERE user_id = 'usr_1'"); n != 40 {
			t.Errorf("%d orders are listed", n)
		}
		if n := r.count(t, "SELECT count(*) FROM outbox"); n != 0 {
			t.Errorf("%d messages are sent", n)
		}
	})
}

func TestTheEndOfAnOrderThatWasNeverAcceptedIsRefused(t *testing.T) {
	t.Parallel()
	onReadModels(t, func(t *testing.T, r *readModels) {
		if err := r.hears(t.Context(), "m", "ord_x", "usr_1", order.Failed); !errors.Is(err, analytics.ErrNoOrder) {
			t.Errorf("it ends with %v", err)
		}
		if n := r.count(t, "SELECT count(*) FROM inbox") + r.count(t, "SELECT count(*) FROM daily_sales_orders"); n != 0 {
			t.Errorf("it leaves %d rows", n)
		}
	})
}

// listed gives the ids of a list, page by page.
func (r *readModels) listed(t *testing.T, f orderapp.Filter) []string {
	t.Helper()
	ids := []string{}
	for f.Limit = 2; ; {
		page, more, err := r.orders.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			f.Before = o.ID()
			ids = append(ids, string(o.ID()))
		}
		if !more {
			return ids
		}
	}
}

func (r *readModels) watermark(t *testing.T) string {
	t.Helper()
	var at string
	if err := r.db.GetContext(t.Context(), &at, "SELECT line FROM read_models WHERE name = 'orders_by_user'"); err != nil {
		t.Fatal(err)
	}
	return at
}

func (r *readModels) advance(t *testing.T) {
	t.Helper()
	if err := r.store.AdvanceWatermark(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAListOfOneUserIsTheSameHoweverFarBehindTheModelIs(t *testing.T) {
	t.Parallel()
	onReadModels(t, func(t *testing.T, r *readModels) {
		long := r.now.Add(-time.Hour)
		type placed struct {
			id     string
			status order.Status
		}
		var all []placed
		for n, status := range []order.Status{
			order.Confirmed, order.Failed, order.Confirmed, order.Cancelled, order.Confirmed, order.Processing, order.Failed, order.Confirmed, order.Pending,
		} {
			all = append(all, placed{r.order(t, "usr_1", status, long.Add(time.Duration(n)*time.Minute)), status})
			r.order(t, "usr_2", order.Pending, long.Add(time.Duration(n)*time.Minute+time.Second))
		}
		want := func(keep func(int, placed) bool) []string {
			ids := []string{}
			for n, p := range all {
				if keep(n, p) {
					ids = append(ids, p.id)
				}
			}
			slices.Reverse(ids)
			return ids
		}
		same := func(when string) {
			t.Helper()
			for name, list := range map[string]struct {
				filter orderapp.Filter
				want   []string
			}{
				"all":       {orderapp.Filter{UserID: "usr_1"}, want(func(int, placed) bool { return true })},
				"confirmed": {orderapp.Filter{UserID: "usr_1", Status: order.Confirmed}, want(func(_ int, p placed) bool { return p.status == order.Confirmed })},
				"a while": {
					orderapp.Filter{UserID: "usr_1", From: long.Add(2 * time.Minute), To: long.Add(7 * time.Minute)},
					want(func(n int, _ placed) bool { return n >= 2 && n < 7 }),
				},
				"nobody's": {orderapp.Filter{UserID: "usr_3"}, []string{}},
			} {
				if got := r.listed(t, list.filter); !slices.Equal(got, list.want) {
					t.Errorf("%s: %s are\n%v\nwant\n%v", when, name, got, list.want)
				}
			}
		}
		same("the model is empty")
		for n, p := range all {
			if p.status == order.Processing || p.status == order.Pending {
				continue
			}
			if err := r.hears(t.Context(), p.id, p.id, "usr_1", p.status); err != nil {
				t.Fatal(err)
			}
			r.advance(t)
			same(fmt.Sprintf("the model has %d", n+1))
		}
		if _, err := r.db.ExecContext(t.Context(), "DROP TABLE orders_by_user"); err != nil {
			t.Fatal(err)
		}
		same("the model is gone")
	})
}

func TestTheWatermarkStandsAtTheFirstOrderThatTheModelDoesNotHave(t *testing.T) {
	t.Parallel()
	onReadModels(t, func(t *testing.T, r *readModels) {
		r.advance(t)
		if at := r.watermark(t); at != "" {
			t.Errorf("without orders it stands at %q", at)
		}
		long := r.now.Add(-time.Hour)
		first := r.order(t, "usr_1", order.Confirmed, long)
		open := r.order(t, "usr_1", order.Processing, long.Add(time.Minute))
		behind := r.order(t, "usr_1", order.Confirmed, long.Add(2*time.Minute))
		fresh := r.order(t, "usr_1", order.Confirmed, r.now)
		for _, id := range []string{first, behind, fresh} {
			if err := r.hears(t.Context(), id, id, "usr_1", order.Confirmed); err != nil {
				t.Fatal(err)
			}
		}
		r.advance(t)
		if at := r.watermark(t); at != open {
			t.Errorf("it stands at %q, and %q is under way", at, open)
		}
		if err := r.hears(t.Context(), open, open, "usr_1", order.Confirmed); err != nil {
			t.Fatal(err)
		}
		r.advance(t)
		if at := r.watermark(t); at <= behind || at > fresh {
			t.Errorf("it stands at %q, want it above %q, and not above the young %q", at, behind, fresh)
		}
		r.now = r.now.Add(2 * young)
		r.advance(t)
		if at := r.watermark(t); at <= fresh {
			t.Errorf("later it stands at %q, want it above %q", at, fresh)
		}
	})
}

func TestAWatermarkThatARebuildHasTakenBackIsNotMovedByWhoLookedBefore(t *testing.T) {
	t.Parallel()
	onReadModels(t, func(t *testing.T, r *readModels) {
		id := r.order(t, "usr_1", order.Confirmed, r.now.Add(-time.Hour))
		if err := r.hears(t.Context(), id, id, "usr_1", order.Confirmed); err != nil {
			t.Fatal(err)
		}
		r.store.core.Now = func() time.Time { // it is asked between the look and the move
			if _, err := r.db.ExecContext(t.Context(), "UPDATE read_models SET generation = generation + 1, line = ''"); err != nil {
				t.Error(err)
			}
			return r.now
		}
		if _, err := r.store.advance(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at := r.watermark(t); at != "" {
			t.Errorf("it stands at %q", at)
		}
	})
}

func TestUnitsThatLingerAreCommittedTogether(t *testing.T) {
	t.Parallel()
	onReadModels(t, func(t *testing.T, r *readModels) {
		commits := &commitSizes{}
		r.store.core.Linger, r.store.core.Observer = 200*time.Millisecond, commits
		var ids [20]string
		for i := range ids {
			ids[i] = r.order(t, "usr_1", order.Confirmed, r.now)
		}
		var all sync.WaitGroup
		for _, id := range ids {
			all.Go(func() {
				if err := r.hears(t.Context(), id, id, "usr_1", order.Confirmed); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := commits.all(); len(got) > 10 {
			t.Errorf("20 units that linger took the commits %v", got)
		}
	})
}

// commitSizes hears how many were committed together.
type commitSizes struct {
	silent
	mu    sync.Mutex
	sizes []int
}

func (c *commitSizes) CommitBatch(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sizes = append(c.sizes, n)
}

func (c *commitSizes) all() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sizes
}
