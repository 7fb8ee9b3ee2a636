package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/migrations"
)

// drain waits until nothing is under way, and does what only a person can do: it has letters that
// the mail server refused for good sent again.
func (w *world) drain(ctx context.Context) {
	if err := w.sendRefusedAgain(ctx); err != nil {
		w.broken("letters that were refused cannot be sent again: %v", err)
	}
	var left string
	err := w.await(ctx, drainWithin, "nothing is under way", func() bool {
		left = w.underWay(ctx)
		return left == ""
	})
	if err != nil {
		w.broken("%v: %s", err, left)
	}
}

// underWay says what is still to be done, in words.
func (w *world) underWay(ctx context.Context) string {
	var all []string
	for _, q := range []struct{ schema, what, query string }{
		{"orders", "open orders", "SELECT count(*) FROM orders WHERE status NOT IN ('CONFIRMED', 'FAILED', 'CANCELLED')"},
		{"payments", "open intents", "SELECT count(*) FROM intents WHERE state = 'open'"},
		{"notifications", "open mails", "SELECT count(*) FROM intents WHERE state = 'open'"},
	} {
		all = append(all, w.some(ctx, q.schema, q.what, q.query))
	}
	for _, schema := range migrations.Schemas {
		all = append(all, w.some(ctx, schema, "outbox rows of "+schema, "SELECT count(*) FROM outbox WHERE published_at IS NULL"))
	}
	all = append(all, w.unsent(ctx))
	return strings.Join(strings.Fields(strings.Join(all, " ")), " ")
}

func (w *world) some(ctx context.Context, schema, what, query string) string {
	n, err := w.count(ctx, schema, query)
	switch {
	case err != nil:
		return fmt.Sprintf("(%s: %v)", what, err)
	case n > 0:
		return fmt.Sprintf("%d %s;", n, what)
	}
	return ""
}

// unsent compares ended orders with sent letters, which come last.
func (w *world) unsent(ctx context.Context) string {
	ended, err := w.count(ctx, "orders", "SELECT count(*) FROM orders WHERE status IN ('CONFIRMED', 'FAILED', 'CANCELLED')")
	done, err2 := w.count(ctx, "notifications", "SELECT count(*) FROM intents WHERE state = 'done'")
	if err = errors.Join(err, err2); err != nil {
		return err.Error()
	}
	if done < ended {
		return fmt.Sprintf("%d of %d letters sent;", done, ended)
	}
	return ""
}

func (w *world) count(ctx context.Context, schema, query string, args ...any) (n int, err error) {
	db := w.dbs[schema]
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = db.Read.GetContext(ctx, &n, db.Read.Rebind(query), args...)
	return n, err
}

// countDuplicates adds up what the services count, whose counters begin again with every process.
func (w *world) countDuplicates(ctx context.Context) (sum func() int) {
	ctx, stop := context.WithCancel(ctx)
	var (
		mu     sync.Mutex
		before = map[string]float64{}
		total  float64
		done   sync.WaitGroup
	)
	look := func() {
		for port := range services {
			for series, value := range w.metrics(w.base+port, "messages_duplicate_total") {
				mu.Lock()
				if grown := value - before[series]; grown > 0 {
					total += grown
				} else if grown < 0 {
					total += value
				}
				before[series] = value
				mu.Unlock()
			}
		}
	}
	done.Go(func() {
		for pause(ctx, time.Second) {
			look()
		}
	})
	return func() int {
		stop()
		done.Wait()
		look()
		return int(total)
	}
}

// metrics reads one counter of one service, by labels.
func (w *world) metrics(port int, name string) map[string]float64 {
	found := map[string]float64{}
	answer, err := w.get(port, "/metrics")
	if err != nil {
		return found
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if series, value, ok := strings.Cut(lines.Text(), " "); ok && (series == name || strings.HasPrefix(series, name+"{")) {
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				found[series] = n
			}
		}
	}
	return found
}
