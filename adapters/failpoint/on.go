//go:build failpoints

package failpoint

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// Enabled says whether this build has failpoints.
const Enabled = true

// Hit is a place where the process may be killed, panic or wait.
func Hit(point, who string) { _ = the().hit(point, who) }

// HitIf is Hit where a condition holds.
func HitIf(holds bool, point, who string) {
	if holds {
		Hit(point, who)
	}
}

// Fail is Hit at a place that can also fail: the error is the one that was asked for.
func Fail(point, who string) error { return the().hit(point, who) }

// HitWhen is Hit as soon as done is closed, unless ctx ends before.
func HitWhen(ctx context.Context, done <-chan struct{}, point, who string) {
	go func() {
		select {
		case <-done:
			Hit(point, who)
		case <-ctx.Done():
		}
	}()
}

// Transport puts the two places of a gateway around t. Requests that change nothing pass by.
func Transport(t http.RoundTripper, who string) http.RoundTripper { return forwarding{t, who} }

type forwarding struct {
	http.RoundTripper
	who string
}

// RoundTrip forwards a request between the two places.
func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return f.RoundTripper.RoundTrip(r)
	}
	Hit(GatewayBefore, f.who)
	answer, err := f.RoundTripper.RoundTrip(r)
	Hit(GatewayAfter, f.who)
	return answer, err
}

// Clock is the clock of a service: the system's, moved by what the file says for that service.
func Clock(who string) func() time.Time {
	return func() time.Time { return time.Now().Add(the().shift(who)) }
}

// named makes one name of a service, of its consumer group and of its database's file.
func named(who string) string {
	who = strings.TrimSuffix(filepath.Base(who), ".db")
	service, _, _ := strings.Cut(who, ".")
	return service
}
