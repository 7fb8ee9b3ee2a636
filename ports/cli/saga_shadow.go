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

// overlap is how far every look reaches back behind the newest move that the one before it knew of: an entry may
// be committed a while after the time that is written on it, and the clocks of two orchestrators differ.
const overlap = time.Minute

func (p *program) sagaShadow() *cobra.Command {
	c := &cobra.Command{
		Use:   "shadow",
		Short: "Follow the live journal, and say where this build would decide otherwise",
		Long: `Replay every saga that moves while the command runs, each time that it has moved, with this build beside
the one that is deployed, each by the version of the definition that it has. Nothing is written or sent. It ends after --for, on Ctrl-C, or with
--stop-at-first at the first divergence, and exits 2 when there was one, and 3 when no saga moved, which says
nothing about the build. What has moved is told by the times that the orchestrators write, not by the clock of
this machine; theirs may differ by a minute from each other.

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
			return errors.New("--every must be above 0 and --for must not be negative")
		}
		q, err := parseQuery([]string{*query}, p.Now())
		if err != nil {
			return err
		}
		if p.Histories == nil || p.Newest == nil {
			return missing(c)
		}
		s := &shadow{program: p, where: where(), query: q, options: o, stop: *stop, seen: map[string]int{}, diverged: map[string]int{}}
		if *addr != "" {
			end, err := s.serve(c.Context(), *addr)
			if err != nil {
				return fmt.Errorf("--metrics: %w", err)
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

// follow looks again and again, at what moves after its first look. Where to begin is read from the database: no
// clock of this machine is part of it.
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
	var since time.Time
	last := false
	for look := s.remember; ; look = s.look {
		next, err := s.before(ctx)
		if since.IsZero() {
			since = next
		}
		if err == nil {
			err = look(ctx, since)
		}
		switch {
		case ctx.Err() != nil:
			return s.end(began)
		case err != nil:
			return err
		case last, s.stop && len(s.diverged) > 0:
			return s.end(began)
		}
		since = next
		select {
		case <-ctx.Done():
			return s.end(began)
		case <-over: // with a look at what has moved since the one before
			last = true
		case <-ticker.C:
		}
	}
}

// before gives the time from which on everything is chosen that moves from now on; none while there is no saga.
func (s *shadow) before(ctx context.Context) (time.Time, error) {
	newest, err := s.Newest(ctx, s.where)
	if err != nil || newest.IsZero() {
		return time.Time{}, err
	}
	return newest.Add(-overlap), nil
}

// remember takes what had moved already for seen.
func (s *shadow) remember(ctx context.Context, since time.Time) error {
	h, err := s.moved(ctx, since)
	if err != nil {
		return err
	}
	for one, broken := range h.All {
		if broken != nil {
			return errors.Join(broken, h.Close())
		}
		s.seen[one.Saga.OrderID] = one.Saga.Entries
	}
	return h.Close()
}

func (s *shadow) moved(ctx context.Context, since time.Time) (*Histories, error) {
	q := s.query
	q.Moved = since
	return s.Histories(ctx, s.where, q)
}

// look replays what has moved since then and has not been replayed as far as it is now.
func (s *shadow) look(ctx context.Context, since time.Time) error {
	h, err := s.moved(ctx, since)
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
		return WithCode(Damaged, errors.New("no saga moved, so nothing was compared and nothing is known of this build: follow for longer, while orders come"))
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
