//go:build chaos

package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleSetting); role != "" {
		os.Exit(playRole(context.Background(), role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// The attacks take turns: a machine that carries two of them carries neither well.

func TestEveryPromiseOutlivesTheAttackOnTheEmbeddedStack(t *testing.T) {
	survives(t, options{Stack: embeddedStack, Duration: 3 * time.Minute, Seed: 1}, atLeast{orders: 500, faults: 30, kinds: 12})
}

func TestEveryPromiseOutlivesTheAttackOnTheRealStack(t *testing.T) {
	survives(t, options{Stack: realStack, Duration: 4 * time.Minute, Seed: 2}, atLeast{orders: 500, faults: 30, kinds: 15})
}

type atLeast struct{ orders, faults, kinds int }

func survives(t *testing.T, o options, least atLeast) {
	if only := os.Getenv("STACK"); only != "" && only != o.Stack {
		t.Skipf("STACK is %s", only)
	}
	if seed := os.Getenv("SEED"); seed != "" {
		o.Seed = seedOf(seed)
	}
	folder := cmp.Or(os.Getenv("CHAOS_REPORTS"), t.TempDir())
	o.Report = filepath.Join(folder, "chaos-"+o.Stack+".json")
	said, err := os.Create(filepath.Join(folder, "chaos-"+o.Stack+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	r, err := attack(t.Context(), o, io.MultiWriter(said, spoken{t}))
	if errors.Is(err, errNoServers) && os.Getenv("INFRA") != "required" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, f := range r.Faults {
		kinds[f.Kind] = true
	}
	if r.Orders.Acknowledged < least.orders || len(r.Faults) < least.faults || len(kinds) < least.kinds {
		t.Errorf("%d orders, %d faults of %d kinds; at least %+v", r.Orders.Acknowledged, len(r.Faults), len(kinds), least)
	}
	// With what it never met an attack proves nothing, so both are failures.
	if r.Verdict != passed {
		t.Errorf("%s; again: %s", r.Verdict, r.Again)
	}
}

// spoken is a test's log as a writer.
type spoken struct{ t *testing.T }

func (s spoken) Write(p []byte) (int, error) {
	s.t.Log(string(p))
	return len(p), nil
}
