package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// rebuilt is the report of a rebuild.
type rebuilt struct {
	Orders, Open, Compared, Generation int
	Identical, Exchanged               bool
	Missing                            struct{ N int }
}

var readModels = []string{"orders_by_user", "daily_sales"}

func (s *stack) projection(t *testing.T, code int, to any, args ...string) {
	t.Helper()
	args = append(append([]string{"projection"}, args...), "--json")
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	c := spawn(t, t, s.env, args...)
	c.ends(t, time.Minute, code)
	if err := json.Unmarshal([]byte(c.stdout.String()), to); err != nil {
		t.Fatalf("%v says %q: %v", args, c.stdout, err)
	}
}

func (s *stack) rebuild(t *testing.T, code int, model string, flags ...string) rebuilt {
	t.Helper()
	var r rebuilt
	s.projection(t, code, &r, append([]string{"rebuild", model}, flags...)...)
	return r
}

// inModels waits until the read models have every order that has ended.
func (s *stack) inModels(t *testing.T, orders int) {
	t.Helper()
	await(t, soon, "the read models have caught up", func() bool {
		var status struct {
			Models []struct {
				Orders, Behind int
			}
		}
		s.projection(t, 0, &status, "status")
		for _, m := range status.Models {
			if m.Orders != orders || m.Behind != 0 {
				return false
			}
		}
		return len(status.Models) == len(readModels)
	})
}

// sold compares daily_sales with what the API says of every order.
func (s *stack) sold(t *testing.T) {
	t.Helper()
	type day struct {
		Confirmed, Revenue, Failed, Cancelled int64
	}
	var got, want day
	var sales struct{ Days []day }
	s.projection(t, 0, &sales, "sales")
	for _, d := range sales.Days { // more than one when it is midnight
		got = day{got.Confirmed + d.Confirmed, got.Revenue + d.Revenue, got.Failed + d.Failed, got.Cancelled + d.Cancelled}
	}
	for _, o := range s.orders(t, "") {
		switch o.Status {
		case "CONFIRMED":
			want.Confirmed++
			want.Revenue += o.Total
		case "FAILED":
			want.Failed++
		case "CANCELLED":
			want.Cancelled++
		}
	}
	if got != want {
		t.Errorf("the days come to %+v, and the orders to %+v", got, want)
	}
}

// modelled checks that the read models have every order that has ended, once, and as it ended.
func (s *stack) modelled(t *testing.T) {
	t.Helper()
	for _, model := range readModels {
		if r := s.rebuild(t, 0, model, "--check"); !r.Identical || r.Exchanged {
			t.Errorf("of %s it reports %+v", model, r)
		}
	}
	s.sold(t)
}

// Rebuilt in the middle of a load, killed, and rebuilt again: the read models are right in the end, every
// order ends, and nobody is charged or told a second time.
func TestReadModelsAreRebuiltUnderLoad(t *testing.T) {
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	l := startLoad(s, 4)
	more := func(n int64) {
		t.Helper()
		seen := l.accepted.Load()
		await(t, time.Minute, "the load runs", func() bool { return l.accepted.Load() >= seen+n })
	}
	more(20)
	for _, model := range readModels {
		killed := spawn(t, t, s.env, "projection", "rebuild", model, "--data", s.data)
		more(1)
		killed.kill()
		more(5)
		if r := s.rebuild(t, 0, model); !r.Identical || !r.Exchanged || r.Orders == 0 {
			t.Errorf("under load the rebuild of %s reports %+v", model, r)
		}
		more(5)
	}
	ids := l.end()
	s.allEnd(t, ids)
	s.inModels(t, len(ids))

	books, mails := s.ledger(t), 0
	for _, id := range ids {
		s.mailed(t, id)
		mails += len(s.letters(t, id))
	}
	db := s.sqlite(t, "orders")
	for model, damage := range map[string]string{
		"orders_by_user": "DELETE FROM orders_by_user WHERE status = 'CONFIRMED'", "daily_sales": "DELETE FROM daily_sales_orders WHERE status = 'CONFIRMED'",
	} {
		must(t, db, damage)
		if r := s.rebuild(t, 2, model, "--check", "--patience", "1s"); r.Identical || r.Exchanged || r.Missing.N == 0 {
			t.Errorf("of the damaged %s it reports %+v", model, r)
		}
		if r := s.rebuild(t, 0, model, "--patience", "1s"); r.Identical || !r.Exchanged || r.Orders != len(ids) || r.Open != 0 {
			t.Errorf("of the damaged %s the rebuild reports %+v", model, r)
		}
		if r := s.rebuild(t, 0, model, "--check"); !r.Identical {
			t.Errorf("of the rebuilt %s it reports %+v", model, r)
		}
	}
	again, listed := s.ledger(t), []string{}
	for _, o := range s.orders(t, s.show(t, ids[0]).UserID) {
		listed = append(listed, o.OrderID)
	}
	if !slices.Equal(again.Captures, books.Captures) || !slices.Equal(again.Refunds, books.Refunds) {
		t.Error("a rebuild has moved money")
	}
	for _, id := range ids {
		mails -= len(s.letters(t, id))
	}
	if mails != 0 {
		t.Errorf("a rebuild has sent %d mails", -mails)
	}
	if !slices.Contains(listed, ids[0]) {
		t.Errorf("%s is not listed", ids[0])
	}

	id := s.place(t, wish{}) // the services go on with the new tables
	s.awaitEnd(t, id, soon)
	s.inModels(t, len(ids)+1)
	s.settled(t)
	s.terminate(t)
}

// The tables are gone in the middle of the work: orders go their way, lists are whole, and in the end a rebuild
// puts it right. What could not be recorded is sent again, and counts once.
func TestABrokenReadModelStopsNoOrder(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	user := newUser()
	s.awaitEnd(t, s.place(t, wish{user: user}), soon)
	db := s.sqlite(t, "orders")
	for _, table := range []string{"orders_by_user", "daily_sales", "daily_sales_orders"} {
		must(t, db, "DROP TABLE "+table)
	}
	const several = 5
	for range several {
		id := s.place(t, wish{user: user})
		if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
			t.Errorf("%s ended %s %q", id, o.Status, o.Reason)
		}
	}
	if n := len(s.orders(t, user)); n != several+1 {
		t.Errorf("%d orders are listed, want %d", n, several+1)
	}
	await(t, soon, "what could not be recorded is a dead letter", func() bool { return len(s.deadOf(t, "handler=record_end")) >= several })
	for _, model := range readModels {
		if r := s.rebuild(t, 0, model, "--patience", "1s"); r.Orders != several+1 || !r.Exchanged {
			t.Errorf("the rebuild of %s reports %+v", model, r)
		}
	}
	file, sha := s.planned(t, "handler=record_end")
	s.apply(t, 0, file, sha)
	s.settled(t)
	s.terminate(t)
}
