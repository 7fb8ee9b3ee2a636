package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	"millrace/sagas/replay"
)

// overlap is how far every look reaches back behind the one before it: an entry may be committed a
// while after the time that is written on it.
const overlap = time.Minute

func (p *program) sagaShadow() *cobra.Command {
	c := &cobra.Command{
		Use:   "shadow",
		Short: "Follow the live journal, and say where this build would decide otherwise",
		Long: `Replay every saga that moves while the command runs, each time that it has moved, with this build beside
the one that is deployed, each by the version of the definition that it has. Nothing is written or sent. It ends after --for, on Ctrl-C, or with
--stop-at-first at the first divergence, and exits 2 when there was one.

--metrics ADDR serves saga_divergence_total{class} and saga_shadow_replayed_total for
Prometheus at /metrics.`,
		Example: "  millrace saga shadow --for 1h --metrics 127.0.0.1:9464\n  millrace saga shadow --for 10m --stop-at-first",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	f := c.Flags()
	query := f.String("query", "", "only those; the words of `millrace saga list`")
	lasts := f.Duration("for", 0, "how long; 0 until Ctrl-C")
	every := f.Duration("every", 5*time.Second, "time between two looks")
	stop := f.Bool("stop-at-first", false, "end at the first divergence")
	addr := f.String("metrics", "", "address on which metrics are served")
	match := f.String("match", "strict", "what must be equal: strict, commands or terminal")
	ignore := f.StringArray("ignore", nil, "JSON pointer to what may differ; * stands for one step; may be repeated")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := replayOptions("recorded", *match, *ignore, 1, 8)
		if err != nil {
			return err
		}
		if *every <= 0 || *lasts < 0 {
			return errors.New("saga shadow: --every must be above 0 and --for must not be negative")
		}
		q, err := parseQuery([]string{*query}, p.Now())
		if err != nil {
			return err
		}
		if p.Histories == nil {
			return missing(c)
		}
		s := &shadow{program: p, where: where(), query: q, options: o, stop: *stop, seen: map[string]int{}, diverged: map[string]int{}}
		if *addr != "" {
			end, err := s.serve(c.Context(), *addr)
			if err != nil {
				return fmt.Errorf("saga shadow: --metrics: %w", err)
			}
			defer end()
		}
		return s.follow(c.Context(), *lasts, *every)
	}
	return c
}

// shadow is one run of the verb.
type shadow struct {
	*program
	where   Where
	query   audit.Query
	options replay.Options
	stop    bool

	seen     map[string]int // by order: how many entries were replayed, of those that the last look saw
	diverged map[string]int // by order: the entry at which it did

	mu  sync.Mutex
	sum replay.Summary // a saga counts each time that it has moved, and diverges once
}

// follow looks again and again. The first look takes what moves from now on.
func (s *shadow) follow(ctx context.Context, lasts, every time.Duration) error {
	began := s.Now()
	var over <-chan time.Time
	if lasts > 0 {
		timer := time.NewTimer(lasts)
		defer timer.Stop()
		over = timer.C
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for since := began; ; {
		next := s.Now()
		err := s.look(ctx, since)
		switch {
		case ctx.Err() != nil:
			return s.end(began)
		case err != nil:
			return fmt.Errorf("saga shadow: %w", err)
		case s.stop && len(s.diverged) > 0:
			return s.end(began)
		}
		if since = next.Add(-overlap); since.Before(began) {
			since = began
		}
		select {
		case <-ctx.Done():
			return s.end(began)
		case <-over:
			return s.end(began)
		case <-ticker.C:
		}
	}
}

// look replays what has moved since then and has not been replayed as far as it is now.
func (s *shadow) look(ctx context.Context, since time.Time) error {
	q := s.query
	q.Moved = since
	h, err := s.Histories(ctx, s.where, q)
	if err != nil {
		return err
	}
	now := map[string]int{}
	moved := func(yield func(replay.History, error) bool) {
		for one, err := range h.All {
			if err == nil {
				now[one.Saga.OrderID] = one.Saga.Entries
				if s.seen[one.Saga.OrderID] == one.Saga.Entries {
					continue
				}
			}
			if !yield(one, err) {
				return
			}
		}
	}
	_, err = replay.Run(moved, s.options, s.tell)
	s.seen = now
	return errors.Join(err, h.Close())
}

func (s *shadow) tell(r replay.Result) error {
	first, differs := r.First()
	if at, known := s.diverged[r.OrderID]; differs && known && at == first.Seq {
		return nil // it was told when it came there
	}
	s.mu.Lock()
	s.sum.Add(r)
	s.mu.Unlock()
	if !differs {
		return nil
	}
	s.diverged[r.OrderID] = first.Seq
	if s.json {
		return writeJSON(s.Stdout, r)
	}
	s.printResult(r)
	return nil
}

func (s *shadow) end(began time.Time) error {
	if s.json {
		if err := writeJSON(s.Stdout, map[string]any{"summary": s.sum}); err != nil {
			return err
		}
	} else {
		s.printSummary(s.sum)
		fmt.Fprintf(s.Stderr, "followed for %s\n", s.Now().Sub(began).Round(time.Second))
	}
	if s.sum.Sagas == 0 {
		return nil // nothing moved, and that is no damage
	}
	return verdictOf(s.sum)
}

// serve answers Prometheus until the returned function is called.
func (s *shadow) serve(ctx context.Context, addr string) (func(), error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, s.metrics()) // who asked has gone
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }() // ends with Close
	fmt.Fprintf(s.Stderr, "metrics at http://%s/metrics\n", l.Addr())
	return func() { _ = server.Close() }, nil
}

// metrics is the exposition format of Prometheus.
func (s *shadow) metrics() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out strings.Builder
	fmt.Fprintf(&out, "# HELP saga_shadow_replayed_total Replays of sagas that had moved.\n# TYPE saga_shadow_replayed_total counter\nsaga_shadow_replayed_total %d\n", s.sum.Sagas)
	out.WriteString("# HELP saga_divergence_total Sagas that this build would decide otherwise or cannot replay.\n# TYPE saga_divergence_total counter\n")
	for _, class := range slices.Sorted(maps.Keys(s.sum.Classes)) {
		fmt.Fprintf(&out, "saga_divergence_total{class=%q} %d\n", class, s.sum.Classes[class])
	}
	return out.String()
}
