package recovery

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/embedded"
	"millrace/adapters/psp"
	"millrace/adapters/psp/simulator"
	"millrace/adapters/smtpmail"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/messages"
	"millrace/app/notification"
	"millrace/app/payment"
	"millrace/domain/intent"
	"millrace/ports/worker"
)

const orderID = "ord_1"

// till is the payment service and its provider. The provider, like the database, outlives every
// process.
type till struct {
	db       *sqldb.DB
	provider *simulator.Simulator

	mu   sync.Mutex
	keys map[string]bool // under which anything was ever asked of the provider
}

func newTill(t *testing.T, db *sqldb.DB) *till {
	t.Helper()
	s, err := simulator.Open("", simulator.Options{Slow: 5 * time.Millisecond, Late: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &till{db: db, provider: s, keys: map[string]bool{}}
}

// live is one process: it takes the messages, then works until nothing is intended any more, or dies.
func (s *till) live(t *testing.T, p *process, restarted bool, arrive ...messages.Message) {
	t.Helper()
	core := coreOn(s.db, messages.PaymentService)
	intents := sqlstore.NewIntents(core)
	store := sqlstore.NewPayments(core, intents)
	capture, refund := payment.NewCapturePayment(store), payment.NewRefundPayment(store)
	for i, m := range arrive {
		ctx := delivered(t.Context(), fmt.Sprint("m", i, m.Name()))
		var err error
		switch m := m.(type) {
		case *messages.OrderCreated:
			err = capture.Handle(ctx, m)
		case *messages.RefundPayment:
			err = refund.Handle(ctx, m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if restarted {
		if err := intents.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p.at("the intent is stored, and nobody was told") != nil {
		return
	}
	mortal := mortalPayments{store, p}
	provider := mortalProvider{psp.NewInProcess(s.provider, 50*time.Millisecond), p, func(key string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keys[key] = true
	}}
	stop := p.work(t, intents, map[intent.Kind]worker.Handler{
		intent.Capture: payment.NewSettleCapture(mortal, store, provider, nobody{}).Handle,
		intent.Void:    payment.NewSettleVoid(mortal, provider).Handle,
		intent.Refund:  payment.NewSettleRefund(mortal, store, provider).Handle,
	}, nobody{})
	defer stop()
	p.until(t, "every intent of the payment service is settled", func() bool {
		return count(t, s.db, "SELECT count(*) FROM intents WHERE state = 'open'") == 0
	})
}

// fate is how a payment stands in the end.
type fate struct {
	state             string
	captures, refunds int
	paid, failed      int // messages
	undone            int
}

func (s *till) fate(t *testing.T) fate {
	t.Helper()
	ledger, err := s.provider.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	told := func(event string) int {
		return count(t, s.db, "SELECT count(*) FROM outbox WHERE event_type = ?", event)
	}
	f := fate{
		captures: len(ledger.Captures), refunds: len(ledger.Refunds),
		paid: told("PaymentSucceeded"), failed: told("PaymentFailed"), undone: told("PaymentRefunded"),
	}
	if err := s.db.GetContext(t.Context(), &f.state, "SELECT state FROM payments"); err != nil {
		t.Fatal(err)
	}
	return f
}

// A process that dies at any point between the intent and the end of its second transaction leaves
// something that the next process resolves by asking, with the same key.
func TestAPaymentSurvivesDeathAtEveryPoint(t *testing.T) {
	t.Parallel()
	created := func(method string) messages.Message {
		return &messages.OrderCreated{
			OrderID: orderID, UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 1, Price: 100}},
			Currency: "LKR", Total: 100, PaymentMethod: method,
		}
	}
	undo := &messages.RefundPayment{OrderID: orderID, Reason: messages.ReasonCancelledByUser}
	for name, c := range map[string]struct {
		before []messages.Message // handled by an earlier process
		until  int                // the point at which that one died; 0 for one that settled all
		arrive []messages.Message // by the one that dies
		ends   []fate
	}{
		"a charge":                            {nil, 0, []messages.Message{created("pm_card_ok")}, []fate{{"captured", 1, 0, 1, 0, 0}}},
		"a charge that is declined":           {nil, 0, []messages.Message{created("pm_card_declined")}, []fate{{"declined", 0, 0, 0, 1, 0}}},
		"a charge whose answer never comes":   {nil, 0, []messages.Message{created("pm_card_timeout")}, []fate{{"captured", 1, 0, 1, 0, 0}}},
		"a charge that is pending for a time": {nil, 0, []messages.Message{created("pm_card_late")}, []fate{{"captured", 1, 0, 1, 0, 0}}},
		"a refund":                            {[]messages.Message{created("pm_card_ok")}, 0, []messages.Message{undo}, []fate{{"refunded", 1, 1, 1, 0, 1}}},
		"a charge that is undone at once": {nil, 0, []messages.Message{created("pm_card_ok"), undo}, []fate{
			{"voided", 0, 0, 0, 0, 1}, {"refunded", 1, 1, 0, 0, 1},
		}},
		// The provider has the charge, and will make it: the void comes too late, and then the success.
		"a pending charge that is undone": {
			[]messages.Message{created("pm_card_late")}, 3, []messages.Message{undo}, []fate{{"refunded", 1, 1, 0, 0, 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
				points := map[string]bool{}
				for n := 1; ; n++ {
					s := newTill(t, open(t))
					if c.before != nil {
						earlier := aliveUntil(c.until)
						s.live(t, earlier, false, c.before...)
						if c.until > 0 && earlier.death() != "after capture" {
							t.Fatalf("the earlier process died %q", earlier.death())
						}
					}
					first := aliveUntil(n)
					s.live(t, first, c.until > 0, c.arrive...)
					if first.death() != "" {
						points[first.death()] = true
						s.live(t, aliveUntil(0), true)
					}
					if got := s.fate(t); !contains(c.ends, got) {
						t.Fatalf("dead %q, and it ended as %+v", first.death(), got)
					}
					for key := range s.keys {
						if key != orderID+":capture" && key != orderID+":refund" {
							t.Errorf("dead %q: the provider was asked under the key %s", first.death(), key)
						}
					}
					if first.death() == "" { // it came through: there are no more points
						break
					}
				}
				least := 6
				if len(c.ends) > 1 { // when the undo is first each time, the charge is never asked for
					least = 5
				}
				if len(points) < least {
					t.Errorf("it died only at %v", points)
				}
			})
		})
	}
}

func contains(all []fate, one fate) bool {
	for _, f := range all {
		if f == one {
			return true
		}
	}
	return false
}

// A mail repeats only when the process dies between the server's 250 and our commit, and then with
// the same Message-ID.
func TestAMailRepeatsOnlyBetweenTheServersYesAndOurCommit(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "notifications", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		repeats := 0
		for n := 1; ; n++ {
			db := open(t)
			server, err := embedded.StartMail("127.0.0.1:0", t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Close() })
			first := aliveUntil(n)
			post(t, db, server.Addr(), first, false)
			if first.death() != "" {
				post(t, db, server.Addr(), aliveUntil(0), true)
			}
			want := 1
			switch first.death() {
			case "after the mail", "before the second transaction", "before its commit":
				want = 2
				repeats++
			}
			box, err := server.Mailbox(orderID)
			if err != nil || len(box) != 1 || box[0].Deliveries != want {
				t.Fatalf("dead %q: the mailbox holds %+v, %v; want one letter, delivered %d times", first.death(), box, err, want)
			}
			if first.death() == "" {
				break
			}
		}
		if repeats != 3 {
			t.Errorf("%d of three points lie between the 250 and the commit", repeats)
		}
	})
}

// post is one process of the notification service.
func post(t *testing.T, db *sqldb.DB, server string, p *process, restarted bool) {
	t.Helper()
	core := coreOn(db, messages.NotificationService)
	intents := sqlstore.NewIntents(core)
	store := sqlstore.NewNotifications(core, intents)
	err := notification.NewNotifyCustomer(store, time.Now).Handle(delivered(t.Context(), "m1"), // the second process gets it again
		&messages.OrderCompleted{OrderID: orderID, UserID: "usr_1", Status: "CONFIRMED", Total: 100, Currency: "LKR"})
	if err != nil {
		t.Fatal(err)
	}
	if restarted {
		if err := intents.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p.at("the intent is stored, and nobody was told") != nil {
		return
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := smtpmail.New(smtpmail.Config{Host: host, Port: number, From: "orders@millrace.local"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	stop := p.work(t, intents, map[intent.Kind]worker.Handler{
		intent.Mail: notification.NewSendMail(mortalNotices{store, p}, store, mortalMailer{sender, p}).Handle,
	}, nobody{})
	defer stop()
	p.until(t, "the mail is settled", func() bool {
		return count(t, db, "SELECT count(*) FROM intents WHERE state = 'open'") == 0
	})
}
