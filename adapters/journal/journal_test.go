package journal_test

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/sagas/replay"
)

func ids(t *testing.T, j *journal.Journal, q audit.Query, named ...string) []string {
	t.Helper()
	s, err := j.Histories(t.Context(), q, named...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var all []string
	entries := 0
	for h, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Saga.OrderID)
		entries += len(h.Entries)
	}
	if len(all) != s.Sagas || entries != s.Entries {
		t.Errorf("%d sagas with %d entries were announced, %d with %d came", s.Sagas, s.Entries, len(all), entries)
	}
	return all
}

func TestAJournalGivesWhatAQueryChoosesAndReplayFindsItWhole(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		o := newOrdering(t, open(t))
		j := journal.New(o.db, 0, o.clock)
		if got := ids(t, j, audit.Query{}); len(got) != 0 {
			t.Errorf("before the first order: %v", got)
		}
		for name, tell := range stories {
			tell(o, "ord_"+name)
		}
		o.order("ord_notbegun")
		if got := ids(t, j, audit.Query{}); len(got) != len(stories) || !slices.IsSorted(got) {
			t.Errorf("all are %v", got)
		}
		if got := ids(t, j, audit.Query{Reason: "payment_declined"}); !slices.Equal(got, []string{"ord_declined", "ord_paymentaftertheend"}) {
			t.Errorf("declined are %v", got)
		}
		if got := ids(t, j, audit.Query{Orders: []string{"ord_open", "ord_declined"}}); !slices.Equal(got, []string{"ord_declined", "ord_open"}) {
			t.Errorf("two orders by name: %v", got)
		}
		if got := ids(t, j, audit.Query{}, "ord_open", "ord_declined", "ord_open"); !slices.Equal(got, []string{"ord_declined", "ord_open"}) {
			t.Errorf("named are %v", got)
		}
		if _, err := j.Histories(t.Context(), audit.Query{}, "ord_open", "ord_none"); !errors.Is(err, journal.ErrNoSaga) || fault.KindOf(err) != fault.NotFound {
			t.Errorf("of no order: %v", err)
		}
		s, err := j.Histories(t.Context(), audit.Query{}, "ord_notbegun", "ord_staletimer", "ord_attemptsthatfailed", "ord_outofstock")
		o.must(err)
		defer func() { _ = s.Close() }()
		sum, err := replay.Run(s.All(), replay.Options{Parallel: 2}, func(replay.Result) error { return nil })
		if err != nil || sum.OK != 3 || sum.Unreplayable != 1 || sum.Classes[replay.MissingHistory] != 1 {
			t.Errorf("%+v %v", sum, err)
		}
	})
}

func TestAStreamShowsOneMoment(t *testing.T) {
	t.Parallel()
	o := newOrdering(t, adaptertest.SQLite(t, "orders"))
	s := o.order("ord_1").hears("OrderCreated")
	db := sqldb.OpenSQLiteReadOnly(o.db.Name)
	defer func() { _ = db.Close() }()
	stream, err := journal.New(db, 0, o.clock).Histories(t.Context(), audit.Query{})
	o.must(err)
	defer func() { _ = stream.Close() }()
	s.hears("PaymentSucceeded")
	o.order("ord_2").hears("OrderCreated")
	n := 0
	for h, err := range stream.All() {
		o.must(err)
		n += len(h.Entries)
		if got := replay.Replay(h, replay.Options{}); got.Verdict != replay.OK {
			t.Errorf("%+v", got)
		}
	}
	if n != 1 {
		t.Errorf("%d entries are seen of the one that there was", n)
	}
}

// Whoever replays has a connection with which nothing can be written, even by mistake.
func TestADatabaseThatIsOpenForReadingRefusesEveryWrite(t *testing.T) {
	t.Parallel()
	read := func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		if got := ids(t, journal.New(db, 0, time.Now), audit.Query{}); !slices.Equal(got, []string{"ord_1"}) {
			t.Errorf("it reads %v", got)
		}
		for _, statement := range []string{
			"INSERT INTO outbox_dead SELECT * FROM outbox_dead", "UPDATE orders SET status = status", "DELETE FROM sagas", "CREATE TABLE mine (a TEXT)",
		} {
			if _, err := db.ExecContext(t.Context(), statement); err == nil || errors.Is(err, sqldb.ErrAway) {
				t.Errorf("%s gives %v", statement, err)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		o := newOrdering(t, adaptertest.SQLite(t, "orders"))
		o.order("ord_1").hears("OrderCreated")
		db := sqldb.OpenSQLiteReadOnly(o.db.Name)
		defer func() { _ = db.Close() }()
		read(t, db)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := os.Getenv("TEST_POSTGRES_DSN")
		if dsn == "" {
			t.Skip("TEST_POSTGRES_DSN is not set")
		}
		o := newOrdering(t, adaptertest.Postgres(t, dsn, "orders"))
		o.order("ord_1").hears("OrderCreated")
		db, err := sqldb.OpenPostgresDSN(o.db.DSN+"&default_transaction_read_only=on", o.db.Name, 2)
		o.must(err)
		defer func() { _ = db.Close() }()
		read(t, db)
		if asked := (sqldb.PostgresConfig{ReadOnly: true}).DSN("orders"); !strings.Contains(asked, "default_transaction_read_only=on") {
			t.Errorf("a reader's address is %s", asked)
		}
	})
}

// forbidden can send, charge or mail. What replay is made of links none of it.
var forbidden = []string{
	"github.com/ThreeDotsLabs", "github.com/IBM/sarama", "github.com/twmb/franz-go", "github.com/wneessen/go-mail", "github.com/emersion/go-smtp",
	"github.com/redis", "net/smtp", "millrace/adapters/outbox", "millrace/adapters/kafkabus", "millrace/adapters/smtpmail",
	"millrace/adapters/psp", "millrace/adapters/rediscache", "millrace/adapters/sqlstore", "millrace/sagas/engine", "millrace/ports",
}

func TestWhatReplayIsMadeOfCannotAct(t *testing.T) {
	t.Parallel()
	linked := func(pattern string) []string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pattern).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v\n%s", err, out)
		}
		return strings.Fields(string(out))
	}
	offends := func(deps, barred []string) (found []string) {
		for _, d := range deps {
			if slices.ContainsFunc(barred, func(f string) bool { return d == f || strings.HasPrefix(d, f+"/") }) {
				found = append(found, d)
			}
		}
		return found
	}
	reader, pure := linked("millrace/adapters/journal"), linked("millrace/sagas/replay")
	if got := offends(reader, forbidden); len(got) > 0 {
		t.Errorf("adapters/journal links %v", got)
	}
	if got := offends(pure, append([]string{"net", "os/exec", "database/sql", "millrace/adapters", "github.com", "golang.org"}, forbidden...)); len(got) > 0 {
		t.Errorf("sagas/replay links %v", got)
	}
	wiring, err := parser.ParseFile(token.NewFileSet(), "../../cmd/millrace/replay.go", nil, parser.ImportsOnly)
	if err != nil || len(wiring.Imports) < 5 {
		t.Fatalf("the file in which the verbs are wired: %v", err)
	}
	for _, i := range wiring.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if path == "millrace/ports/cli" { // the verbs themselves, with those that act; they are handed what they may do
			continue
		}
		if got := offends(linked(path), forbidden); len(got) > 0 {
			t.Errorf("the verbs that read are wired from %s, which links %v", path, got)
		}
	}
	if len(reader) < 50 || len(pure) < 20 || len(offends(linked("millrace/adapters/sqlstore"), forbidden)) == 0 {
		t.Error("the list of what is linked has lost its way: a package that publishes is not found in it")
	}
}
