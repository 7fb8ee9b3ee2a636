package main

import (
	"testing"
	"time"
)

func TestTheShorterThingsAreKeptTheOftenerTheyAreTidied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kept retention
		want time.Duration
	}{
		{retention{outbox: 168 * time.Hour, inbox: 360 * time.Hour, idempotency: 24 * time.Hour}, 10 * time.Minute},
		{retention{outbox: 20 * time.Minute, inbox: time.Hour, idempotency: 24 * time.Hour}, 2 * time.Minute},
		{retention{outbox: time.Minute, inbox: 10 * time.Minute, idempotency: time.Minute}, 10 * time.Second},
	} {
		if got := c.kept.period(); got != c.want {
			t.Errorf("%+v is looked through every %s, want %s", c.kept, got, c.want)
		}
	}
}
