package simulator_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/adapters/psp/simulator"
)

// crash copies the state as a killed process leaves it behind, and opens the copy.
func crash(t *testing.T, dir, tail string, opts simulator.Options) (*simulator.Simulator, error) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "psp.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	after := t.TempDir()
	if err := os.WriteFile(filepath.Join(after, "psp.jsonl"), append(raw, tail...), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := simulator.Open(after, opts)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func onDisk(t *testing.T, opts simulator.Options) (*simulator.Simulator, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := simulator.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func asJSON(t *testing.T, l simulator.Ledger, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEverythingThatWasAnsweredSurvivesAKill(t *testing.T) {
	t.Parallel()
	s, dir := onDisk(t, simulator.Options{})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if _, err := s.Capture(t.Context(), request(fmt.Sprintf("ord_%03d", i), simulator.MethodOK)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	_, err := s.Refund(simulator.RefundRequest{Key: "ord_007:refund", CaptureKey: "ord_007:capture", Amount: 2400})
	wantErr(t, "refund", err, nil)
	wantErr(t, "void", s.Void("ord_barred:capture"), nil)
	for range 2 {
		_, err = s.Capture(t.Context(), request("ord_503", simulator.MethodUnavailable))
		wantErr(t, "unavailable", err, simulator.ErrUnavailable)
	}

	after, err := crash(t, dir, `{"op":"capture","key":"ord_torn:ca`, simulator.Options{})
	wantErr(t, "open", err, nil)
	before, berr := s.Ledger()
	restored, rerr := after.Ledger()
	want(t, "ledger", asJSON(t, restored, rerr), asJSON(t, before, berr))
	_, err = after.Capture(t.Context(), request("ord_barred", simulator.MethodOK))
	wantErr(t, "still barred", err, simulator.ErrVoided)
	_, err = after.Capture(t.Context(), request("ord_503", simulator.MethodUnavailable))
	wantErr(t, "third refusal", err, simulator.ErrUnavailable)
	_, err = after.Capture(t.Context(), request("ord_503", simulator.MethodUnavailable))
	wantErr(t, "then captured", err, nil)
	_, err = after.Capture(t.Context(), request("ord_torn", simulator.MethodOK))
	wantErr(t, "the torn one was never answered, so it may come again", err, nil)
	want(t, "captures", captures(t, after), 202)
}

func TestADamagedJournalIsNotRepairedSilently(t *testing.T) {
	t.Parallel()
	s, dir := onDisk(t, simulator.Options{})
	_, err := s.Capture(t.Context(), request("ord_1", simulator.MethodOK))
	wantErr(t, "capture", err, nil)
	if _, err := crash(t, dir, "{\"op\":\"capt\n", simulator.Options{}); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got %v, want an error that names line 2", err)
	}
}

func TestALateCaptureHappensAlthoughTheProviderRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := simulator.Open(dir, simulator.Options{})
		wantErr(t, "open", err, nil)
		_, err = s.Capture(t.Context(), request("ord_1", simulator.MethodLate))
		wantErr(t, "capture", err, nil)
		wantErr(t, "close", s.Close(), nil)
		due := time.Now().Add(45 * time.Second).UTC()

		time.Sleep(20 * time.Second)
		s, err = simulator.Open(dir, simulator.Options{})
		wantErr(t, "open again", err, nil)
		defer s.Close() // the end of the test
		want(t, "after 20 s", status(t, s, "ord_1"), simulator.StatusPending)
		time.Sleep(25 * time.Second)
		l, err := s.Ledger()
		wantErr(t, "ledger", err, nil)
		if len(l.Captures) != 1 || !l.Captures[0].At.Equal(due) {
			t.Errorf("got %+v, want one capture at %s", l.Captures, due)
		}
	})
}

func TestTheLedgerCanBeReadBesideARunningProvider(t *testing.T) {
	t.Parallel()
	empty, err := simulator.ReadLedger(t.TempDir(), time.Now())
	wantErr(t, "no state", err, nil)
	want(t, "no state", len(empty.Captures), 0)
	s, dir := onDisk(t, simulator.Options{})
	_, err = s.Capture(t.Context(), request("ord_1", simulator.MethodOK))
	wantErr(t, "capture", err, nil)
	live, lerr := s.Ledger()
	read, rerr := simulator.ReadLedger(dir, time.Now())
	want(t, "ledger", asJSON(t, read, rerr), asJSON(t, live, lerr))
}
