package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/ports/cli"
	"millrace/sagas/replay"
)

// fakeHistories gives the corpus's confirmed order, and what can be wrong with it.
func fakeHistories(_ context.Context, _ cli.Where, q audit.Query, orderIDs ...string) (*cli.Histories, error) {
	var all []replay.History
	switch {
	case q.User == "usr_older": // its saga of version 1 was undone where version 2 would have waited
		all = append(all, kept("inventorytimeout"))
	case q.User == "usr_diverged":
		orderIDs = []string{"ord_diverged"}
	case len(orderIDs) == 0 && q.Status != "FAILED":
		all = append(all, kept("confirmed"))
	case slices.Contains(orderIDs, "ord_none"):
		return nil, fault.New(fault.NotFound, "saga_not_found", "there is no order with that id: `millrace saga list` shows those there are")
	}
	for _, id := range orderIDs {
		h := kept("confirmed")
		switch id {
		case "ord_damaged":
			h.Entries = h.Entries[:2]
		case "ord_diverged":
			h = charged(h)
		case "ord_future": // it began with a version that this build does not have
			h.Saga.Definition = 99
			for i := range h.Entries {
				h.Entries[i].Definition = 99
			}
		}
		h.Saga.OrderID = id
		all = append(all, rechained(h, id != "ord_damaged"))
	}
	entries := 0
	for _, h := range all {
		entries += len(h.Entries)
	}
	return &cli.Histories{Sagas: len(all), Entries: entries, Close: func() error { return nil }, All: func(yield func(replay.History, error) bool) {
		for _, h := range all {
			if !yield(h, nil) {
				return
			}
		}
	}}, nil
}

// fakeMoves lets the sagas move after the first look of whoever follows them.
func fakeMoves() func(context.Context, cli.Where, audit.Query, ...string) (*cli.Histories, error) {
	followed := false
	return func(ctx context.Context, w cli.Where, q audit.Query, orderIDs ...string) (*cli.Histories, error) {
		if !q.Moved.IsZero() && !followed {
			followed = true
			return &cli.Histories{All: func(func(replay.History, error) bool) {}, Close: func() error { return nil }}, nil
		}
		return fakeHistories(ctx, w, q, orderIDs...)
	}
}

func fakeNewest(context.Context, cli.Where) (time.Time, error) { return today, nil }

// charged is a history in which the customer was told another amount than would be told now.
func charged(h replay.History) replay.History {
	last := &h.Entries[len(h.Entries)-1]
	last.Sent[0].Data = []byte(strings.Replace(string(last.Sent[0].Data), "2400", "2401", 1))
	return h
}

// rechained makes it a history of its order; without a chain that fits where none is wished.
func rechained(h replay.History, fits bool) replay.History {
	var hash string
	for i := range h.Entries {
		e := &h.Entries[i]
		e.OrderID = h.Saga.OrderID
		e.Payload = []byte(strings.ReplaceAll(string(e.Payload), "ord_confirmed", e.OrderID))
		for n := range e.Sent {
			e.Sent[n].Data = []byte(strings.ReplaceAll(string(e.Sent[n].Data), "ord_confirmed", e.OrderID))
		}
		var err error
		if hash, err = replay.Chain(hash, *e); err != nil {
			panic(err)
		}
		if fits {
			e.Hash = hash
		}
	}
	h.Saga.Hash = hash
	return h
}

// kept gives a history of the corpus.
func kept(name string) replay.History {
	_, here, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../sagas/testdata/corpus", name+".ndjson"))
	if err != nil {
		panic(err)
	}
	bundle, err := replay.NewReader(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	for h, err := range bundle.Histories() {
		if err != nil {
			panic(err)
		}
		return h
	}
	panic("the bundle is empty")
}
