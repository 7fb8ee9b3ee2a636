//go:build !failpoints

package failpoint

import (
	"context"
	"net/http"
	"time"
)

// Enabled says whether this build has failpoints.
const Enabled = false

// Hit is a place where the process may be killed, panic or wait. Here it does nothing.
func Hit(_, _ string) {}

// HitIf is Hit where a condition holds.
func HitIf(bool, string, string) {}

// Fail is Hit at a place that can also fail. Here it never does.
func Fail(_, _ string) error { return nil }

// HitWhen is Hit as soon as done is closed, unless ctx ends before.
func HitWhen(context.Context, <-chan struct{}, string, string) {}

// Transport puts the two places of a gateway around t. Here it is t itself.
func Transport(t http.RoundTripper, _ string) http.RoundTripper { return t }

// Clock is the clock of a service: the system's, by which nobody can be an hour off.
func Clock(string) func() time.Time { return time.Now }
