package projections_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/adapters/projections"
	"millrace/adapters/sqldb"
	"millrace/app/analytics"
	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/sagas/replay"
)

// each runs a test on every read model on every database.
func each(t *testing.T, test func(t *testing.T, s *shop, model string)) {
	t.Helper()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		for _, model := range analytics.Models {
			t.Run(model, func(t *testing.T) {
				s := newShop(t, open(t))
				s.history(t)
				test(t, s, model)
			})
		}
	})
}

func TestARebuiltModelIsTheOneThatTheSubscriberHasFilled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		s.right(t, model)
		before := s.model(t, model)
		var steps []analytics.Step
		report := s.mustRebuild(t, model, func(c *projections.Config) {
			c.Watch = func(p analytics.Progress) error { steps = append(steps, p.Step); return nil }
		})
		if after := s.model(t, model); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
		if !report.Identical || !report.Exchanged || report.Live != report.Rebuilt || report.Orders != 5 || report.Open != 2 || report.Generation != 2 || report.Compared != 5 {
			t.Errorf("it reports %+v", report)
		}
		if want := everyStep; !slices.Equal(slices.Compact(steps), want) {
			t.Errorf("its steps were %v", steps)
		}
		if left := s.leftovers(t); left != "" {
			t.Errorf("it leaves behind %s", left)
		}
		if report := s.mustRebuild(t, model); report.Generation != 3 {
			t.Errorf("the second time it reports %+v", report)
		}
		s.right(t, model)
	})
}

var everyStep = []analytics.Step{
	analytics.Prepare, analytics.Fill, analytics.CatchUp, analytics.Compare, analytics.Exchange, analytics.Exchanging, analytics.Exchanged, analytics.Tidied,
}

// leftovers names the tables of a rebuild that are still there.
func (s *shop) leftovers(t *testing.T) string {
	t.Helper()
	if s.db.Dialect == sqldb.Postgres {
		return s.rows(t, `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND (tablename LIKE '%\_shadow' OR tablename LIKE '%\_old')`)
	}
	return s.rows(t, `SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE '%\_shadow' ESCAPE '\' OR name LIKE '%\_old' ESCAPE '\')`)
}

func TestWhatIsDamagedIsFoundAndPutRight(t *testing.T) {
	t.Parallel()
	damages := map[string]map[string]string{
		analytics.OrdersByUser: {
			"a row is gone":     "DELETE FROM orders_by_user WHERE order_id = (SELECT max(order_id) FROM orders_by_user)",
			"a status is off":   "UPDATE orders_by_user SET status = 'CONFIRMED', reason = '' WHERE status = 'FAILED'",
			"an order too many": "INSERT INTO orders_by_user SELECT user_id, id, 'FAILED', '', currency, total, created_at FROM orders WHERE status = 'PENDING'",
			"all is gone":       "DELETE FROM orders_by_user",
			"there is none":     "DROP TABLE orders_by_user",
		},
		analytics.DailySales: {
			"an order is gone":  "DELETE FROM daily_sales_orders WHERE status = 'CANCELLED'",
			"a day is off":      "UPDATE daily_sales SET revenue = revenue + 1",
			"a day is gone":     "DELETE FROM daily_sales",
			"an order too many": "INSERT INTO daily_sales_orders SELECT id, '2026-01-02', currency, 'CONFIRMED', total FROM orders WHERE status = 'PENDING'",
			"there is none":     "DROP TABLE daily_sales",
		},
	}
	for name, statement := range damages[analytics.OrdersByUser] {
		damaged(t, analytics.OrdersByUser, name, statement)
	}
	for name, statement := range damages[analytics.DailySales] {
		damaged(t, analytics.DailySales, name, statement)
	}
}

func damaged(t *testing.T, model, name, statement string) {
	t.Helper()
	t.Run(strings.ReplaceAll(model+" "+name, " ", "_"), func(t *testing.T) {
		t.Parallel()
		adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
			s := newShop(t, open(t))
			s.history(t)
			s.exec(t, statement)
			check := s.mustRebuild(t, model, func(c *projections.Config) { c.OnlyCompare = true })
			if n := check.Missing.N + check.Extra.N + check.Different.N; check.Identical || check.Exchanged || n == 0 || check.Generation != 1 {
				t.Errorf("it finds %+v", check)
			}
			report := s.mustRebuild(t, model)
			if report.Identical || !report.Exchanged {
				t.Errorf("it reports %+v", report)
			}
			s.right(t, model)
			if report := s.mustRebuild(t, model); !report.Identical {
				t.Errorf("afterwards it reports %+v", report)
			}
		})
	})
}

// cutOff cuts a rebuild off at a step and checks what serves then: what was there before, and from the commit
// on the new model. The old one is damaged, so that the two cannot be mistaken.
func (s *shop) cutOff(t *testing.T, model string, at analytics.Step, cut func()) {
	t.Helper()
	damage := "DELETE FROM orders_by_user WHERE order_id = (SELECT max(order_id) FROM orders_by_user)"
	if model == analytics.DailySales {
		damage = "UPDATE daily_sales SET revenue = revenue + 1"
	}
	s.exec(t, damage)
	before := s.model(t, model)
	cut()
	if at == analytics.Exchanged || at == analytics.Tidied {
		s.right(t, model)
	} else if got := s.model(t, model); got != before {
		t.Errorf("cut off at %s, what serves is\n%s\nand was\n%s", at, got, before)
	}
	report := s.mustRebuild(t, model)
	if !report.Exchanged || report.Identical != (at == analytics.Exchanged || at == analytics.Tidied) {
		t.Errorf("the next one reports %+v", report)
	}
	s.right(t, model)
	if left := s.leftovers(t); left != "" {
		t.Errorf("the next one leaves behind %s", left)
	}
}

func TestARebuildThatFailsAtAnyStepLeavesAWholeModel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		for _, at := range everyStep {
			s.cutOff(t, model, at, func() {
				unlucky := errors.New("unlucky at " + string(at))
				_, err := s.rebuild(t.Context(), model, func(c *projections.Config) {
					c.Watch = func(p analytics.Progress) error {
						if p.Step == at {
							return unlucky
						}
						return nil
					}
				})
				if !errors.Is(err, unlucky) {
					t.Errorf("it ends with %v", err)
				}
				if left := s.leftovers(t); left != "" {
					t.Errorf("cut off at %s it leaves behind %s", at, left)
				}
			})
		}
	})
}

func TestAProcessThatIsKilledAtAnyStepLeavesAWholeModel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		for _, at := range everyStep {
			s.cutOff(t, model, at, func() {
				c := exec.CommandContext(t.Context(), os.Args[0])
				c.Env = append(os.Environ(), "REBUILD="+model, "DIES_AT="+string(at), "DIALECT="+s.db.Dialect.String(), "NAME="+s.db.Name, "DSN="+s.db.DSN)
				out, err := c.CombinedOutput()
				var exit *exec.ExitError
				if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !errors.As(err, &exit) || !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("the process ends with %v at %s: %s", err, at, out)
				}
			})
		}
	})
}

// TestMain is also the process that dies.
func TestMain(m *testing.M) {
	model := os.Getenv("REBUILD")
	if model == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, die(context.Background(), model, analytics.Step(os.Getenv("DIES_AT"))))
	os.Exit(1)
}

func die(ctx context.Context, model string, at analytics.Step) error {
	db, err := sqldb.OpenPostgresDSN(os.Getenv("DSN"), os.Getenv("NAME"), 4)
	if os.Getenv("DIALECT") == sqldb.SQLite.String() {
		db, err = sqldb.OpenSQLite(ctx, os.Getenv("NAME"))
	}
	if err != nil {
		return err
	}
	_, err = projections.Rebuild(ctx, model, projections.Config{DB: db, Now: time.Now, Patience: time.Millisecond, Watch: func(p analytics.Progress) error {
		if p.Step == at {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}})
	return err
}

// Orders end at every step. Some are heard of at once, some late: after the exchange, when the new model has
// them already.
func TestAnOrderThatEndsMeanwhileIsInTheModelOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		var beside sync.WaitGroup
		var late []string
		s.mustRebuild(t, model, func(c *projections.Config) {
			c.Watch = func(p analytics.Progress) error {
				if p.Step == analytics.Exchange || p.Step == analytics.Exchanging {
					beside.Go(func() { // it may have to wait for the exchange
						id := s.ended(t, order.Confirmed)
						if err := s.recorded(t.Context(), id); err != nil {
							t.Error(err)
						}
					})
					return nil
				}
				if err := s.recorded(t.Context(), s.ended(t, order.Confirmed)); err != nil {
					return err
				}
				late = append(late, s.ended(t, order.Failed))
				return nil
			}
		})
		beside.Wait()
		for _, id := range late {
			if err := s.recorded(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range analytics.Models {
			s.right(t, name)
		}
	})
}

// Nothing hints at it: the subscriber has not heard of it, so that the two models agree when they are compared.
func TestAnOrderThatEndsAtTheLastMomentIsInTheModelBeforeItsMessageComes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		var id string
		report := s.mustRebuild(t, model, func(c *projections.Config) {
			c.Watch = func(p analytics.Progress) error {
				if p.Step == analytics.Compare {
					id = s.ended(t, order.Confirmed)
				}
				return nil
			}
		})
		if report.Orders != 6 || report.Compared != 5 || !report.Identical {
			t.Errorf("it reports %+v", report)
		}
		s.right(t, model)
		if err := s.recorded(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for _, name := range analytics.Models {
			s.right(t, name)
		}
	})
}

func TestAModelThatHasLostMuchIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		const many = 1100
		columns := "('usr_1', 'ord_0' || n, 'FAILED', '', 'LKR', 500, CURRENT_TIMESTAMP)"
		if model == analytics.DailySales {
			columns = "('ord_0' || n, '2026-01-02', 'LKR', 'FAILED', 500)"
		}
		numbers := "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1100) "
		table := map[string]string{analytics.OrdersByUser: "orders_by_user", analytics.DailySales: "daily_sales_orders"}[model]
		s.exec(t, numbers+"INSERT INTO "+table+" SELECT "+columns[1:len(columns)-1]+" FROM numbers")
		report := s.mustRebuild(t, model, func(c *projections.Config) { c.Patience = time.Hour })
		if report.Extra.N != many || len(report.Extra.First) != 5 || report.Identical {
			t.Errorf("it reports %+v", report)
		}
		s.right(t, model)
	})
}

func TestRebuiltAndLiveModelAgreeUnderLoad(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		const customers, orders = 6, 15
		var all sync.WaitGroup
		for range customers {
			all.Go(func() {
				for range orders {
					id := s.ended(t, order.Confirmed)
					if err := retried(func() error { return s.recorded(t.Context(), id) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		for rebuilds := 0; ; rebuilds++ {
			report := s.mustRebuild(t, model, func(c *projections.Config) { c.Patience = 20 * time.Second })
			if !report.Identical {
				t.Errorf("under load it reports %+v", report)
			}
			select {
			case <-done:
			default:
				continue
			}
			break
		}
		for _, name := range analytics.Models {
			s.right(t, name)
		}
		if report := s.mustRebuild(t, model); !report.Identical || report.Orders != customers*orders+5 {
			t.Errorf("in the end it reports %+v", report)
		}
	})
}

// retried is what a consumer does when a lock was not given in time.
func retried(do func() error) error {
	for {
		if err := do(); err == nil || fault.KindOf(err) != fault.Unavailable && fault.KindOf(err) != fault.Conflict {
			return err
		}
	}
}

func TestASecondRebuildBesideTheFirstIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		refused := 0
		s.mustRebuild(t, model, func(c *projections.Config) {
			c.Watch = func(p analytics.Progress) error {
				if p.Step == analytics.Exchange || p.Step == analytics.Exchanging {
					return nil
				}
				if _, err := s.rebuild(t.Context(), model); !errors.Is(err, analytics.ErrRebuilding) {
					t.Errorf("at %s the second one ends with %v", p.Step, err)
				}
				refused++
				return nil
			}
		})
		if refused == 0 {
			t.Error("it was never tried")
		}
		s.right(t, model)
		s.mustRebuild(t, model)
	})
}

func TestNothingIsMadeOfADamagedHistory(t *testing.T) {
	t.Parallel()
	tear := func(t *testing.T, s *shop, statement string) {
		t.Helper()
		if s.db.Dialect == sqldb.Postgres {
			s.exec(t, "ALTER TABLE saga_journal DISABLE TRIGGER USER")
		} else {
			s.exec(t, "DROP TRIGGER saga_journal_no_update")
			s.exec(t, "DROP TRIGGER saga_journal_no_delete")
		}
		s.exec(t, statement)
	}
	for name, statement := range map[string]string{
		"an amount is changed": `UPDATE saga_journal SET sent = replace(sent, '"status":"FAILED"', '"status":"CONFIRMED"')`,
		"an entry is gone":     "DELETE FROM saga_journal WHERE seq = 1",
		"a journal is gone":    "DELETE FROM saga_journal WHERE order_id = (SELECT min(order_id) FROM saga_journal)",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, s *shop, model string) {
				tear(t, s, statement)
				before := s.model(t, model)
				_, err := s.rebuild(t.Context(), model)
				if !errors.Is(err, analytics.ErrHistory) || !strings.Contains(err.Error(), "ord_") {
					t.Errorf("it ends with %v", err)
				}
				if after := s.model(t, model); after != before {
					t.Errorf("it was\n%s\nand is\n%s", before, after)
				}
			})
		})
	}
}

// exported gives the histories of all orders as they are now, as a file would.
func (s *shop) exported(t *testing.T) []replay.History {
	t.Helper()
	stream, err := journal.New(s.db, 0, time.Now).Histories(t.Context(), audit.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var all []replay.History
	for h, err := range stream.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

func filed(all []replay.History) func(*projections.Config) {
	return func(c *projections.Config) {
		c.Archived = func(yield func(replay.History, error) bool) {
			for _, h := range all {
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

func TestAJournalThatIsArchivedIsReadFromItsFile(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		all := s.exported(t)
		if s.db.Dialect == sqldb.Postgres {
			s.exec(t, "ALTER TABLE saga_journal DISABLE TRIGGER USER")
		} else {
			s.exec(t, "DROP TRIGGER saga_journal_no_delete")
		}
		s.exec(t, "DELETE FROM saga_journal WHERE order_id IN (SELECT id FROM orders WHERE status = 'CONFIRMED')")
		if _, err := s.rebuild(t.Context(), model); !errors.Is(err, analytics.ErrHistory) {
			t.Errorf("without the file it ends with %v", err)
		}
		if report := s.mustRebuild(t, model, filed(all)); !report.Identical || report.Orders != 5 {
			t.Errorf("with the file it reports %+v", report)
		}
		s.right(t, model)

		s.exec(t, "UPDATE sagas SET journal_hash = 'another'")
		before := s.model(t, model)
		if _, err := s.rebuild(t.Context(), model, filed(all)); !errors.Is(err, analytics.ErrHistory) {
			t.Errorf("with a file of other histories it ends with %v", err)
		}
		torn := slices.Clone(all)
		torn[0].Entries = torn[0].Entries[1:]
		if _, err := s.rebuild(t.Context(), model, filed(torn)); !errors.Is(err, analytics.ErrHistory) {
			t.Errorf("with a file that is damaged it ends with %v", err)
		}
		if after := s.model(t, model); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
	})
}

func TestARebuildTouchesNothingButItsModel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		other := analytics.Models[1-slices.Index(analytics.Models, model)]
		before := s.besides(t, other)
		s.mustRebuild(t, model)
		if after := s.besides(t, other); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
	})
}

// besides is everything else that the database knows.
func (s *shop) besides(t *testing.T, other string) string {
	t.Helper()
	text := s.model(t, other)
	for _, query := range []string{
		"inbox ORDER BY consumer, message_id", "outbox ORDER BY id", "orders ORDER BY id", "order_items ORDER BY order_id, line",
		"order_timeline ORDER BY order_id, seq", "sagas ORDER BY order_id", "saga_timers ORDER BY order_id, name", "saga_journal ORDER BY order_id, seq",
		"dead_letters ORDER BY id", "outbox_dead ORDER BY id",
	} {
		text += query + "\n" + s.rows(t, "SELECT * FROM "+query)
	}
	return text
}

// The tables of a rebuild are made here, those of a new database by its migrations.
func TestARebuiltTableHasTheShapeThatTheMigrationsGive(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop, model string) {
		before := s.shape(t)
		s.mustRebuild(t, model)
		if after := s.shape(t); after != before {
			t.Errorf("it was\n%s\nand is\n%s", before, after)
		}
	})
}

// shape is what the database knows of the tables of the read models: columns, types, keys and indexes.
func (s *shop) shape(t *testing.T) string {
	t.Helper()
	if s.db.Dialect == sqldb.Postgres {
		return s.rows(t, `SELECT table_name, ordinal_position, column_name, data_type, is_nullable FROM information_schema.columns
				WHERE table_schema = current_schema() AND (table_name = 'orders_by_user' OR table_name LIKE 'daily_sales%') ORDER BY 1, 2`) +
			s.rows(t, `SELECT tablename, indexname, indexdef FROM pg_indexes
				WHERE schemaname = current_schema() AND (tablename = 'orders_by_user' OR tablename LIKE 'daily_sales%') ORDER BY 1, 2`)
	}
	return s.rows(t, `SELECT m.name, c.cid, c.name, c.type, c."notnull", c.pk FROM sqlite_master m, pragma_table_info(m.name) c
			WHERE m.name = 'orders_by_user' OR m.name LIKE 'daily_sales%' ORDER BY 1, 2`) +
		s.rows(t, `SELECT m.tbl_name, m.name FROM sqlite_master m WHERE m.type = 'index' AND (m.tbl_name = 'orders_by_user' OR m.tbl_name LIKE 'daily_sales%') ORDER BY 1, 2`)
}

func TestAModelThatIsNotThereIsNotRebuilt(t *testing.T) {
	t.Parallel()
	s := newShop(t, adaptertest.SQLite(t, "orders"))
	if _, err := s.rebuild(t.Context(), "orders"); !errors.Is(err, analytics.ErrUnknownModel) {
		t.Errorf("it ends with %v", err)
	}
}
