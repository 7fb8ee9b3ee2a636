package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// stopLimit is how long a process may take from the signal to its end.
const stopLimit = 9 * time.Second

// part is one loop of a process: it runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// process is everything that one operating system process runs, in the order in which it must
// stop: first nothing new is accepted, then what is in hand is finished, then the outbox is
// carried to Kafka, and only then do the servers go that all of this stands on.
type process struct {
	logger    *slog.Logger
	accepting []part         // HTTP: answers from the first moment, not ready until prepared
	consuming []part         // routers, workers, timers, pollers
	relaying  []part         // outbox relays
	drain     []func()       // makes /readyz say no, first of all
	closers   []func() error // databases and servers, closed in reverse
	pause     time.Duration  // between the no and the end of accepting, for load balancers
}

func (p *process) closeLast(end func() error) { p.closers = append(p.closers, end) }

// run starts HTTP, prepares, starts the rest, calls ready, and stops in order when ctx ends or a
// part fails. prepare waits for dependencies; its failure ends the process.
func (p *process) run(ctx context.Context, prepare func(context.Context) error, ready func(context.Context)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	accept, consume, relay := newStage(ctx, fail), newStage(ctx, fail), newStage(ctx, fail)

	accept.start(p.accepting)
	if err := prepare(ctx); err != nil {
		fail(err)
	} else if ctx.Err() == nil {
		relay.start(p.relaying)
		consume.start(p.consuming)
		ready(ctx)
		<-ctx.Done()
	}

	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	for _, no := range p.drain {
		no()
	}
	if p.pause > 0 {
		p.logger.Info("stopping: no new work")
		wait(limit, p.pause)
	}
	accept.stop(limit)
	consume.stop(limit)
	relay.stop(limit)
	p.close(limit)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// close closes everything, newest first. What takes longer than the limit is left to the end of
// the process.
func (p *process) close(limit context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := len(p.closers) - 1; n >= 0; n-- {
			if err := p.closers[n](); err != nil {
				p.logger.Warn("closing", "error", err)
			}
		}
	}()
	select {
	case <-done:
	case <-limit.Done():
	}
}

// stage is parts that stop together.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	fail   context.CancelCauseFunc
	all    sync.WaitGroup
}

// newStage makes a stage that outlives ctx: it ends when it is stopped.
func newStage(ctx context.Context, fail context.CancelCauseFunc) *stage {
	s := &stage{fail: fail}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

func (s *stage) start(parts []part) {
	for _, p := range parts {
		s.all.Go(func() {
			if err := p.run(s.ctx); err != nil && s.ctx.Err() == nil {
				s.fail(fmt.Errorf("%s: %w", p.name, err))
			}
		})
	}
}

func (s *stage) stop(limit context.Context) {
	s.cancel()
	done := make(chan struct{})
	go func() {
		s.all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-limit.Done():
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
