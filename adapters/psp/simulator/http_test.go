package simulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millrace/adapters/psp/simulator"
)

func serve(t *testing.T, s *simulator.Simulator) string {
	t.Helper()
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

func call(t *testing.T, method, url, key, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // it was read to the end
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("%s %s: %v in %q", method, url, err, raw)
	}
	if isProblem := resp.Header.Get("Content-Type") == "application/problem+json"; isProblem != (resp.StatusCode >= 400) {
		t.Errorf("%s %s: status %d as %s", method, url, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return resp.StatusCode, got
}

func body(order, method string) string {
	return fmt.Sprintf(`{"orderId":%q,"amount":2400,"currency":"LKR","paymentMethod":%q}`, order, method)
}

func TestTheInterfaceSpeaksAsDocumented(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	url := serve(t, s)
	for _, step := range []struct {
		what, method, path, key, body string
		status                        int
		field, value                  string
	}{
		{"captured", "POST", "/v1/captures", "k1", body("o1", "pm_card_ok"), 201, "status", "captured"},
		{"a quoted key is the same key", "POST", "/v1/captures", `"k1"`, body("o1", "pm_card_ok"), 201, "key", "k1"},
		{"key reused", "POST", "/v1/captures", "k1", body("o2", "pm_card_ok"), 409, "code", "idempotency_key_reused"},
		{"declined", "POST", "/v1/captures", "k2", body("o2", "pm_card_declined"), 402, "code", "card_declined"},
		{"unavailable", "POST", "/v1/captures", "k3", body("o3", "pm_card_unavailable"), 503, "code", "provider_unavailable"},
		{"late", "POST", "/v1/captures", "k4", body("o4", "pm_card_late"), 202, "status", "pending"},
		{"void of a running one", "POST", "/v1/voids", "", `{"captureKey":"k4"}`, 409, "code", "capture_running"},
		{"void of a captured one", "POST", "/v1/voids", "", `{"captureKey":"k1"}`, 409, "code", "already_captured"},
		{"void of an unseen one", "POST", "/v1/voids", "", `{"captureKey":"k5"}`, 200, "status", "voided"},
		{"capture after void", "POST", "/v1/captures", "k5", body("o5", "pm_card_ok"), 409, "code", "voided"},
		{"find", "GET", "/v1/captures?key=k2", "", "", 200, "status", "declined"},
		{"find unseen", "GET", "/v1/captures?key=k9", "", "", 404, "code", "capture_not_found"},
		{"refund", "POST", "/v1/refunds", "r1", `{"captureKey":"k1","amount":2400}`, 201, "status", "refunded"},
		{"refund too much", "POST", "/v1/refunds", "r2", `{"captureKey":"k1","amount":1}`, 409, "code", "amount_exceeds_capture"},
		{"refund of nothing", "POST", "/v1/refunds", "r3", `{"captureKey":"k2","amount":1}`, 404, "code", "capture_not_found"},
		{"no key", "POST", "/v1/captures", "", body("o1", "pm_card_ok"), 400, "code", "invalid_idempotency_key"},
		{"no JSON", "POST", "/v1/captures", "k6", "hello", 400, "code", "malformed_body"},
		{"two objects", "POST", "/v1/captures", "k6", "{}{}", 400, "code", "malformed_body"},
		{"no amount", "POST", "/v1/captures", "k6", `{"orderId":"o","currency":"LKR","paymentMethod":"x"}`, 400, "code", "invalid_amount"},
		{"wrong method", "PUT", "/v1/refunds", "", "", 405, "code", "method_not_allowed"},
		{"wrong path", "GET", "/v2", "", "", 404, "code", "not_found"},
		{"alive", "GET", "/livez", "", "", 200, "status", "ok"},
		{"ready", "GET", "/readyz", "", "", 200, "status", "ok"},
	} {
		status, got := call(t, step.method, url+step.path, step.key, step.body)
		if status != step.status || got[step.field] != step.value {
			t.Errorf("%s: got %d %v, want %d with %s %q", step.what, status, got, step.status, step.field, step.value)
		}
	}
}

func TestTheLedgerIsOneJSONDocument(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	url := serve(t, s)
	_, empty := call(t, "GET", url+"/v1/ledger", "", "")
	want(t, "empty", fmt.Sprint(empty), "map[captures:[] refunds:[]]")
	for i := range 3 {
		order := fmt.Sprintf("ord_%d", i)
		_, err := s.Capture(t.Context(), request(order, simulator.MethodOK))
		wantErr(t, order, err, nil)
		_, err = s.Refund(simulator.RefundRequest{Key: order + ":refund", CaptureKey: order + ":capture", Amount: 5})
		wantErr(t, order, err, nil)
	}
	resp, err := http.Get(url + "/v1/ledger") // the server is this test's own
	wantErr(t, "ledger", err, nil)
	defer resp.Body.Close() // read below
	var sent simulator.Ledger
	wantErr(t, "decode", json.NewDecoder(resp.Body).Decode(&sent), nil)
	kept, kerr := s.Ledger()
	want(t, "ledger", asJSON(t, sent, nil), asJSON(t, kept, kerr))
	want(t, "refund's currency", sent.Refunds[2].Currency, "LKR")
}

func TestACallerThatLeavesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	server := httptest.NewServer(s.Handler())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/captures", strings.NewReader(body("ord_1", "pm_card_timeout")))
	wantErr(t, "request", err, nil)
	r.Header.Set("Idempotency-Key", "ord_1:capture")
	if _, err = http.DefaultClient.Do(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a time-out", err)
	}
	server.Close() // returns only when no handler runs any more
	want(t, "status", status(t, s, "ord_1"), simulator.StatusCaptured)
}

func TestAHangingCallerIsCutOffWhenTheProviderCloses(t *testing.T) {
	t.Parallel()
	s := inMemory(t)
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	failed := make(chan error)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/captures", strings.NewReader(body("ord_1", "pm_card_timeout")))
		if err == nil {
			r.Header.Set("Idempotency-Key", "ord_1:capture")
			_, err = http.DefaultClient.Do(r)
		}
		failed <- err
	}()
	<-arrived
	wantErr(t, "close", s.Close(), nil)
	if err := <-failed; err == nil {
		t.Error("there was an answer")
	}
}
