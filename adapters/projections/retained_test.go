package projections_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/adapters/journal/archive"
	"millrace/app/analytics"
	"millrace/app/messages"
	"millrace/domain/order"
	"millrace/sagas/replay"
)

// retained lets the retention archive every journal whose saga has ended, and gives what its files hold.
func (s *shop) retained(t *testing.T) []replay.History {
	t.Helper()
	dir := t.TempDir()
	r, err := archive.New(archive.Config{DB: s.db, Dir: dir, Age: -time.Hour, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := r.Run(t.Context()); err != nil || done.Sagas == 0 {
		t.Fatal(done, err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*.gz"))
	var all []replay.History
	for _, path := range paths {
		packed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := replay.NewReader(text)
		if err != nil {
			t.Fatal(err)
		}
		for h, err := range bundle.Histories() {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
		}
	}
	return all
}

// late takes a message to a saga that it has heard before, under another id.
func (s *shop) late(ctx context.Context, id string) error {
	m := &messages.PaymentSucceeded{OrderID: id}
	return s.engine.Handle(messages.WithCause(ctx, messages.Cause{
		Consumer: "orchestrator." + messages.PaymentEvents, MessageID: messages.DerivedID(id, m.Name(), 1), CorrelationID: id, Type: m.Name(), Topic: messages.PaymentEvents,
	}), m)
}

// An archived journal may have gone on: what came after is chained to the note of where its beginning is.
func TestAMessageThatCameAfterTheArchiveHindersNoRebuild(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		id := s.ended(t, order.Confirmed)
		if err := s.recorded(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		all := s.retained(t)
		if err := s.late(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.rebuild(t.Context(), model); !errors.Is(err, analytics.ErrHistory) || !strings.Contains(err.Error(), ": its journal is in sagas-") ||
			!strings.Contains(err.Error(), ": name it with --archive") {
			t.Errorf("without the files it ends with %v", err)
		}
		if report := s.mustRebuild(t, model, filed(all)); !report.Identical || report.Orders != 6 {
			t.Errorf("with the files it reports %+v", report)
		}
		s.right(t, model)

		s.exec(t, "UPDATE sagas SET journal_hash = 'forged' WHERE order_id = '"+id+"'")
		if _, err := s.rebuild(t.Context(), model, filed(all)); !errors.Is(err, analytics.ErrHistory) || !strings.Contains(err.Error(), id) {
			t.Errorf("with a tail that is damaged it ends with %v", err)
		}
	})
}

// A saga may have moved between two runs of the retention, the first of which was killed: it is in two files.
func TestOfTwoFilesWithOneSagaTheLongerOneCounts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		id := s.ended(t, order.Confirmed)
		if err := s.recorded(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		earlier := s.exported(t)
		if err := s.late(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		later := s.retained(t)
		for name, files := range map[string][]replay.History{
			"the longer one last": slices.Concat(earlier, later), "the longer one first": slices.Concat(later, earlier),
		} {
			if report := s.mustRebuild(t, model, filed(files)); !report.Identical || report.Orders != 6 {
				t.Errorf("%s: it reports %+v", name, report)
			}
		}
	})
}
