package sqlstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/plan"
	saga "millrace/sagas/order"
)

// refused makes a letter at inventory of a message of the order.
func (f *floor) refused(t *testing.T, id string) {
	t.Helper()
	d := letterOf("inventory-service.payment.events", f.orderID, id)
	d.Service = messages.InventoryService
	if err := NewDeadLetters(f.cores[messages.InventoryService]).Keep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// redrive applies a plan for the letters that wait, and gives what became of them. Between two looks paused is called.
func (f *floor) redrive(t *testing.T, paused func(p deadletters.Plan)) string {
	t.Helper()
	var p deadletters.Plan
	passed := time.Duration(0)
	desk := deadletters.NewDesk(f.audits, func() time.Time { return time.Now().Add(passed) }, func(context.Context, time.Duration) error {
		passed += 4 * time.Second // the test's own time
		paused(p)
		return nil
	})
	var err error
	if p, err = desk.Plan(t.Context(), deadletters.Filter{}, "", deadletters.ActRedrive, ""); err != nil {
		t.Fatal(err)
	}
	r := deadletters.Request{Confirm: p.SHA256, By: plan.Attribution{Actor: "ben", Reason: "mended"}, Timeout: 10 * time.Second}
	sum, err := desk.Apply(t.Context(), p, r, func(plan.Result) {})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, i := range sum.Items {
		said = append(said, strings.TrimSuffix(i.Outcome+" "+i.Detail, " "))
	}
	return strings.Join(said, "; ")
}

// took lets a letter take effect, as its consumer does.
func (f *floor) took(t *testing.T, id string) {
	t.Helper()
	db := f.cores[messages.InventoryService].DB
	for _, change := range []string{"UPDATE dead_letters SET state = 'done', version = version + 1 WHERE message_id = ?", "UPDATE inbox SET outcome = 'done' WHERE message_id = ?"} {
		if _, err := db.ExecContext(t.Context(), db.Rebind(change), id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoSagaIsActedOnWhileALetterOfItsOrderIsUnderWay(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		f.refused(t, "m1")
		asked := false
		got := f.redrive(t, func(p deadletters.Plan) {
			if asked {
				return
			}
			asked = true
			said := f.apply(t, f.plan(t, saga.Compensate))
			if want := "SKIPPED another apply has the saga in hand, that of plan " + p.SHA256 + ": wait until its apply has ended, or apply that plan again"; said != want {
				t.Errorf("beside the letter its saga was %s", said)
			}
			f.took(t, "m1")
		})
		if got != "VERIFIED" || !asked {
			t.Errorf("the letter was %s", got)
		}
		if said := f.apply(t, f.plan(t, saga.Resume)); said != "VERIFIED it is awaiting_payment" {
			t.Errorf("after the letter its saga was %s", said)
		}
	})
}

func TestNoLetterIsActedOnWhileItsOrdersSagaIsUnderWay(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		f.refused(t, "m1")
		asked, seal := false, ""
		f.paused = func() {
			if asked {
				return
			}
			asked = true
			got := f.redrive(t, func(deadletters.Plan) {})
			if want := "SKIPPED another apply has the order in hand: plan " + seal + ": wait until its apply has ended, or apply that plan again"; got != want {
				t.Errorf("beside its saga the letter was %s", got)
			}
			if n := count(t, f.cores[messages.InventoryService].DB, "SELECT count(*) FROM dead_letters WHERE state = 'waiting' AND version = 1"); n != 1 {
				t.Error("something was done all the same")
			}
			f.hear(t, f.orderID, &messages.PaymentSucceeded{OrderID: f.orderID})
		}
		p := f.plan(t, saga.Redrive)
		seal = p.SHA256
		if said := f.apply(t, p); said != "VERIFIED it is awaiting_inventory" || !asked {
			t.Errorf("the saga was %s", said)
		}
		if got := f.redrive(t, func(deadletters.Plan) { f.took(t, "m1") }); got != "VERIFIED" {
			t.Errorf("after its saga the letter was %s", got)
		}
	})
}

func TestLettersOfOneOrderAtTwoServicesHaveOneApplyAtATime(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.refused(t, "m1")
		got := f.redrive(t, func(p deadletters.Plan) {
			if err := f.audits.AcquireLease(t.Context(), f.orderID, plan.Attribution{Plan: "another"}); !errors.Is(err, deadletters.ErrLeaseHeld) {
				t.Errorf("another plan took it: %v", err)
			}
			if err := f.audits.AcquireLease(t.Context(), f.orderID, plan.Attribution{Plan: p.SHA256}); err != nil {
				t.Errorf("the plan itself did not: %v", err)
			}
			f.took(t, "m1")
		})
		if got != "VERIFIED" {
			t.Errorf("it was %s", got)
		}
		if err := f.audits.AcquireLease(t.Context(), f.orderID, plan.Attribution{Plan: "another"}); err != nil {
			t.Errorf("when all was known another plan did not get it: %v", err)
		}
	})
}

// looked moves the clock of ordering on by most of the time that a lease runs, at every look of a live apply, and
// says whether another plan got the order.
func (f *floor) looked(t *testing.T, looks *int) {
	t.Helper()
	*looks++
	later := time.Duration(*looks) * (orderLease - time.Minute)
	f.cores[messages.Orchestrator].Now = func() time.Time { return time.Now().Add(later) }
	if err := f.audits.AcquireLease(t.Context(), f.orderID, plan.Attribution{Plan: "another"}); !errors.Is(err, deadletters.ErrLeaseHeld) {
		t.Errorf("at look %d another plan took the order: %v", *looks, err)
	}
}

func TestAnApplyThatIsAliveLosesNoOrderHoweverLongItWaits(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.hear(t, f.orderID, created(f.orderID))
		f.refused(t, "m1")
		looks := 0
		got := f.redrive(t, func(deadletters.Plan) {
			if f.looked(t, &looks); looks == 2 {
				f.took(t, "m1")
			}
		})
		if got != "VERIFIED" || looks != 2 {
			t.Errorf("after %d looks the letter was %s", looks, got)
		}
		f.paused = func() {
			if f.looked(t, &looks); looks == 5 {
				f.hear(t, f.orderID, &messages.PaymentSucceeded{OrderID: f.orderID})
			}
		}
		if said := f.apply(t, f.plan(t, saga.Redrive)); said != "VERIFIED it is awaiting_inventory" || looks != 5 {
			t.Errorf("after %d looks the saga was %s", looks, said)
		}
	})
}

func TestWhatADeadApplyLeftIsDeletedByWhoeverLooksNext(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		for _, by := range []string{"dead", "paused"} {
			if err := f.audits.AcquireLease(t.Context(), "ord_"+by, plan.Attribution{Plan: by}); err != nil {
				t.Fatal(err)
			}
		}
		look := func(want int) {
			t.Helper()
			if err := f.store.RenewLeases(t.Context(), "of sagas"); err != nil {
				t.Fatal(err)
			}
			if n := count(t, f.db, "SELECT count(*) FROM order_claims"); n != want {
				t.Errorf("%d orders are leased, want %d", n, want)
			}
		}
		look(2)
		f.cores[messages.Orchestrator].Now = func() time.Time { return time.Now().Add(orderLease + time.Minute) }
		if orders, err := f.audits.RenewLeases(t.Context(), plan.Attribution{Plan: "paused"}); err != nil || len(orders) != 1 || orders[0] != "ord_paused" {
			t.Errorf("a plan that is back has the leases of %v, %v", orders, err)
		}
		look(1)
		f.cores[messages.Orchestrator].Now = func() time.Time { return time.Now().Add(3 * orderLease) }
		look(0)
	})
}

func TestWhatAKilledApplyOfLettersHasBegunIsInTheAuditAndHeardOf(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		f.refused(t, "m1")
		died := errors.New("kill -9")
		end := died
		desk := deadletters.NewDesk(f.audits, time.Now, func(context.Context, time.Duration) error { return end })
		p, err := desk.Plan(t.Context(), deadletters.Filter{}, "", deadletters.ActRedrive, "")
		if err != nil {
			t.Fatal(err)
		}
		r := deadletters.Request{Confirm: p.SHA256, By: plan.Attribution{Actor: "ben", Reason: "mended"}, Timeout: 10 * time.Second}
		if _, err := desk.Apply(t.Context(), p, r, func(plan.Result) {}); !errors.Is(err, died) {
			t.Fatal(err)
		}
		db := f.cores[messages.InventoryService].DB
		if _, err := db.ExecContext(t.Context(), "UPDATE dead_letters SET state = 'waiting', version = version + 1, error = 'broken still'"); err != nil {
			t.Fatal(err)
		}
		end = nil
		for range 2 { // and once more
			sum, err := desk.Apply(t.Context(), p, r, func(plan.Result) {})
			if err != nil || sum.FailedAgain != 1 || sum.Items[0].Detail != "broken still" {
				t.Errorf("applied again it is %+v, %v", sum, err)
			}
		}
		if n := count(t, db, "SELECT count(*) FROM ops_audit WHERE outcome = 'FAILED_AGAIN'"); n != 1 {
			t.Errorf("that is noted %d times", n)
		}
		if n := count(t, f.db, "SELECT count(*) FROM order_claims"); n != 0 {
			t.Errorf("%d orders are leased still", n)
		}
		if n := count(t, db, "SELECT count(*) FROM dead_letters WHERE redrives = 1"); n != 1 {
			t.Error("it was sent more than once")
		}
	})
}

func TestOfManyPlansThatWantAnOrderAtOnceOneGetsIt(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		var got, refused atomic.Int32
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				switch err := f.audits.AcquireLease(t.Context(), "ord_1", plan.Attribution{Plan: strings.Repeat("x", n+1)}); {
				case err == nil:
					got.Add(1)
				case errors.Is(err, deadletters.ErrLeaseHeld):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 || refused.Load() != 19 {
			t.Errorf("%d got it, %d did not", got.Load(), refused.Load())
		}
	})
}

func TestAPlanThatDiedHoldsNoOrderForEver(t *testing.T) {
	t.Parallel()
	eachFloor(t, func(t *testing.T, f *floor) {
		dead, next := plan.Attribution{Plan: "dead"}, plan.Attribution{Plan: "next"}
		if err := f.audits.AcquireLease(t.Context(), "ord_1", dead); err != nil {
			t.Fatal(err)
		}
		if err := f.audits.ReleaseLease(t.Context(), "ord_1", next); err != nil {
			t.Fatal(err)
		}
		clock := &f.cores[messages.Orchestrator].Now
		*clock = func() time.Time { return time.Now().Add(orderLease - time.Minute) }
		if err := f.audits.AcquireLease(t.Context(), "ord_1", next); !errors.Is(err, deadletters.ErrLeaseHeld) {
			t.Errorf("in its time another took it: %v", err)
		}
		*clock = func() time.Time { return time.Now().Add(orderLease + time.Minute) }
		if err := f.audits.AcquireLease(t.Context(), "ord_1", next); err != nil {
			t.Errorf("after its time nobody gets it: %v", err)
		}
		if err := f.audits.AcquireLease(t.Context(), "ord_1", dead); !errors.Is(err, deadletters.ErrLeaseHeld) {
			t.Errorf("the one of before still has it: %v", err)
		}
	})
}
