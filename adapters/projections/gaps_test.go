package projections_test

import (
	"errors"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/projections"
	"millrace/adapters/sqldb"
	"millrace/app/analytics"
	orderapp "millrace/app/order"
	"millrace/domain/order"
)

func onlyCompare(c *projections.Config) { c.OnlyCompare = true }

// listed is how many orders of all users are listed, user by user: the lists that the model is for.
func (s *shop) listed(t *testing.T) int {
	t.Helper()
	n := 0
	for _, user := range []string{"usr_000", "usr_001", "usr_002", "usr_003", "usr_004", "usr_005", "usr_006"} {
		page, _, err := s.orders.List(t.Context(), orderapp.Filter{UserID: user, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		n += len(page)
	}
	return n
}

// moved lets the watermark come up as far as it goes, and says where it is.
func (s *shop) moved(t *testing.T) string {
	t.Helper()
	if err := s.readModels.AdvanceWatermark(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.rows(t, "SELECT line FROM read_models WHERE name = 'orders_by_user'")
}

// tear damages the history of an order that has ended, so that every rebuild is refused.
func (s *shop) tear(t *testing.T) {
	t.Helper()
	if s.db.Dialect == sqldb.Postgres {
		s.exec(t, "ALTER TABLE saga_journal DISABLE TRIGGER USER")
	} else {
		s.exec(t, "DROP TRIGGER saga_journal_no_delete")
	}
	s.exec(t, "DELETE FROM saga_journal WHERE seq = 1 AND order_id = (SELECT min(id) FROM orders WHERE status = 'CONFIRMED')")
}

// A list falls back to the orders while the table is gone. Once it is made anew, and empty, nothing may be
// read from it.
func TestNoOrderIsMissingInAListAfterARebuildOfATableThatIsGone(t *testing.T) {
	t.Parallel()
	for name, rebuild := range map[string]func(*testing.T, *shop){
		"that only compares": func(t *testing.T, s *shop) {
			if report := s.mustRebuild(t, analytics.OrdersByUser, onlyCompare); report.Missing.N != 5 || report.Identical {
				t.Errorf("it reports %+v", report)
			}
			if _, err := s.db.ExecContext(t.Context(), "SELECT 1 FROM orders_by_user"); err == nil {
				t.Error("it makes the table")
			}
		},
		"that is refused": func(t *testing.T, s *shop) {
			s.tear(t)
			if _, err := s.rebuild(t.Context(), analytics.OrdersByUser); !errors.Is(err, analytics.ErrHistory) {
				t.Errorf("it ends with %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
				s := newShop(t, open(t))
				s.history(t)
				s.moved(t)
				s.exec(t, "DROP TABLE orders_by_user")
				rebuild(t, s)
				if n := s.listed(t); n != 7 {
					t.Errorf("%d of 7 orders are listed", n)
				}
			})
		})
	}
}

// Rows that were lost below the watermark hide accepted orders until somebody compares; from then on they do not,
// exchanged or not.
func TestOrdersThatTheModelHasLostAreListedFromTheComparisonOn(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		s := newShop(t, open(t))
		s.history(t)
		whole := s.moved(t)
		s.exec(t, "DELETE FROM orders_by_user WHERE order_id = (SELECT min(order_id) FROM orders_by_user WHERE status = 'CANCELLED')")
		if n := s.listed(t); n != 6 {
			t.Fatalf("%d of 7 orders are listed: the watermark does not stand above the gap", n)
		}
		s.mustRebuild(t, analytics.OrdersByUser, onlyCompare)
		if n := s.listed(t); n != 7 {
			t.Errorf("after the comparison %d of 7 orders are listed", n)
		}
		gap := s.moved(t)
		if want := s.rows(t, "SELECT min(id) FROM orders WHERE status = 'CANCELLED'"); gap != want {
			t.Errorf("the watermark moves to %q, want the gap at %q", gap, want)
		}
		if n := s.listed(t); n != 7 {
			t.Errorf("when the watermark has moved %d of 7 orders are listed", n)
		}
		s.mustRebuild(t, analytics.OrdersByUser)
		if at := s.moved(t); at != whole {
			t.Errorf("over a whole model it moves to %q, want %q", at, whole)
		}
	})
}

// What is behind is not a gap: the watermark stays where it is.
func TestAModelThatIsBehindLeavesTheWatermarkWhereItIs(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		s := newShop(t, open(t))
		if err := s.recorded(t.Context(), s.ended(t, order.Confirmed)); err != nil {
			t.Fatal(err)
		}
		before := s.moved(t)
		s.ended(t, order.Confirmed)
		s.mustRebuild(t, analytics.OrdersByUser, onlyCompare)
		if after := s.rows(t, "SELECT line FROM read_models WHERE name = 'orders_by_user'"); after != before || before == "\n" {
			t.Errorf("it was at %q and is at %q", before, after)
		}
	})
}
