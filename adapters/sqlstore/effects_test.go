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

// noted is a cache of marks that tells what was in the database when it was asked to mark.
type noted struct {
	t     *testing.T
	db    *sqldb.DB
	marks map[string]bool
	seen  []int // inbox rows, at each Mark
}

func (n *noted) Seen(_ context.Context, consumer, id string) bool { return n.marks[consumer+"/"+id] }

func (n *noted) Mark(_ context.Context, consumer, id string) {
	n.marks[consumer+"/"+id] = true
	n.seen = append(n.seen, count(n.t, n.db, "SELECT count(*) FROM inbox"))
}

func TestAMessageIsMarkedAfterItsCommitAndNotBefore(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		d := newDeed(open(t))
		marks := &noted{t: t, db: d.db, marks: map[string]bool{}}
		d.store.core.Marks = marks
		failure := errors.New("the work fails")
		if err := d.do(delivery(t.Context()), func(*paymentTx) error { return failure }); !errors.Is(err, failure) {
			t.Fatal(err)
		}
		if len(marks.marks) > 0 {
			t.Fatal("work that failed was marked as done: its message is lost")
		}
		for range 2 { // the second finds the mark
			if err := d.do(delivery(t.Context()), nil); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(marks.seen, []int{1}) {
			t.Errorf("inbox rows at each mark: %v, want one row at one mark", marks.seen)
		}
		marks.marks = map[string]bool{} // flushed: the inbox still knows
		if err := d.do(delivery(t.Context()), nil); err != nil {
			t.Fatal(err)
		}
		if n := d.runs.Load(); n != 2 {
			t.Errorf("the work was run %d times, once failing and once for good", n)
		}
		d.effects(t, 1)
	})
}

// atCommit is an observer that looks at the database as soon as a commit is known.
type atCommit struct {
	silent
	look func()
}

func (o atCommit) CommitBatch(int) { o.look() }

func TestAMessageIsInTheOutboxAsSoonAsTheStateThatItTellsOf(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		d := newDeed(open(t))
		looked := false
		d.store.core.Observer = atCommit{look: func() {
			looked = true
			d.effects(t, 1)
		}}
		if err := d.do(delivery(t.Context()), nil); err != nil {
			t.Fatal(err)
		}
		if !looked {
			t.Error("nobody was told of the commit")
		}
	})
}

func TestAnActThatWasIntendedBeforeIsNotHandedOverAgain(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		core := newCore(open(t))
		intents := NewIntents(core)
		store := NewPayments(core, intents)
		for _, id := range []string{"m1", "m2"} { // two messages that ask for the same act
			ctx := messages.WithCause(t.Context(), messages.Cause{Consumer: "c", MessageID: id})
			if err := store.Do(ctx, func(tx paymentapp.Tx) error {
				tx.Intend(intent.New("ord_1", intent.Capture))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(intents.Committed()); n != 1 {
			t.Errorf("it was handed to the worker %d times", n)
		}
	})
}
