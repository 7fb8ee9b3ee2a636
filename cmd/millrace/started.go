package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"millrace/domain/fault"
)

// started says whether the process is past its preparations.
type started struct{ yes atomic.Bool }

func (s *started) set() { s.yes.Store(true) }

var errStarting = errors.New("still starting: waiting for a dependency")

func (s *started) ready(context.Context) error {
	if s.yes.Load() {
		return nil
	}
	return errStarting
}

// patiently tries until it works, ctx ends, or the failure is one that waiting does not mend.
func (s *stack) patiently(ctx context.Context, what string, try func(context.Context) error) error {
	const longest = 5 * time.Second
	logger := s.logger("millrace")
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := try(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || fault.KindOf(err) != fault.Unavailable {
			return err
		}
		if n%10 == 0 {
			logger.Warn("waiting for what is away", "what", what, "error", err)
		}
		wait(ctx, min(longest, 100*time.Millisecond<<min(n, 6)))
	}
}
