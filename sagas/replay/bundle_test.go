package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"

	"millrace/app/messages"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

func written(t *testing.T, all ...replay.History) []byte {
	t.Helper()
	entries := 0
	for _, h := range all {
		entries += len(h.Entries)
	}
	var out bytes.Buffer
	w, err := replay.NewWriter(&out, len(all), entries, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		if err := w.Write(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(bundle []byte) ([]replay.History, error) {
	r, err := replay.NewReader(bytes.NewReader(bundle))
	if err != nil {
		return nil, err
	}
	var all []replay.History
	for h, err := range r.Histories() {
		if err != nil {
			return all, err
		}
		all = append(all, h)
	}
	return all, nil
}

func TestABundleGivesBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	want := []replay.History{
		newRig(t).hear(created, paid, reserved).history(),
		newRig(t).hear(cancel, created, released, refunded).history(),
	}
	got, err := read(written(t, want...))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n%+v\n%+v", err, got, want)
	}
	for _, h := range got {
		if r := replay.Replay(h, replay.Options{}); r.Verdict != replay.OK {
			t.Errorf("%+v", r)
		}
	}
}

func TestABundleThatIsEmptyCutOrAlteredIsRefused(t *testing.T) {
	t.Parallel()
	whole := written(t, newRig(t).hear(created, paid, reserved).history(), newRig(t).hear(created, declined).history())
	for cut := 0; cut < len(whole); cut += 5 {
		if _, err := read(whole[:cut]); !errors.Is(err, replay.ErrBundle) {
			t.Fatalf("cut after %d of %d bytes: %v", cut, len(whole), err)
		}
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for i := range len(lines) - 1 {
		without := strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "")
		if _, err := read([]byte(without)); !errors.Is(err, replay.ErrBundle) {
			t.Errorf("without line %d: %v", i+1, err)
		}
	}
	for at := 0; at < len(whole); at += 7 { // a prime, so that every kind of place is met
		altered := bytes.Clone(whole)
		altered[at] ^= 1
		if _, err := read(altered); !errors.Is(err, replay.ErrBundle) {
			t.Fatalf("with byte %d (%q) altered: %v", at, whole[at], err)
		}
	}
	for name, other := range map[string]string{
		"more behind the end": string(whole) + "\n",
		"another format":      strings.Replace(string(whole), `"version":1`, `"version":2`, 1),
		"no saga":             string(written(t)),
		"a list of nothing":   "[]\n",
	} {
		if _, err := read([]byte(other)); !errors.Is(err, replay.ErrBundle) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWriterThatAnnouncedMoreFails(t *testing.T) {
	t.Parallel()
	w, err := replay.NewWriter(&bytes.Buffer{}, 2, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(newRig(t).hear(created, paid, reserved).history()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("one saga of two was written, and the bundle was closed")
	}
}

func TestARedactedHistoryShowsNobodyAndReplaysAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.failures = 1
	h := r.hear(created, created, paid, shortage, refunded).history()
	before := string(written(t, h))
	redacted, err := replay.Redact(h, []byte("salt"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(written(t, redacted))
	for _, secret := range []string{"usr_001", "pm_card_ok", "pay_1", `"a1"`, "no luck"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is still there", secret)
		}
	}
	if got := replay.Replay(redacted, replay.Options{}); got.Verdict != replay.OK {
		t.Errorf("%+v", got)
	}
	if string(written(t, h)) != before {
		t.Error("the original was changed")
	}
	wrong := with(func(_ saga.Input, d *saga.Decision) {
		for _, m := range d.Send {
			if told, ok := m.(*messages.OrderCompleted); ok {
				told.UserID = "usr_002"
			}
		}
	})
	if got := replay.Replay(redacted, wrong); got.Verdict != replay.Diverged {
		t.Errorf("another user is told, and that is %+v", got)
	}
	h.Entries = h.Entries[:2]
	if _, err := replay.Redact(h, nil); err == nil {
		t.Error("a damaged history was given a chain that fits")
	}
}

func stream(n int, h replay.History, alive *int, most *int) iter.Seq2[replay.History, error] {
	return func(yield func(replay.History, error) bool) {
		for i := range n {
			*alive++
			*most = max(*most, *alive)
			one := h
			one.Saga.OrderID = fmt.Sprintf("ord_%d", i)
			if !yield(one, nil) {
				return
			}
		}
	}
}

func TestManyAreReplayedInTheirOrderAndFewAreHeld(t *testing.T) {
	t.Parallel()
	var alive, most int
	var ids []string
	h := newRig(t).hear(created, declined).history()
	sum, err := replay.Run(stream(500, h, &alive, &most), replay.Options{Parallel: 4}, func(r replay.Result) error {
		alive--
		ids = append(ids, r.OrderID)
		return nil
	})
	if err != nil || sum.Sagas != 500 || sum.Unreplayable != 499 { // they are ord_1's, and all but one claim to be another's
		t.Fatalf("%+v %v", sum, err)
	}
	for i, id := range ids {
		if id != fmt.Sprintf("ord_%d", i) {
			t.Fatalf("%s came as number %d", id, i)
		}
	}
	if most > 16 {
		t.Errorf("%d histories were held at once", most)
	}
	failure := errors.New("the disk is full")
	if _, err := replay.Run(stream(500, h, &alive, &most), replay.Options{Parallel: 4}, func(replay.Result) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("the report failed, and that gives %v", err)
	}
	sum, err = replay.Run(stream(2000, h, &alive, &most), replay.Options{Sample: 0.1}, func(replay.Result) error { return nil })
	if err != nil || sum.Sagas < 130 || sum.Sagas > 270 {
		t.Errorf("a tenth of 2000 is %d, %v", sum.Sagas, err)
	}
}
