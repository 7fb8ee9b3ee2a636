package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheSameKeyGivesTheSameAnswerByteForByte(t *testing.T) {
	t.Parallel()
	s := newShop()
	h := s.handler()
	first := wantStatus(t, ask(t, h, post(usual, "Idempotency-Key", `"k-1"`)), http.StatusAccepted)
	again := wantStatus(t, ask(t, h, post(usual, "Idempotency-Key", "k-1")), http.StatusAccepted)
	if a, b := text(t, first), text(t, again); a != b {
		t.Errorf("first %s, then %s", a, b)
	}
	wantHeader(t, first, "Idempotency-Replayed", "")
	wantHeader(t, again, "Idempotency-Replayed", "true")
	wantHeader(t, again, "Location", first.Header.Get("Location"))
	wantHeader(t, again, "Content-Type", first.Header.Get("Content-Type"))
	if len(s.orders) != 1 || s.sent != 1 {
		t.Errorf("there are %d orders and %d messages", len(s.orders), s.sent)
	}
}

func TestTheSameKeyWithAnotherBodyIsRefused(t *testing.T) {
	t.Parallel()
	h := newShop().handler()
	wantStatus(t, ask(t, h, post(usual, "Idempotency-Key", "k")), http.StatusAccepted)
	p := problem(t, wantStatus(t, ask(t, h, post(usual+" ", "Idempotency-Key", "k")), http.StatusConflict))
	if p.Code != "idempotency_key_reused" {
		t.Errorf("got %s", p.Code)
	}
}

func TestAKeyBelongsToItsUser(t *testing.T) {
	t.Parallel()
	s := newShop()
	h := s.handler()
	wantStatus(t, ask(t, h, post(usual, "Idempotency-Key", "k")), http.StatusAccepted)
	wantStatus(t, ask(t, h, post(strings.Replace(usual, "usr_001", "usr_002", 1), "Idempotency-Key", "k")), http.StatusAccepted)
	if len(s.orders) != 2 {
		t.Errorf("there are %d orders", len(s.orders))
	}
}

func TestKeysOfEveryPermittedFormAreTaken(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a", strings.Repeat("k", 255), `"` + strings.Repeat("k", 255) + `"`, `"with \"quotes\" and \\"`, "two words", `it"s`} {
		wantStatus(t, ask(t, newShop().handler(), post(usual, "Idempotency-Key", key)), http.StatusAccepted)
	}
}

func TestAMalformedKeyIsNamed(t *testing.T) {
	t.Parallel()
	twice := post(usual)
	twice.header["Idempotency-Key"] = []string{"a", "a"}
	for name, a := range map[string]asked{
		"empty":          post(usual, "Idempotency-Key", ""),
		"empty string":   post(usual, "Idempotency-Key", `""`),
		"too long":       post(usual, "Idempotency-Key", strings.Repeat("k", 256)),
		"not closed":     post(usual, "Idempotency-Key", `"abc`),
		"goes on":        post(usual, "Idempotency-Key", `"abc";x=1`),
		"bad escape":     post(usual, "Idempotency-Key", `"a\n"`),
		"ends in escape": post(usual, "Idempotency-Key", `"a\`),
		"not printable":  post(usual, "Idempotency-Key", "a\tb"),
		"not ASCII":      post(usual, "Idempotency-Key", "schlüssel"),
		"twice":          twice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := problem(t, wantStatus(t, ask(t, newShop().handler(), a), http.StatusBadRequest))
			if p.Code != "invalid_idempotency_key" || len(p.Errors) != 1 || p.Errors[0].Pointer != "Idempotency-Key" {
				t.Errorf("got %s with %v", p.Code, p.Errors)
			}
		})
	}
}
