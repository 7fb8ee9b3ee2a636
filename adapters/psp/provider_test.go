package psp_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"millrace/adapters/psp"
	"millrace/adapters/psp/simulator"
	"millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/money"
)

const patience = 100 * time.Millisecond

// providers are the two ways to the same simulator; what holds for one holds for the other.
func providers(t *testing.T) map[string]payment.Provider {
	t.Helper()
	open := func() *simulator.Simulator {
		s, err := simulator.Open("", simulator.Options{Slow: time.Millisecond, Late: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	server := httptest.NewServer(open().Handler())
	t.Cleanup(server.Close)
	client, err := psp.NewClient(psp.Config{URL: server.URL + "/", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return map[string]payment.Provider{"over HTTP": client, "in process": psp.NewInProcess(open(), patience)}
}

func charge(order, method string) payment.Charge {
	return payment.Charge{
		Key: order + ":capture", OrderID: order, Method: method,
		Amount: money.Of(2400, money.RestoreCurrency("LKR")),
	}
}

func each(t *testing.T, check func(t *testing.T, p payment.Provider)) {
	t.Helper()
	for name, p := range providers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, p)
		})
	}
}

func wantFate(t *testing.T, what string, got payment.Fate, err error, state payment.FateState) {
	t.Helper()
	if err != nil || got.State != state {
		t.Errorf("%s: got %+v, %v; want %s", what, got, err, state)
	}
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("%s: got %v, want a fault of kind %s", what, err, kind)
	}
}

func TestTheFateOfACaptureIsTheSameHoweverItIsLearned(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		for method, state := range map[string]payment.FateState{
			simulator.MethodOK:       payment.FateCaptured,
			simulator.MethodSlow:     payment.FateCaptured,
			simulator.MethodDeclined: payment.FateDeclined,
			simulator.MethodLate:     payment.FatePending,
		} {
			got, err := p.Capture(t.Context(), charge("ord_"+method, method))
			wantFate(t, method, got, err, state)
			found, err := p.Find(t.Context(), "ord_"+method+":capture")
			wantFate(t, method, found, err, state)
			if got != found {
				t.Errorf("%s: answered %+v, found %+v", method, got, found)
			}
			if captured := state == payment.FateCaptured; captured != (got.AuthCode != "") || (state == payment.FateDeclined) != (got.Reason != "") {
				t.Errorf("%s: %+v has what does not belong to it", method, got)
			}
		}
	})
}

func TestACaptureWithoutAnAnswerIsFoundByItsKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		_, err := p.Capture(t.Context(), charge("ord_1", simulator.MethodTimeout))
		wantKind(t, "capture", err, fault.Unavailable)
		found, err := p.Find(t.Context(), "ord_1:capture")
		wantFate(t, "find", found, err, payment.FateCaptured)
	})
}

func TestARefusingProviderIsAskedAgainUntilItCaptures(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		for range 3 {
			_, err := p.Capture(t.Context(), charge("ord_1", simulator.MethodUnavailable))
			wantKind(t, "capture", err, fault.Unavailable)
			found, err := p.Find(t.Context(), "ord_1:capture")
			wantFate(t, "find", found, err, payment.FateUnknown)
		}
		got, err := p.Capture(t.Context(), charge("ord_1", simulator.MethodUnavailable))
		wantFate(t, "fourth", got, err, payment.FateCaptured)
	})
}

func TestAVoidWinsOnlyBeforeTheCapture(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		voided, err := p.Void(t.Context(), "ord_1:capture")
		if err != nil || !voided {
			t.Errorf("void of an unseen capture: %t, %v", voided, err)
		}
		got, err := p.Capture(t.Context(), charge("ord_1", simulator.MethodOK))
		wantFate(t, "the capture that comes later", got, err, payment.FateVoided)
		found, err := p.Find(t.Context(), "ord_1:capture")
		wantFate(t, "find", found, err, payment.FateVoided)

		for order, method := range map[string]string{"ord_2": simulator.MethodOK, "ord_3": simulator.MethodLate} {
			if _, err := p.Capture(t.Context(), charge(order, method)); err != nil {
				t.Error(err)
			}
			voided, err := p.Void(t.Context(), order+":capture")
			if err != nil || voided {
				t.Errorf("void after %s: %t, %v", method, voided, err)
			}
		}
	})
}

func TestARefundIsMadeOnceAndRefusedForGoodWhereThereIsNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		amount := money.Of(2400, money.RestoreCurrency("LKR"))
		give := func(order string) error {
			return p.Refund(t.Context(), order+":refund", order+":capture", amount)
		}
		wantKind(t, "nothing captured", give("ord_1"), fault.Invalid)
		for order, method := range map[string]string{"ord_1": simulator.MethodOK, "ord_2": simulator.MethodLate} {
			if _, err := p.Capture(t.Context(), charge(order, method)); err != nil {
				t.Error(err)
			}
		}
		for range 2 {
			if err := give("ord_1"); err != nil {
				t.Errorf("refund: %v", err)
			}
		}
		wantKind(t, "still pending", give("ord_2"), fault.Unavailable)
	})
}

func TestAChargeThatTheProviderCannotTakeIsInvalid(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		c := charge("ord_1", simulator.MethodOK)
		c.Amount.Minor = 0
		_, err := p.Capture(t.Context(), c)
		wantKind(t, "amount zero", err, fault.Invalid)
		if _, err = p.Capture(t.Context(), charge("ord_1", simulator.MethodOK)); err != nil {
			t.Error(err)
		}
		_, err = p.Capture(t.Context(), charge("ord_1", simulator.MethodSlow))
		wantKind(t, "another body for the key", err, fault.Invalid)
	})
}

func TestACancelledCallerGetsItsOwnErrorBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p payment.Provider) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.Capture(ctx, charge("ord_1", simulator.MethodTimeout))
		wantKind(t, "capture", err, fault.Unavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it to be context.Canceled", err)
		}
	})
}
