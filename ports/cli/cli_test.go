package cli_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"millrace/app/audit"
	"millrace/app/deadletters"
	"millrace/domain/fault"
	"millrace/ports/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"millrace": func() { os.Exit(cli.Run(context.Background(), os.Args[1:], fakeDeps())) }})
}

// Each script in testdata is a conversation with the command line. $URL is a gateway, $ASKING one that asks for
// the-token, $CORPUS the corpus of the sources.
func TestTheCommandLineAnswersAsTheScriptsSay(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "sha": sha, "pack": pack},
		Setup: func(e *testscript.Env) error {
			server := httptest.NewServer(&fakeAPI{ending: time.Millisecond})
			e.Defer(server.Close)
			e.Setenv("URL", server.URL)
			asking := httptest.NewServer(&fakeAPI{ending: time.Millisecond, token: "the-token"})
			e.Defer(asking.Close)
			e.Setenv("ASKING", asking.URL)
			e.Setenv("CORPUS", filepath.Join(sources, "sagas", "testdata", "corpus"))
			return nil
		},
	})
}

// exits runs a command that must end with that code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); !errors.As(err, &ended) || strconv.Itoa(ended.ExitCode()) != args[0] {
		ts.Fatalf("it ended with %v, want exit code %s", err, args[0])
	}
}

// sha puts the sha256 that a plan says of itself into SHA.
func sha(ts *testscript.TestScript, _ bool, args []string) {
	var plan struct{ SHA256 string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &plan))
	ts.Setenv("SHA", plan.SHA256)
}

// pack compresses a file into another one, and leaves away as many bytes of its end as the third word says.
func pack(ts *testscript.TestScript, _ bool, args []string) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(errors.Join(err, w.Close()))
	cut := 0
	if len(args) == 3 {
		cut, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes()[:out.Len()-cut], 0o600))
}

// today is the clock of every verb under test.
var today = time.Date(2026, 1, 2, 17, 4, 5, 0, time.UTC)

// fakeDeps says what it was called with.
func fakeDeps() cli.Deps {
	say := func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	return cli.Deps{
		Version: "v1.2.3", Stdout: os.Stdout, Stderr: os.Stderr,
		Up: func(_ context.Context, o cli.UpOptions) error {
			say("up %s %d %d %s", o.Data, o.BasePort, o.KafkaPort, o.LogFormat)
			if o.JSON {
				say("for programs")
			}
			return nil
		},
		Serve: func(_ context.Context, service string) error { say("serve %s", service); return nil },
		Migrate: func(_ context.Context, direction string, where cli.Where, out io.Writer, asJSON bool) error {
			fmt.Fprintf(out, "migrate %s %q %t\n", direction, where.Data, asJSON)
			return nil
		},
		Seed: func(context.Context, cli.Where) error {
			return errors.New("seed: no database:\nrun `millrace migrate up` first")
		},
		PSP: func(_ context.Context, addr, dir string) error { say("psp %s %s", addr, dir); return nil },
		Doctor: func(_ context.Context, where cli.Where) ([]cli.Finding, error) {
			if where.Data == "fine" {
				return []cli.Finding{{Name: "database", State: "ok", Detail: "answers"}, {Name: "kafka", State: "warn", Detail: "no TLS"}}, nil
			}
			return []cli.Finding{{Name: "kafka", State: "fail", Detail: "does not answer", Advice: "set KAFKA_BROKERS"}}, nil
		},
		Config: func() ([]cli.Setting, error) {
			return []cli.Setting{{Name: "POSTGRES_PASSWORD", Value: "***", Source: "environment"}, {Name: "KAFKA_PARTITIONS", Value: "12", Source: "default", Note: "3 elsewhere"}}, nil
		},
		Verify: fakeVerify,
		SignToken: func(o cli.TokenOptions, now time.Time) (cli.Token, error) {
			if o.User == "nobody" {
				return cli.Token{}, errors.New("JWT_JWKS_URL is set, so tokens come from your identity provider: ask it for one")
			}
			return cli.Token{Token: fmt.Sprintf("%s|%s|%s|%s", o.User, o.Scope, o.Expires, now.Format(time.TimeOnly)), Demo: o.Scope == ""}, nil
		},
		Sagas: func(_ context.Context, where cli.Where, _ cli.Access) (cli.Sagas, func() error, error) {
			if where.Data == "gone" {
				return nil, nil, errors.New("there is no data in gone")
			}
			return &fakeSagas{}, func() error { return nil }, nil
		},
		DeadLetters: func(context.Context, cli.Where, cli.Access) (cli.DeadLetters, func() error, error) {
			pause := func(context.Context, time.Duration) error { return nil }
			return deadletters.NewDesk(&fakeLetters{begun: map[string]int{}}, time.Now, pause), func() error { return nil }, nil
		},
		Now: func() time.Time { return today },
		Outbox: func(_ context.Context, where cli.Where, access cli.Access) (cli.Outbox, func() error, error) {
			if where.Data == "gone" {
				return nil, nil, errors.New("there is no data in gone")
			}
			return fakeOutbox{access}, func() error { return nil }, nil
		},
		Projections: func(_ context.Context, where cli.Where, access cli.Access) (cli.Projections, func() error, error) {
			return fakeModels{where.Data, access}, func() error { return nil }, nil
		},
		Histories: fakeMoves(),
		Newest:    fakeNewest,
		Acts:      fakeActs,
	}
}

func fakeVerify(_ context.Context, where cli.Where, settled bool) (audit.Report, error) {
	r := audit.Report{OK: true, Orders: audit.Orders{Total: 3, Confirmed: 2, Failed: 1}, Invariants: []audit.Invariant{
		{Name: audit.StockConserved, OK: true, Checked: 5, Violations: []string{}},
	}}
	switch {
	case where.Data == "gone":
		return r, fault.New(fault.Unavailable, "database_unavailable", "the database is not reachable")
	case where.Data == "refused":
		return r, cli.WithCode(cli.Refused, errors.New("not in production"))
	case where.Data == "inprocess":
		r.Invariants = append(r.Invariants, audit.Invariant{Name: audit.BooksMatchProvider, OK: true, Violations: []string{}, Unchecked: "there is no ledger"})
	case settled:
		r.OK = false
		r.Invariants = append(r.Invariants, audit.Invariant{Name: audit.NothingPending, Checked: 4, Broken: 12, Violations: []string{"ord_1: it waits"}})
	}
	return r, nil
}

// fakeSagas are opened once by every verb.
type fakeSagas struct{ looks int }

func (*fakeSagas) Definitions(context.Context) ([]audit.Definition, error) {
	return []audit.Definition{
		{Version: 1, Open: 2, Ended: 5, Oldest: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)}, {Version: 77, Open: 1},
	}, nil
}

func (*fakeSagas) List(_ context.Context, q audit.Query) (audit.Sagas, error) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	if q.Status == "FAILED" {
		return audit.Sagas{Items: []audit.Saga{}, States: map[string]int{}, Reasons: map[string]int{}, Versions: map[int]int{}}, nil
	}
	version := 1
	if q.User == "usr_moving" { // something happens to it as soon as it was listed
		version = 0
	}
	return audit.Sagas{
		Items: []audit.Saga{{OrderID: "ord_1", UserID: "usr_001", Status: "PROCESSING", State: "awaiting_payment", Currency: "LKR", Total: 100,
			Definition: 1, Version: version, PlacedAt: at, EnteredAt: at, Stuck: true}},
		Total: 7, States: map[string]int{"confirmed": 6, "awaiting_payment": 1},
		Reasons: map[string]int{"out_of_stock": 2}, Versions: map[int]int{1: 7}, Stuck: 1,
	}, nil
}

func (f *fakeSagas) Show(_ context.Context, id string) (audit.History, error) {
	if id == "ord_none" {
		return audit.History{}, fault.New(fault.NotFound, "saga_not_found", "there is no order with that id: `millrace saga list` shows those there are")
	}
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	h := audit.History{
		Saga: audit.Saga{OrderID: id, Status: "CANCELLED", State: "cancelled", Reason: "cancelled_by_user", Definition: 1, Version: 4, EnteredAt: at},
		Journal: []audit.Entry{
			{Seq: 1, At: at, Type: "OrderCancelRequested", Outcome: "held", From: "new", To: "new"},
			{Seq: 2, At: at, Type: "OrderCreated", Outcome: "applied", From: "new", To: "undoing_inventory", Held: []string{"OrderCancelRequested"},
				Sent: []audit.Sent{{Type: "ReleaseInventory"}}},
			{Seq: 3, At: at, Type: "InventoryReleased", Outcome: "failed", From: "undoing_inventory", To: "undoing_inventory", Error: "no luck\nat all"},
			{Seq: 4, At: at, Type: "InventoryReleased", Outcome: "applied", From: "undoing_inventory", To: "undoing_payment"},
			{Seq: 5, At: at, Type: "PaymentRefunded", Outcome: "applied", From: "undoing_payment", To: "cancelled"},
		},
		Timers: []audit.Timer{}, Inside: []byte("{}"), Chain: audit.Chain{OK: true, Entries: 5},
	}
	if id == "ord_waited" { // it began with version 2
		h.Saga.Status, h.Saga.State, h.Saga.Reason, h.Saga.Definition = "CONFIRMED", "confirmed", "", 2
		h.Journal = []audit.Entry{
			{Seq: 1, At: at, Type: "OrderCreated", Outcome: "applied", From: "new", To: "awaiting_payment"},
			{Seq: 2, At: at, Type: "PaymentSucceeded", Outcome: "applied", From: "awaiting_payment", To: "awaiting_inventory"},
			{Seq: 3, At: at, Type: "InventoryTimedOut", Outcome: "applied", From: "awaiting_inventory", To: "awaiting_inventory"},
			{Seq: 4, At: at, Type: "InventoryReserved", Outcome: "applied", From: "awaiting_inventory", To: "confirmed"},
		}
	}
	for i := range h.Journal {
		h.Journal[i].Definition = h.Saga.Definition
		h.Journal[i].Payload, h.Journal[i].Before = []byte("{}"), []byte("{}")
		h.Journal[i].After = fmt.Appendf(nil, `{"step":%q,"status":"PROCESSING"}`, h.Journal[i].To)
		for n := range h.Journal[i].Sent {
			h.Journal[i].Sent[n].Data = []byte("{}")
		}
	}
	f.looks++
	f.tell(&h)
	if id == "ord_broken" {
		h.Chain = audit.Chain{Entries: 5, BrokenAt: 3, Why: "it is missing"}
	}
	return h, nil
}

// tell makes a history what its order's name says.
func (f *fakeSagas) tell(h *audit.History) {
	at := h.Saga.EnteredAt
	upTo := func(n int) {
		h.Journal = h.Journal[:n]
		h.Saga.State, h.Saga.Status = h.Journal[n-1].To, "PROCESSING"
	}
	switch h.Saga.OrderID {
	case "ord_open":
		upTo(2)
		h.Traces = []string{"4bf92f3577b34da6a3ce929d0e0e4736"}
		h.Letters = []audit.Letter{
			{ID: "l1", Service: "inventory-service", Handler: "release_inventory", Type: "ReleaseInventory", Reason: "panic", State: "waiting", At: at},
			{ID: "l2", Service: "payment-service", Handler: "capture_payment", Type: "OrderCreated", Reason: "bad_data", State: "done", At: at},
		}
		h.Journal[1].After = []byte(`{"step":"undoing_inventory","status":"PROCESSING","reason":"cancelled_by_user"}`)
	case "ord_paying":
		h.Journal = append(h.Journal[:0], audit.Entry{Seq: 1, At: at, Type: "OrderCreated", Outcome: "applied", From: "new", To: "awaiting_payment",
			Before: []byte("{}"), After: []byte("{}"), Payload: []byte("{}"), Set: []string{"payment"}})
		h.Saga.State, h.Saga.Status = "awaiting_payment", "PROCESSING"
		h.Timers = []audit.Timer{{Name: "payment", Entry: 1, Due: at.Add(30 * time.Second)}}
	case "ord_shelf1", "ord_shelf2", "ord_shelf2again", "ord_shelf99": // inventory's answer is waited for, by version
		h.Journal = append(h.Journal[:0], audit.Entry{Seq: 1, At: at, Type: "PaymentSucceeded", Outcome: "applied", From: "awaiting_payment", To: "awaiting_inventory",
			Before: []byte("{}"), After: []byte("{}"), Payload: []byte("{}")})
		h.Saga.State, h.Saga.Status, h.Inside = "awaiting_inventory", "PAID", []byte(`{"step":"awaiting_inventory","status":"PAID"}`)
		switch h.Saga.OrderID {
		case "ord_shelf1":
			h.Saga.Definition = 1
		case "ord_shelf99":
			h.Saga.Definition = 99
		default:
			h.Saga.Definition = 2
		}
		if h.Saga.OrderID == "ord_shelf2again" {
			h.Inside = []byte(`{"step":"awaiting_inventory","status":"PAID","waited":1}`)
		}
	case "ord_archived":
		h.Journal, h.Archived = h.Journal[:0], &audit.Archived{Entries: 5, File: "sagas-1.ndjson.gz", At: at}
	case "ord_growing": // an entry more with every look
		upTo(min(f.looks, 5))
		if f.looks >= 5 {
			h.Saga.Status = "CANCELLED"
		}
	}
}
