package sqlstore

import (
	"context"
	"errors"
	"slices"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	paymentapp "millrace/app/payment"
	"millrace/domain/intent"
)

// What the units of one transaction are to each other.

func byMessage(ctx context.Context, id string) context.Context {
	return messages.WithCause(ctx, messages.Cause{Consumer: "c", MessageID: id})
}

func TestTwoUnitsWithOneMessageTakeEffectOnce(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, seen := paymentStore(t, db)
		runs := make(chan string, 10)
		deed := func() error {
			return store.Do(byMessage(t.Context(), "m1"), func(tx paymentapp.Tx) error {
				runs <- "m1"
				open100(t, tx, "ord_1")
				return nil
			})
		}
		if err := errors.Join(gathered(t, core, deed, deed)...); err != nil {
			t.Fatal(err)
		}
		if len(runs) != 1 {
			t.Errorf("the work of one message was run %d times", len(runs))
		}
		if n := count(t, db, "SELECT count(*) FROM payments"); n != 1 {
			t.Errorf("it has left %d payments", n)
		}
		if want := []int{1, 1}; !slices.Equal(seen.all, want) {
			t.Errorf("the transactions committed %v units, want %v: the second has nothing to commit", seen.all, want)
		}
	})
}

func TestTheSecondOfTwoUnitsWithOneMessageIsRunWhenTheFirstFails(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, _ := paymentStore(t, db)
		refused := errors.New("refused")
		deed := func(end error) func() error {
			return func() error {
				return store.Do(byMessage(t.Context(), "m1"), func(tx paymentapp.Tx) error {
					open100(t, tx, "ord_1")
					return end
				})
			}
		}
		errs := gathered(t, core, deed(refused), deed(nil))
		if !errors.Is(errs[0], refused) || errs[1] != nil {
			t.Errorf("they ended with %v", errs)
		}
		if n := count(t, db, "SELECT count(*) FROM payments"); n != 1 {
			t.Errorf("they have left %d payments: the message is lost", n)
		}
	})
}

// A unit that needs two rows, the second of which it knows of by the first, is run three times. Who
// came after it and needs only the first row waits for it all that time.
func TestAUnitDoesNotOvertakeOneThatWaitsForMoreRows(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core, store, seen := paymentStore(t, open(t))
		first := func() error {
			return store.Do(byMessage(t.Context(), "m1"), func(tx paymentapp.Tx) error {
				for _, id := range []string{"ord_1", "ord_2"} {
					if _, err := tx.Payments(t.Context(), id); err != nil {
						return err
					}
				}
				open100(t, tx, "ord_1")
				return nil
			})
		}
		var there bool
		second := func() error {
			return store.Do(byMessage(t.Context(), "m2"), func(tx paymentapp.Tx) error {
				found, err := tx.Payments(t.Context(), "ord_1")
				there = found["ord_1"] != nil
				return err
			})
		}
		if err := errors.Join(gathered(t, core, first, second)...); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 2}; !slices.Equal(seen.all, want) {
			t.Fatalf("the transactions committed %v units, want %v", seen.all, want)
		}
		if !there {
			t.Error("the second did not see what the first has written")
		}
	})
}

// The error that says that rows are not read yet is nobody's to judge.
func TestAUnitIsRunAgainWhateverItMakesOfRowsThatAreNotReadYet(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, _ := paymentStore(t, db)
		if err := store.Do(t.Context(), func(tx paymentapp.Tx) error { open100(t, tx, "ord_1"); return nil }); err != nil {
			t.Fatal(err)
		}
		deed := func(id string, judge func(error) error) func() error {
			return func() error {
				return store.Do(byMessage(t.Context(), id), func(tx paymentapp.Tx) error {
					found, err := tx.Payments(t.Context(), "ord_1")
					if err := judge(err); err != nil {
						return err
					}
					tx.Intend(intent.New(id, intent.Capture))
					if found["ord_1"] == nil {
						return tx.Publish(&messages.PaymentFailed{OrderID: id, Reason: "it saw no payment"})
					}
					return nil
				})
			}
		}
		unreadable := errors.New("the payment cannot be read")
		errs := gathered(t, core,
			deed("ignores", func(error) error { return nil }),
			deed("renames", func(err error) error {
				if err != nil {
					return unreadable
				}
				return nil
			}),
			deed("panics", func(err error) error {
				if err != nil {
					panic(unreadable)
				}
				return nil
			}))
		if err := errors.Join(errs...); err != nil {
			t.Errorf("it got out: %v", errs)
		}
		if n := count(t, db, "SELECT count(*) FROM intents"); n != 3 {
			t.Errorf("%d of 3 took effect", n)
		}
		if n := count(t, db, "SELECT count(*) FROM outbox"); n != 0 {
			t.Errorf("%d decided without the row that they had asked for", n)
		}
	})
}

func TestAnActThatTwoUnitsIntendTogetherIsHandedOverOnce(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core, store, seen := paymentStore(t, open(t))
		deed := func(id string) func() error {
			return func() error {
				return store.Do(byMessage(t.Context(), id), func(tx paymentapp.Tx) error {
					tx.Intend(intent.New("ord_1", intent.Capture))
					return nil
				})
			}
		}
		if err := errors.Join(gathered(t, core, deed("m1"), deed("m2"))...); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 2}; !slices.Equal(seen.all, want) {
			t.Fatalf("the transactions committed %v units, want %v", seen.all, want)
		}
		handed := 0
		for len(store.intents.Committed()) > 0 {
			handed += len(<-store.intents.Committed())
		}
		if handed != 1 {
			t.Errorf("it was handed to the worker %d times", handed)
		}
	})
}

func TestOfASetThatPartlyComesAgainOnlyWhatIsNewIsRun(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, seen := paymentStore(t, db)
		runs := make(chan string, 10)
		deed := func(id string) func() error {
			return func() error {
				return store.Do(byMessage(t.Context(), id), func(tx paymentapp.Tx) error {
					runs <- id
					open100(t, tx, id)
					return nil
				})
			}
		}
		before := []func() error{deed("m1"), deed("m3")}
		again := []func() error{deed("m1"), deed("m2"), deed("m3"), deed("m4")}
		if err := errors.Join(append(gathered(t, core, before...), gathered(t, core, again...)...)...); err != nil {
			t.Fatal(err)
		}
		close(runs)
		var got []string
		for id := range runs {
			got = append(got, id)
		}
		if want := []string{"m1", "m3", "m2", "m4"}; !slices.Equal(got, want) {
			t.Errorf("run were %v, want %v", got, want)
		}
		if want := []int{1, 2, 1, 2}; !slices.Equal(seen.all, want) {
			t.Errorf("the transactions committed %v units, want %v", seen.all, want)
		}
		if n := count(t, db, "SELECT count(*) FROM payments"); n != 4 {
			t.Errorf("they have left %d payments", n)
		}
	})
}

// Its first run was among others, the next ones are by itself: it is not one chance alone.
func TestAUnitThatMeetsOthersAFewTimesSucceedsInTheEnd(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		d := newDeed(open(t))
		const met = 3
		if err := d.do(delivery(t.Context()), func(*paymentTx) error {
			if d.runs.Load() <= met {
				return sqldb.ErrRetry
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := d.runs.Load(); n != met+1 {
			t.Errorf("it was run %d times, after meeting others %d times", n, met)
		}
		d.effects(t, 1)
	})
}

// Mostly whoever was in the way has ended by the time that it shows: those who met it go on together.
func TestUnitsThatMeetAnotherTransactionAreCommittedTogetherAfterIt(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, _, seen := paymentStore(t, db)
		once := insert("inbox", "consumer text, message_id text, outcome text, handled_at timestamptz", "")
		writes := func(id string) error {
			return core.do(t.Context(), func(u *unit) error {
				u.stage(once, "c", id, "done", u.now)
				return nil
			})
		}
		if err := writes("taken"); err != nil {
			t.Fatal(err)
		}
		runs := 0
		deeds := []func() error{
			func() error { return writes("ours") },
			func() error {
				return core.do(t.Context(), func(u *unit) error {
					runs++
					if runs == 1 { // it has not seen yet what the other has written
						u.stage(once, "c", "taken", "done", u.now)
					}
					return nil
				})
			},
			func() error { return writes("theirs") },
			func() error { // what it saw of its neighbours has never been
				return core.do(byMessage(t.Context(), "judged"), func(*unit) error {
					if runs == 1 {
						return errors.New("refused")
					}
					return nil
				})
			},
			func() error {
				return core.do(messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: "taken"}), func(*unit) error {
					t.Error("a message that was handled before is run")
					return nil
				})
			},
		}
		if err := errors.Join(gathered(t, core, deeds...)...); err != nil {
			t.Fatal(err)
		}
		if want := []int{1, 1, 4}; !slices.Equal(seen.all, want) {
			t.Errorf("the transactions committed %v units, want %v", seen.all, want)
		}
		if seen.duplicates != 1 {
			t.Errorf("%d duplicates were counted", seen.duplicates)
		}
		if n := count(t, db, "SELECT count(*) FROM inbox"); n != 4 {
			t.Errorf("there are %d rows", n)
		}
	})
}

// Whoever failed by what a neighbour had written, and what was rolled back with it, has seen what never was.
func TestAUnitThatFailedByWhatWasRolledBackIsRunAgain(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, store, _ := paymentStore(t, db)
		writer := func() error {
			return store.Do(byMessage(t.Context(), "m1"), func(tx paymentapp.Tx) error {
				open100(t, tx, "ord_1")
				tx.Settle(intent.Intent{ID: "nobody's", Version: 1}) // fails when it is written
				return nil
			})
		}
		refusals := 0
		reader := func() error {
			return store.Do(byMessage(t.Context(), "m2"), func(tx paymentapp.Tx) error {
				found, err := tx.Payments(t.Context(), "ord_1")
				if found["ord_1"] != nil {
					refusals++
					return errors.New("the order is paid already")
				}
				return err
			})
		}
		errs := gathered(t, core, writer, reader)
		if refusals != 1 {
			t.Fatalf("the reader saw the writer's payment %d times, want once", refusals)
		}
		if !errors.Is(errs[0], ErrStale) || errs[1] != nil {
			t.Errorf("they ended with %v", errs)
		}
	})
}

// A transaction has a time of its own: that of a member that is over is nothing to its neighbours.
func TestAMemberWhoseTimeIsOverDoesNotEndItsTransaction(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, _, _ := paymentStore(t, db)
		mustExec(t, db, "INSERT INTO held_orders (consumer, order_id, length) VALUES ('c', 'ord_1', 1)")
		over, end := context.WithCancel(messages.WithCause(t.Context(), messages.Cause{
			Consumer: "c", MessageID: "m1", CorrelationID: "ord_1", Handler: "h", Delivery: &inHand{letter: letterOf("c", "ord_1", "m1")},
		}))
		end()
		held := newMember(over, func(*unit) error { return nil })
		neighbour := newMember(byMessage(t.Context(), "m2"), func(*unit) error { return nil })
		if err := core.try([]*member{neighbour, held}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM inbox WHERE message_id = 'm2' AND outcome = 'done' OR message_id = 'm1' AND outcome = 'parked'"); n != 2 {
			t.Errorf("%d of 2 messages are in the inbox", n)
		}
	})
}

func TestAUnitWhoseCallerLeavesWhenItIsBegunIsCommitted(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core, _, _ := paymentStore(t, db)
		ctx, leave := context.WithCancel(byMessage(t.Context(), "m1"))
		err := core.alone(ctx, func(*unit) error { leave(); return nil })
		if n := count(t, db, "SELECT count(*) FROM inbox WHERE message_id = 'm1'"); err != nil || n != 1 {
			t.Errorf("it ended with %v, and its message is %d times in the inbox", err, n)
		}
	})
}
