package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

const (
	rate         = 11.0 // orders a second
	seenWithin   = 60 * time.Second
	backWithin   = 90 * time.Second
	drainWithin  = 3 * time.Minute
	clientEnds   = 60 * time.Second
	verifyWithin = time.Minute
)

// attack is a whole run: load, inject, heal, drain, verify. It fails only when it could not be run;
// what it found is in the report.
func attack(ctx context.Context, o options, out io.Writer) (*report, error) {
	w, err := newWorld(ctx, o, out)
	if w == nil {
		return nil, err
	}
	defer w.close()
	if err != nil {
		return nil, err
	}
	w.say("chaos: %s stack, seed %d, %s; again: %s", o.Stack, o.Seed, o.Duration, o.command())
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	p, err := choose(w)
	if err != nil {
		return nil, err
	}
	w.say("%s", p.describe())
	if err := w.startClient(ctx); err != nil {
		return nil, err
	}
	r := newReport(w, p)
	w.began = time.Now()
	counting := w.countDuplicates(ctx)

	w.enter("load")
	if err := w.tell(false, "rate %g", rate); err != nil {
		return nil, err
	}
	if err := w.recovered(ctx, backWithin); err != nil {
		return nil, fmt.Errorf("the system does not work before anything was done to it: %w", err)
	}
	pause(ctx, 2*time.Second)

	w.enter("inject")
	for _, volley := range p.volleys {
		w.strikeAll(ctx, r, volley, true)
	}
	// A longer run goes on with the same rows, in another order.
	for again := slices.Clone(p.volleys); time.Since(w.began) < o.Duration-finishing && ctx.Err() == nil; {
		w.chance.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		for _, volley := range again {
			if time.Since(w.began) >= o.Duration-finishing || ctx.Err() != nil {
				break
			}
			w.strikeAll(ctx, r, repeatable(volley), false)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	w.enter("heal")
	w.healAll(ctx)

	w.enter("drain")
	w.client.leaves()
	if err := w.tell(true, "finish %g", clientEnds.Seconds()); err != nil {
		w.broken("%v", err)
	}
	w.drain(ctx)

	w.enter("verify")
	r.Duplicates.Delivered = counting()
	w.judge(ctx, r)
	r.finish(w)
	w.say("\n%s", r.text())
	if o.Report != "" {
		if err := r.save(o.Report); err != nil {
			return r, err
		}
	}
	w.keep(r)
	if o.Corpus != "" {
		if err := w.saveHistories(ctx, o.Corpus); err != nil {
			return r, err
		}
	}
	return r, nil
}

// finishing is what a run needs after the last fault.
const finishing = 20 * time.Second

func (w *world) enter(phase string) {
	w.phase = phase
	w.say("%s: %s", time.Now().Format("15:04:05"), phase)
}

// repeatable leaves out what can be done only once.
func repeatable(volley []fault) []fault {
	return slices.DeleteFunc(slices.Clone(volley), func(f fault) bool { return f.once })
}

// strikeAll lets the faults of one volley happen side by side, waits until each was seen and has
// been mended, and measures how long the system needs to come back.
func (w *world) strikeAll(ctx context.Context, r *report, volley []fault, planned bool) {
	if len(volley) == 0 {
		return
	}
	from := time.Now()
	var strikes sync.WaitGroup
	healed := make([]time.Time, len(volley))
	for i, f := range volley {
		strikes.Go(func() {
			how, seen := w.strikeOnce(ctx, f)
			healed[i] = time.Now()
			r.struck(f, planned, seen, how)
			verdict := "seen"
			if !seen {
				verdict = "NOT SEEN"
			}
			w.say("  %s %-46s %s: %s", healed[i].Format("15:04:05"), f.name, verdict, how)
		})
	}
	strikes.Wait()
	mended := slices.MaxFunc(healed, time.Time.Compare)
	if err := w.recovered(ctx, backWithin); err != nil && ctx.Err() == nil {
		w.broken("after %s the system does not come back: %v", names(volley), err)
	}
	w.mu.Lock()
	w.hurts = append(w.hurts, hurt{names(volley), from, time.Now()})
	w.mu.Unlock()
	took := time.Since(mended)
	r.recovered(took)
	w.say("  %s back after %.1f s", time.Now().Format("15:04:05"), took.Seconds())
}

func names(volley []fault) string {
	var all []string
	for _, f := range volley {
		all = append(all, f.name)
	}
	return strings.Join(all, " + ")
}

func (w *world) strikeOnce(ctx context.Context, f fault) (how string, seen bool) {
	b, err := f.begin(ctx, w)
	if err == nil {
		waited := w.await(ctx, seenWithin, "it is seen", func() bool {
			how, seen = b.seen(ctx)
			return seen
		})
		if seen {
			pause(ctx, b.hold)
		} else {
			how = strings.TrimSpace(how + " (" + waited.Error() + ")")
		}
	} else {
		how = err.Error()
	}
	if b.heal != nil {
		if err := b.heal(context.WithoutCancel(ctx)); err != nil {
			w.broken("%s cannot be mended: %v", f.name, err)
		}
	}
	return how, seen
}

// healAll mends whatever a fault may have left, and waits until the system works.
func (w *world) healAll(ctx context.Context) {
	w.mischief.set(nil)
	if err := errors.Join(w.mood("250"), w.points.clear()); err != nil {
		w.broken("%v", err)
	}
	if err := w.recovered(ctx, backWithin); err != nil {
		w.broken("at the end the system does not come back: %v", err)
	}
}

// describe prints the plan before anything happens.
func (p plan) describe() string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	kinds := map[string]bool{}
	n := 0
	for i, volley := range p.volleys {
		for _, f := range volley {
			n++
			kinds[f.kind] = true
			fmt.Fprintf(t, "  %d\t%s\t%s\t%s\n", i+1, f.name, f.kind, f.does)
		}
	}
	_ = t.Flush() // into memory
	for _, why := range p.leftOut {
		fmt.Fprintf(&text, "  not planned: %s\n", why)
	}
	fmt.Fprintf(&text, "  planned: %d faults of %d kinds in %d volleys", n, len(kinds), len(p.volleys))
	return text.String()
}

// keep keeps the folder of a run that did not pass.
func (w *world) keep(r *report) {
	if r.code() == exitPassed && !w.opts.Keep {
		w.mu.Lock()
		w.closers = append([]func(){func() { _ = os.RemoveAll(w.dir) }}, w.closers...) // the last of all
		w.mu.Unlock()
		return
	}
	w.say("logs, journals and books of the run are in %s", w.dir)
}
