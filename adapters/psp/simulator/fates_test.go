package simulator_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"millrace/adapters/psp/simulator"
)

func request(key, method string) simulator.CaptureRequest {
	return simulator.CaptureRequest{Key: key + ":capture", OrderID: key, Amount: 2400, Currency: "LKR", Method: method}
}

func inMemory(t *testing.T) *simulator.Simulator {
	t.Helper()
	s, err := simulator.Open("", simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func status(t *testing.T, s *simulator.Simulator, key string) string {
	t.Helper()
	c, err := s.Find(key + ":capture")
	if errors.Is(err, simulator.ErrNotFound) {
		return "never seen"
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.Status
}

func want(t *testing.T, what string, got, wanted any) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

func wantErr(t *testing.T, what string, got, wanted error) {
	t.Helper()
	if !errors.Is(got, wanted) {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

func captures(t *testing.T, s *simulator.Simulator) int {
	t.Helper()
	l, err := s.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Captures)
}

func TestAGoodCardIsCapturedOnceForItsKey(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	first, err := s.Capture(t.Context(), request("ord_1", simulator.MethodOK))
	wantErr(t, "first", err, nil)
	want(t, "status", first.Status, simulator.StatusCaptured)
	again, err := s.Capture(t.Context(), request("ord_1", simulator.MethodOK))
	wantErr(t, "again", err, nil)
	want(t, "the same answer", again, first)
	want(t, "captures", captures(t, s), 1)
}

func TestAKeyWithAnotherBodyIsRefused(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	r := request("ord_1", simulator.MethodOK)
	_, err := s.Capture(t.Context(), r)
	wantErr(t, "first", err, nil)
	r.Amount++
	_, err = s.Capture(t.Context(), r)
	wantErr(t, "other amount", err, simulator.ErrKeyReused)
}

func TestADeclinedOrUnknownCardTakesNoMoney(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	for method, reason := range map[string]string{
		simulator.MethodDeclined: "card_declined", "pm_who_knows": "unknown_payment_method",
	} {
		for range 2 {
			c, err := s.Capture(t.Context(), request("ord_"+method, method))
			wantErr(t, method, err, nil)
			want(t, method, c.Status, simulator.StatusDeclined)
			want(t, method, c.Reason, reason)
		}
	}
	want(t, "captures", captures(t, s), 0)
}

func TestATimedOutCardIsCapturedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := inMemory(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := s.Capture(ctx, request("ord_1", simulator.MethodTimeout))
		wantErr(t, "the caller gives up", err, simulator.ErrNoAnswer)
		want(t, "it waited", time.Since(began), 5*time.Second)
		want(t, "status", status(t, s, "ord_1"), simulator.StatusCaptured)

		began = time.Now()
		_, err = s.Capture(t.Context(), request("ord_2", simulator.MethodTimeout))
		wantErr(t, "a patient caller", err, simulator.ErrNoAnswer)
		want(t, "it waited", time.Since(began), time.Minute)
	})
}

func TestAnUnavailableCardIsRefusedThreeTimesForEachKey(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	for range 3 {
		_, err := s.Capture(t.Context(), request("ord_1", simulator.MethodUnavailable))
		wantErr(t, "refused", err, simulator.ErrUnavailable)
		want(t, "status", status(t, s, "ord_1"), "never seen")
	}
	_, err := s.Capture(t.Context(), request("ord_2", simulator.MethodUnavailable))
	wantErr(t, "another key counts for itself", err, simulator.ErrUnavailable)
	c, err := s.Capture(t.Context(), request("ord_1", simulator.MethodUnavailable))
	wantErr(t, "fourth", err, nil)
	want(t, "fourth", c.Status, simulator.StatusCaptured)
}

func TestASlowCardIsPendingAndThenCaptured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := inMemory(t)
		began := time.Now()
		answered := make(chan simulator.Capture)
		go func() {
			c, _ := s.Capture(t.Context(), request("ord_1", simulator.MethodSlow))
			answered <- c
		}()
		synctest.Wait()
		want(t, "meanwhile", status(t, s, "ord_1"), simulator.StatusPending)
		wantErr(t, "void", s.Void("ord_1:capture"), simulator.ErrRunning)
		want(t, "not in the ledger", captures(t, s), 0)
		want(t, "answer", (<-answered).Status, simulator.StatusCaptured)
		want(t, "it took", time.Since(began), 2*time.Second)
		wantErr(t, "void", s.Void("ord_1:capture"), simulator.ErrCaptured)
	})
}

func TestALateCardIsPendingAtOnceAndCannotBeStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := inMemory(t)
		c, err := s.Capture(t.Context(), request("ord_1", simulator.MethodLate))
		wantErr(t, "capture", err, nil)
		want(t, "at once", c.Status, simulator.StatusPending)
		wantErr(t, "void", s.Void("ord_1:capture"), simulator.ErrRunning)
		_, err = s.Refund(simulator.RefundRequest{Key: "r", CaptureKey: "ord_1:capture", Amount: 1})
		wantErr(t, "refund", err, simulator.ErrRunning)
		time.Sleep(45*time.Second - 1)
		want(t, "just before", status(t, s, "ord_1"), simulator.StatusPending)
		time.Sleep(time.Nanosecond)
		want(t, "after 45 s", status(t, s, "ord_1"), simulator.StatusCaptured)
	})
}

func TestAVoidBarsACaptureThatWasNeverSeen(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	for range 2 {
		wantErr(t, "void", s.Void("ord_1:capture"), nil)
	}
	_, err := s.Capture(t.Context(), request("ord_1", simulator.MethodOK))
	wantErr(t, "the capture that comes later", err, simulator.ErrVoided)
	want(t, "status", status(t, s, "ord_1"), simulator.StatusVoided)
	want(t, "captures", captures(t, s), 0)
}

func TestRefundsNeverExceedTheirCapture(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	give := func(key string, amount int64) error {
		_, err := s.Refund(simulator.RefundRequest{Key: key, CaptureKey: "ord_1:capture", Amount: amount})
		return err
	}
	wantErr(t, "nothing captured", give("a", 1), simulator.ErrNotFound)
	_, err := s.Capture(t.Context(), request("ord_1", simulator.MethodOK))
	wantErr(t, "capture", err, nil)
	wantErr(t, "too much", give("a", 2401), simulator.ErrExceeds)
	wantErr(t, "a part", give("a", 2000), nil)
	wantErr(t, "the same again", give("a", 2000), nil)
	wantErr(t, "the key with another amount", give("a", 1), simulator.ErrKeyReused)
	wantErr(t, "more than is left", give("b", 401), simulator.ErrExceeds)
	wantErr(t, "the rest", give("b", 400), nil)
	l, err := s.Ledger()
	wantErr(t, "ledger", err, nil)
	want(t, "refunds", len(l.Refunds), 2)
	want(t, "refund's order", l.Refunds[0].OrderID, "ord_1")
}
