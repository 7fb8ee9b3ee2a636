package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/app/audit"
	"millrace/domain/fault"
)

// watched gives an answer a look, and the last one for ever.
type watched struct {
	Sagas
	answers []error
	looks   int
	look    func(n int) // called at each
}

func (w *watched) Show(context.Context, string) (audit.History, error) {
	n := min(w.looks, len(w.answers)-1)
	w.looks++
	if w.look != nil {
		w.look(w.looks)
	}
	h := audit.History{Saga: audit.Saga{OrderID: "ord_1", State: "awaiting_payment"}, Chain: audit.Chain{OK: true}, Journal: []audit.Entry{
		{Seq: 1, Type: "OrderCreated", Outcome: "applied", From: "new", To: "awaiting_payment", Before: []byte("{}"), After: []byte("{}")},
	}}
	return h, w.answers[n]
}

func watching(w *watched) (*program, *bytes.Buffer, Deps) {
	var out bytes.Buffer
	d := Deps{Stdout: &out, Stderr: io.Discard, Terminal: func(io.Writer) bool { return false }, Sagas: func(context.Context, Where, Access) (Sagas, func() error, error) {
		return w, func() error { return nil }, nil
	}}
	return newProgram(d), &out, d
}

func TestWhoeverInterruptsAWatchHasSeenWhatThereWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &watched{answers: []error{nil}}
		w.look = func(n int) {
			if n == 3 {
				cancel()
			}
		}
		_, out, d := watching(w)
		if code := Run(ctx, []string{"saga", "watch", "ord_1"}, d); code != Done {
			t.Errorf("it ends with %d", code)
		}
		if strings.Count(out.String(), "\n") != 1 || w.looks != 3 {
			t.Errorf("in %d looks it says\n%s", w.looks, out)
		}
	})
}

// A database that goes away for a while is waited for; one that is not there, or an answer that will not
// change, is not.
func TestAWatchOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	away := fault.New(fault.Unavailable, "database_unavailable", "the database is not reachable")
	odd := errors.New("odd")
	for name, c := range map[string]struct {
		answers []error
		looks   int
	}{
		"away at first":   {[]error{away}, 1},
		"away for ever":   {[]error{nil, away}, 27},
		"away for a look": {[]error{nil, away, nil, odd}, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &watched{answers: c.answers}
			p, _, _ := watching(w)
			if err := p.watch(t.Context(), w, "ord_1", time.Second); !errors.Is(err, c.answers[len(c.answers)-1]) || w.looks != c.looks {
				t.Errorf("%s: after %d looks %v", name, w.looks, err)
			}
		})
	}
}
