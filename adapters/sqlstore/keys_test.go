package sqlstore

import (
	"errors"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	orderapp "millrace/app/order"
	"millrace/domain/fault"
)

func keyed(user, key string) orderapp.Request {
	r := wish
	r.UserID, r.Key, r.Hash = user, key, "hash"
	return r
}

// The first request has written its key and has not committed: the second waits for it, but not
// for ever.
func TestASecondRequestWaitsTwoSecondsForTheFirst(t *testing.T) {
	t.Parallel()
	db := realPostgres(t, "orders")
	place := newPlace(t, newCore(db))
	first, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Rollback() }()
	if _, err := first.ExecContext(t.Context(), `INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, order_id, created_at)
		VALUES ('usr_1', 'key-1', 'hash', 202, '{}', 'ord_first', now())`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = place.Handle(t.Context(), keyed("usr_1", "key-1"))
	if took := time.Since(began); !errors.Is(err, sqldb.ErrBusy) || took < 1900*time.Millisecond {
		t.Errorf("after %s it was told %v", took, err)
	}
	if _, err := place.Handle(t.Context(), keyed("usr_1", "key-2")); err != nil {
		t.Errorf("a request with another key: %v", err)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	again, err := place.Handle(t.Context(), keyed("usr_1", "key-1"))
	if err != nil || !again.Replayed || again.OrderID != "ord_first" {
		t.Errorf("once the first has committed: %+v, %v", again, err)
	}
}

func TestARefusalIsNotKeptUnderItsKey(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		place := newPlace(t, newCore(db))
		refused := keyed("usr_1", "key-1")
		refused.Items = []orderapp.Wish{{SKU: "SKU-UNKNOWN", Qty: 1}}
		if _, err := place.Handle(t.Context(), refused); fault.CodeOf(err) != "unknown_sku" {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM idempotency_keys"); n != 0 {
			t.Error("the refusal was kept")
		}
		corrected := keyed("usr_1", "key-1")
		corrected.Hash = "another"
		if answer, err := place.Handle(t.Context(), corrected); err != nil || answer.Replayed {
			t.Errorf("corrected, under the same key: %+v, %v", answer, err)
		}
	})
}

func TestOneKeyOfTwoUsersIsTwoOrders(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		place := newPlace(t, newCore(db))
		ids := map[string]bool{}
		for _, user := range []string{"usr_1", "usr_2", "usr_1"} {
			answer, err := place.Handle(t.Context(), keyed(user, "key-1"))
			if err != nil {
				t.Fatal(err)
			}
			ids[answer.OrderID] = true
		}
		if n := count(t, db, "SELECT count(*) FROM orders"); n != 2 || len(ids) != 2 {
			t.Errorf("%d orders, and %d ids were answered", n, len(ids))
		}
	})
}
