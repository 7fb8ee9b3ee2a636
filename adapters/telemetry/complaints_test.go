package telemetry

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestADeadCollectorIsOneLineAMinute(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(0, 0)
	c := &complaints{logger: NewLogger(&out, "text", "info", "x"), now: func() time.Time { return now }}
	for range 36 { // every 5 s for three minutes
		c.Handle(errors.New("connection refused"))
		now = now.Add(5 * time.Second)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 3 {
		t.Errorf("%d lines in three minutes", lines)
	}
}
