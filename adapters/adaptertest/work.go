package adaptertest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"millrace/app/messages"
)

// Deed is one service's unit of work as the suite sees it. Write stages a change of state and a
// message for the order, and then returns failure; Effects counts the rows of both that an order
// has left behind.
type Deed struct {
	Write   func(ctx context.Context, orderID string, failure error) error
	Effects func(t *testing.T, orderID string) (states, outgoing int)
}

// UnitOfWork is the promise of every Work.Do.
func UnitOfWork(t *testing.T, open func(t *testing.T) Deed) {
	t.Run("what succeeds leaves state and message", func(t *testing.T) {
		t.Parallel()
		deed := open(t)
		if err := deed.Write(delivered(t.Context(), "m1"), "ord_1", nil); err != nil {
			t.Fatal(err)
		}
		wantEffects(t, deed, "ord_1", 1)
	})

	t.Run("what fails leaves neither state nor message", func(t *testing.T) {
		t.Parallel()
		deed := open(t)
		failure := errors.New("refused")
		if err := deed.Write(delivered(t.Context(), "m1"), "ord_1", failure); !errors.Is(err, failure) {
			t.Fatalf("the failure was lost: %v", err)
		}
		wantEffects(t, deed, "ord_1", 0)
	})

	t.Run("what failed once can succeed later", func(t *testing.T) {
		t.Parallel()
		deed := open(t)
		_ = deed.Write(delivered(t.Context(), "m1"), "ord_1", errors.New("refused"))
		if err := deed.Write(delivered(t.Context(), "m1"), "ord_1", nil); err != nil {
			t.Fatal(err)
		}
		wantEffects(t, deed, "ord_1", 1)
	})

	t.Run("the same message twice has one effect", func(t *testing.T) {
		t.Parallel()
		deed := open(t)
		for range 2 {
			if err := deed.Write(delivered(t.Context(), "m1"), "ord_1", nil); err != nil {
				t.Fatal(err)
			}
		}
		wantEffects(t, deed, "ord_1", 1)
	})

	t.Run("the same message twenty times at once has one effect", func(t *testing.T) {
		t.Parallel()
		deed := open(t)
		ctx := delivered(t.Context(), "m1")
		var all sync.WaitGroup
		errs := make(chan error, 20)
		for range 20 {
			all.Go(func() { errs <- deed.Write(ctx, "ord_1", nil) })
		}
		all.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		wantEffects(t, deed, "ord_1", 1)
	})

	t.Run("a context that is over leaves nothing", func(t *testing.T) {
		t.Parallel()
		deed := open(t)
		ctx, cancel := context.WithCancel(delivered(t.Context(), "m1"))
		cancel()
		var callers sync.WaitGroup
		for range 32 { // a transaction may be about to begin just then
			callers.Go(func() {
				for range 100 {
					if err := deed.Write(ctx, "ord_1", nil); err == nil {
						t.Error("it claims to have worked")
						return
					}
				}
			})
		}
		callers.Wait()
		wantEffects(t, deed, "ord_1", 0)
	})
}

func delivered(ctx context.Context, messageID string) context.Context {
	return messages.WithCause(ctx, messages.Cause{
		Consumer: "suite." + messages.OrderEvents, MessageID: messageID, CausationID: messageID, Topic: messages.OrderEvents,
	})
}

func wantEffects(t *testing.T, deed Deed, orderID string, want int) {
	t.Helper()
	states, outgoing := deed.Effects(t, orderID)
	if states != want || outgoing != want {
		t.Fatalf("%d rows of state and %d of messages, want %d of each", states, outgoing, want)
	}
}
