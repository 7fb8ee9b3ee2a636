//go:build !failpoints

package failpoint_test

import (
	"net/http"
	"testing"
	"time"

	"millrace/adapters/failpoint"
)

func TestWithoutTheTagNothingHappensAndNothingIsAllocated(t *testing.T) {
	t.Setenv("FAILPOINTS", t.TempDir()) // which nobody looks at
	if failpoint.Enabled {
		t.Fatal("this build has failpoints")
	}
	if got := failpoint.Transport(http.DefaultTransport, "x"); got != http.DefaultTransport {
		t.Errorf("the gateway's transport is wrapped: %T", got)
	}
	if now := failpoint.Clock("x")(); time.Since(now) > time.Minute {
		t.Errorf("the clock is off: %s", now)
	}
	allocated := testing.AllocsPerRun(1000, func() {
		failpoint.Hit(failpoint.AfterInbox, "x")
		failpoint.HitIf(true, failpoint.RelayMidBatch, "x")
		failpoint.HitWhen(t.Context(), nil, failpoint.BeforeAcknowledge, "x")
		if err := failpoint.Fail(failpoint.BeforeCommit, "x"); err != nil {
			t.Error(err)
		}
	})
	if allocated != 0 {
		t.Errorf("%g allocations", allocated)
	}
}
