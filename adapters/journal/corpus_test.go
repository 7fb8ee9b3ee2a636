package journal_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/journal"
	"millrace/app/audit"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

var update = flag.Bool("update", false, "write the corpus of histories anew")

const corpus = "../../sagas/testdata/corpus"

// stories are the runs that the corpus is made of: every edge of the saga's table, every reason to
// end, and every way in which a message may come wrong. Each is told to a saga of every version; of
// the versions behind the first it has the version before its name, and storiesOf has what they add.
var stories = map[string]func(o *ordering, id string){
	"confirmed": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "PaymentSucceeded", "InventoryReserved")
	},
	"declined": func(o *ordering, id string) { o.order(id).hears("OrderCreated", "PaymentFailed") },
	"outofstock": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "PaymentSucceeded", "InventoryFailed", "PaymentRefunded")
	},
	"paymenttimeout": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated").timesOut(saga.PaymentTimer, 1).hears("PaymentSucceeded", "InventoryReleased", "PaymentRefunded")
	},
	"cancelledbeforepayment": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "OrderCancelRequested", "InventoryReleased", "PaymentRefunded")
	},
	"cancelledafterpayment": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "PaymentSucceeded", "OrderCancelRequested", "InventoryReleased", "PaymentRefunded")
	},
	"cancelledtoolate": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "PaymentSucceeded", "InventoryReserved", "OrderCancelRequested")
	},
	"everythingbeforeitscause": func(o *ordering, id string) {
		o.order(id).hears("InventoryReserved", "PaymentSucceeded", "OrderCreated")
	},
	"cancelledbeforeitbegan": func(o *ordering, id string) {
		o.order(id).hears("OrderCancelRequested", "OrderCreated", "InventoryReleased", "PaymentRefunded")
	},
	"everythingtwice": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "OrderCreated", "PaymentSucceeded", "PaymentSucceeded", "InventoryReserved", "InventoryReserved")
	},
	"undoneandeverythingtwice": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "PaymentSucceeded", "InventoryFailed", "InventoryFailed", "PaymentRefunded", "PaymentRefunded")
	},
	"staletimer": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "PaymentSucceeded").timesOut(saga.PaymentTimer, 1).hears("InventoryReserved")
	},
	"paymentaftertheend": func(o *ordering, id string) { o.order(id).hears("OrderCreated", "PaymentFailed", "PaymentSucceeded") },
	"attemptsthatfailed": func(o *ordering, id string) {
		s := o.order(id).fails().hears("OrderCreated")
		s.hears("OrderCreated").fails().hears("PaymentSucceeded").hears("PaymentSucceeded", "InventoryReserved")
	},
	"open": func(o *ordering, id string) { o.order(id).hears("OrderCreated", "PaymentSucceeded") },
	"undoingandwaiting": func(o *ordering, id string) {
		o.order(id).hears("OrderCreated", "OrderCancelRequested", "PaymentSucceeded")
	},
}

// storiesOf are those that only sagas of one version can live through.
var storiesOf = map[int]map[string]func(o *ordering, id string){
	1: {
		"inventorytimeout": func(o *ordering, id string) {
			o.order(id).hears("OrderCreated", "PaymentSucceeded").timesOut(saga.InventoryTimer, 2).hears("InventoryReserved", "InventoryReleased", "PaymentRefunded")
		},
	},
	2: {
		"inventorylate": func(o *ordering, id string) {
			o.order(id).hears("OrderCreated", "PaymentSucceeded").timesOut(saga.InventoryTimer, 2).hears("InventoryReserved")
		},
		"inventorytimeout": func(o *ordering, id string) {
			o.order(id).hears("OrderCreated", "PaymentSucceeded").timesOut(saga.InventoryTimer, 2).timesOut(saga.InventoryTimer, 2).
				timesOut(saga.InventoryTimer, 3).hears("InventoryReserved", "InventoryReleased", "PaymentRefunded")
		},
		"cancelledinthesecondwait": func(o *ordering, id string) {
			o.order(id).hears("OrderCreated", "PaymentSucceeded").timesOut(saga.InventoryTimer, 2).
				hears("OrderCancelRequested", "InventoryReleased", "PaymentRefunded")
		},
	},
}

// told gives every story of every version, by the name of its bundle.
func told() map[string]func(o *ordering) {
	all := map[string]func(o *ordering){}
	for _, version := range saga.Versions() {
		prefix := ""
		if version > 1 {
			prefix = "v" + strconv.Itoa(version)
		}
		for _, some := range []map[string]func(o *ordering, id string){stories, storiesOf[version]} {
			for name, tell := range some {
				all[prefix+name] = func(o *ordering) {
					o.version = version
					tell(o, "ord_"+prefix+name)
				}
			}
		}
	}
	return all
}

// A real run of the engine on SQLite writes what lies in the corpus, byte for byte; with -update it
// is written there.
func TestTheCorpusIsWhatTheEngineWrites(t *testing.T) {
	t.Parallel()
	for name, tell := range told() {
		o := newOrdering(t, adaptertest.SQLite(t, "orders"))
		tell(o)
		got := exported(t, journal.New(o.db, 0, o.clock))
		path := filepath.Join(corpus, name+".ndjson")
		if *update {
			o.must(os.WriteFile(path, got, 0o644))
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: go test ./adapters/journal -update writes it", err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the engine writes another history than the one that is kept: a saga that was stored before would be replayed differently. It writes\n%s", name, got)
		}
	}
	if *update {
		sums, err := replay.SumsOf(os.DirFS(corpus))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(corpus, replay.CorpusSums), sums, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func exported(t *testing.T, j *journal.Journal, orderIDs ...string) []byte {
	t.Helper()
	s, err := j.Histories(t.Context(), audit.Query{}, orderIDs...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var out bytes.Buffer
	w, err := replay.NewWriter(&out, s.Sagas, s.Entries, false)
	if err != nil {
		t.Fatal(err)
	}
	for h, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
