package e2e

import (
	"bytes"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
)

func idempotency(t *testing.T, s *stack) {
	t.Run("the first answer comes again, byte for byte", func(t *testing.T) {
		t.Parallel()
		user, key := newUser(), uuid.NewString()
		id, first, err := s.try(wish{user: user}, "Idempotency-Key", key)
		if err != nil || id == "" || first.header.Get("Idempotency-Replayed") != "" {
			t.Fatalf("%v, %v", first, err)
		}
		s.awaitEnd(t, id, soon)
		for _, same := range []string{key, `"` + key + `"`} { // quoted or not
			_, again, err := s.try(wish{user: user}, "Idempotency-Key", same)
			if err != nil || !bytes.Equal(again.body, first.body) || again.status != first.status ||
				again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Location") != first.header.Get("Location") {
				t.Errorf("first %v %v\nagain %v %v, %v", first, first.header, again, again.header, err)
			}
		}
		_, other, err := s.try(wish{user: user, qty: 2}, "Idempotency-Key", key)
		if err != nil || other.status != http.StatusConflict || other.code() != "idempotency_key_reused" {
			t.Errorf("another body: %v, %v", other, err)
		}
		if id2 := s.place(t, wish{user: newUser()}, "Idempotency-Key", key); id2 == id {
			t.Error("the same key of another user is the same order")
		}
		if n := len(s.orders(t, user)); n != 1 {
			t.Errorf("the user has %d orders", n)
		}
	})
	t.Run("twenty at once are one order", func(t *testing.T) {
		t.Parallel()
		user, key := newUser(), uuid.NewString()
		answers, failed := make([]answer, 20), make([]error, 20)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { _, answers[i], failed[i] = s.try(wish{user: user}, "Idempotency-Key", key) })
		}
		all.Wait()
		var accepted []byte
		firsts := 0
		for i, a := range answers {
			switch {
			case failed[i] != nil:
				t.Error(failed[i])
			case a.status == http.StatusAccepted && (accepted == nil || bytes.Equal(accepted, a.body)):
				accepted = a.body
				if a.header.Get("Idempotency-Replayed") == "" {
					firsts++
				}
			case a.status == http.StatusConflict && a.code() == "idempotency_in_progress" && a.header.Get("Retry-After") != "":
			default:
				t.Errorf("got %v", a)
			}
		}
		if firsts != 1 {
			t.Errorf("%d of them say that they were the first", firsts)
		}
		if n := len(s.orders(t, user)); n != 1 {
			t.Errorf("the user has %d orders", n)
		}
	})
}

// newUser gives a user that no other test or run has, because Redis outlives both.
func newUser() string { return "usr_" + uuid.NewString() }
