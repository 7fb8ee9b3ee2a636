package sqlstore

import (
	"context"
	"maps"
	"testing"
	"time"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/app/deadletters"
	"millrace/app/messages"
	notificationapp "millrace/app/notification"
	paymentapp "millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/intent"
	"millrace/domain/money"
	"millrace/domain/payment"
)

// forecast is a service with letters, and the previews of its own use cases.
type forecast struct {
	db      *sqldb.DB
	core    *Core
	service string
	letters *Letters
}

func eachForecast(t *testing.T, schema, service string, test func(t *testing.T, f *forecast)) {
	t.Helper()
	adaptertest.EachDatabase(t, schema, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		f := &forecast{db: open(t), service: service}
		f.core = newCore(f.db)
		f.letters = NewLetters(map[string]*Core{service: f.core}, nil).Previewing(func() map[string]EffectPreview {
			till, post := paymentapp.NewDryRun(NewPayments(f.core, NewIntents(f.core))), notificationapp.NewDryRun()
			return map[string]EffectPreview{
				messages.PaymentService: {
					Message: func(ctx context.Context, _ string, m messages.Message) ([]intent.Effect, error) {
						var err error
						switch m := m.(type) {
						case *messages.OrderCreated:
							err = paymentapp.NewCapturePayment(till).Handle(ctx, m)
						case *messages.RefundPayment:
							err = paymentapp.NewRefundPayment(till).Handle(ctx, m)
						}
						return till.Intended(), err
					},
					Retried: till.Retried,
					Settled: func(ctx context.Context, in intent.Intent, outcome string) ([]intent.Effect, error) {
						err := paymentapp.NewSettleByHand(till).Handle(ctx, in, outcome)
						return till.Intended(), err
					},
				},
				messages.NotificationService: {
					Message: func(ctx context.Context, _ string, m messages.Message) ([]intent.Effect, error) {
						done, ok := m.(*messages.OrderCompleted)
						if !ok {
							return nil, nil
						}
						err := notificationapp.NewNotifyCustomer(post, time.Now).Handle(ctx, done)
						return post.Intended(), err
					},
					Retried: post.Retried,
				},
			}
		})
		test(t, f)
	})
}

// dead makes a message a dead letter of the consumer of its topic.
func (f *forecast) dead(t *testing.T, id string, m messages.Message) messages.DeadLetter {
	t.Helper()
	d := f.record(t, id, m)
	if err := NewDeadLetters(f.core).Keep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (f *forecast) record(t *testing.T, id string, m messages.Message) messages.DeadLetter {
	t.Helper()
	spec, _ := messages.SpecOf(m.Name())
	e, err := messages.Seal("0198f2a7-c1d0-7b7e-8000-000000000001", "0af7651916cd43dd8448eb211c80319c", time.Now(), m)
	if err != nil {
		t.Fatal(err)
	}
	d := letterOf(f.service+"."+spec.Topic, m.Order(), id)
	d.Service, d.Topic, d.Type = f.service, spec.Topic, m.Name()
	if d.Payload, err = e.Encode(); err != nil {
		t.Fatal(err)
	}
	return d
}

// parked delivers a message of an order that waits behind a dead letter.
func (f *forecast) parked(t *testing.T, id string, m messages.Message) {
	t.Helper()
	d := &inHand{letter: f.record(t, id, m)}
	cause := messages.Cause{Consumer: d.letter.Consumer, MessageID: id, CorrelationID: m.Order(), Handler: "h", Delivery: d}
	if err := f.core.do(messages.WithCause(t.Context(), cause), func(*unit) error { t.Error("it was handled"); return nil }); err != nil || !d.parked {
		t.Fatalf("it was not parked: %v", err)
	}
}

// pay brings a payment of 100 LKR to where a test wants it, with the acts that it wants.
func (f *forecast) pay(t *testing.T, orderID string, move func(*payment.Payment), kinds ...intent.Kind) {
	t.Helper()
	intents := NewIntents(f.core)
	if err := NewPayments(f.core, intents).Do(t.Context(), func(tx paymentapp.Tx) error {
		p, err := payment.Open(orderID, money.Of(100, money.RestoreCurrency("LKR")), "pm_card_ok", nil)
		if err != nil {
			return err
		}
		move(p)
		tx.Keep(p)
		for _, kind := range kinds {
			tx.Intend(intent.New(orderID, kind))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(kinds) == 0 {
		return
	}
	for _, in := range <-intents.Committed() {
		if err := intents.Bury(t.Context(), in, errProvider); err != nil {
			t.Fatal(err)
		}
	}
}

// want plans for all letters that wait and compares what can come of it.
func (f *forecast) want(t *testing.T, action, outcome string, want deadletters.Effects) map[string]deadletters.Effects {
	t.Helper()
	letters, err := f.letters.List(t.Context(), deadletters.Filter{State: deadletters.Waiting})
	if err != nil || len(letters) == 0 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	each, err := f.letters.Effects(t.Context(), action, outcome, letters)
	if err != nil {
		t.Fatal(err)
	}
	got := deadletters.NoEffects()
	for _, s := range each {
		got.Add(s)
	}
	if got.Deduplicated != want.Deduplicated || got.Unreadable != want.Unreadable || got.Mails != want.Mails ||
		!maps.Equal(got.Captures, want.Captures) || !maps.Equal(got.Refunds, want.Refunds) {
		t.Errorf("%s %s can come to %+v, want %+v", action, outcome, got, want)
	}
	return each
}

func lkr(n int64) map[string]int64 { return map[string]int64{"LKR": n} }

func ordered(id string, total int64) *messages.OrderCreated {
	return &messages.OrderCreated{
		OrderID: id, UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 1, Price: total}}, Total: total, Currency: "LKR", PaymentMethod: "pm_card_ok",
	}
}

func completed(id string) *messages.OrderCompleted {
	return &messages.OrderCompleted{OrderID: id, UserID: "usr_1", Status: "CONFIRMED", Total: 1, Currency: "LKR"}
}

func TestAChargeIsPreviewedWhereNobodyWasCharged(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		f.dead(t, "m1", ordered("ord_1", 2400))
		f.dead(t, "m2", ordered("ord_2", 7))
		each := f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Captures: lkr(2407)})
		if got := each["payment-service.order.events/m1"]; got.Captures["LKR"] != 2400 {
			t.Errorf("of the first it is %+v", each)
		}
		f.want(t, deadletters.ActDiscard, "", deadletters.Effects{})
		f.pay(t, "ord_1", func(*payment.Payment) {})
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Captures: lkr(7)})
		if n := count(t, f.db, "SELECT count(*) FROM payments") + count(t, f.db, "SELECT count(*) FROM intents"); n != 1 {
			t.Errorf("previewing has left %d rows", n)
		}
	})
}

func TestWhatTheInboxKnowsComesToNothing(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		d := f.dead(t, "m1", ordered("ord_1", 2400))
		if _, err := f.db.ExecContext(t.Context(), f.db.Rebind("UPDATE inbox SET outcome = 'done' WHERE consumer = ? AND message_id = ?"), d.Consumer, "m1"); err != nil {
			t.Fatal(err)
		}
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Deduplicated: 1})
	})
}

func TestWhatIsParkedBehindALetterIsPreviewedWithIt(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		f.pay(t, "ord_1", func(p *payment.Payment) { p.CaptureSucceeded("pay_1", "") })
		d := f.dead(t, "m1", &messages.RefundPayment{OrderID: "ord_1", Reason: "x"})
		f.parked(t, "m2", &messages.RefundPayment{OrderID: "ord_1", Reason: "x"})
		each := f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Refunds: lkr(100)}) // one refund, and not two
		if each[d.ID].Refunds["LKR"] != 100 {
			t.Errorf("it is %+v", each)
		}
		f.want(t, deadletters.ActDiscard, "", deadletters.Effects{Refunds: lkr(100)}) // that of the parked one
	})
}

func TestAMessageThatCannotBeReadIsNotTakenForHarmless(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		d := letterOf("payment-service.order.events", "ord_1", "m1")
		d.Service = messages.PaymentService
		if err := NewDeadLetters(f.core).Keep(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Unreadable: 1})
		f.want(t, deadletters.ActDiscard, "", deadletters.Effects{})
	})
}

func TestWhatCannotBePreviewedIsOneLettersAloneAndNotHarmless(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		f.core.Service = messages.PaymentService
		f.pay(t, "ord_1", func(p *payment.Payment) { p.CaptureSucceeded("pay_1", "") })
		f.pay(t, "ord_2", func(p *payment.Payment) { p.CaptureSucceeded("pay_2", ""); p.Undo() }, intent.Refund)
		f.dead(t, "m1", &messages.RefundPayment{OrderID: "ord_1", Reason: "x"})
		f.dead(t, "m3", ordered("ord_3", 7))
		if _, err := f.db.ExecContext(t.Context(), "UPDATE payments SET lines = '{'"); err != nil {
			t.Fatal(err)
		}
		each := f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Unreadable: 2, Captures: lkr(7)})
		if each["payment-service.order.events/m3"].Unreadable != 0 {
			t.Errorf("of a letter that can be read it is %+v", each)
		}
	})
}

func TestAHandlerThatPanicsStopsNoPlan(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		f.dead(t, "m1", ordered("ord_1", 2400))
		f.dead(t, "m2", ordered("ord_2", 7))
		whole := f.letters.previews
		f.letters.Previewing(func() map[string]EffectPreview {
			all := whole()
			service := all[messages.PaymentService]
			message := service.Message
			service.Message = func(ctx context.Context, handler string, m messages.Message) ([]intent.Effect, error) {
				if m.Order() == "ord_1" {
					panic("no such method")
				}
				return message(ctx, handler, m)
			}
			all[messages.PaymentService] = service
			return all
		})
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Unreadable: 1, Captures: lkr(7)})
	})
}

func TestAStoreThatIsAwayIsNotTakenForARowThatCannotBeRead(t *testing.T) {
	t.Parallel()
	eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
		d := f.dead(t, "m1", ordered("ord_1", 2400))
		f.letters.Previewing(func() map[string]EffectPreview {
			return map[string]EffectPreview{messages.PaymentService: {Message: func(context.Context, string, messages.Message) ([]intent.Effect, error) {
				return nil, sqldb.ErrAway
			}}}
		})
		of := []deadletters.Letter{{ID: d.ID, Service: f.service}}
		if _, err := f.letters.Effects(t.Context(), deadletters.ActRedrive, "", of); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("it was previewed: %v", err)
		}
	})
}

func TestARefusedActMovesWhatItWasAbout(t *testing.T) {
	t.Parallel()
	captured := func(p *payment.Payment) { p.CaptureSucceeded("pay_1", "") }
	undone := func(p *payment.Payment) { p.CaptureSucceeded("pay_1", ""); p.Undo() }
	for _, c := range []struct {
		name            string
		move            func(*payment.Payment)
		kind            intent.Kind
		action, outcome string
		want            deadletters.Effects
	}{
		{"a refund is given back", undone, intent.Refund, deadletters.ActRedrive, "", deadletters.Effects{Refunds: lkr(100)}},
		{"a refund that is settled is not", undone, intent.Refund, deadletters.ActSettle, "refunded", deadletters.Effects{}},
		{"one that is discarded neither", undone, intent.Refund, deadletters.ActDiscard, "", deadletters.Effects{}},
		{"a capture is charged", func(*payment.Payment) {}, intent.Capture, deadletters.ActRedrive, "", deadletters.Effects{Captures: lkr(100)}},
		{"one whose charge is known is not", captured, intent.Capture, deadletters.ActRedrive, "", deadletters.Effects{}},
		{"one that is undone may be given back", func(p *payment.Payment) { p.Undo() }, intent.Capture, deadletters.ActRedrive, "", deadletters.Effects{Refunds: lkr(100)}},
		{"one that is said to have happened too", func(p *payment.Payment) { p.Undo() }, intent.Capture, deadletters.ActSettle, "captured", deadletters.Effects{Refunds: lkr(100)}},
		{"a void moves nothing", func(p *payment.Payment) { p.Undo() }, intent.Void, deadletters.ActRedrive, "", deadletters.Effects{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachForecast(t, "payments", messages.PaymentService, func(t *testing.T, f *forecast) {
				f.core.Service = messages.PaymentService
				f.pay(t, "ord_1", c.move, c.kind)
				f.want(t, c.action, c.outcome, c.want)
				if _, err := f.db.ExecContext(t.Context(), "UPDATE intents SET state = 'done'"); err != nil {
					t.Fatal(err)
				}
				if c.action == deadletters.ActRedrive {
					f.want(t, c.action, c.outcome, deadletters.Effects{Deduplicated: 1})
				}
			})
		})
	}
}

func TestAMailIsPreviewedOnceForAnOrder(t *testing.T) {
	t.Parallel()
	eachForecast(t, "notifications", messages.NotificationService, func(t *testing.T, f *forecast) {
		f.core.Service = messages.NotificationService
		f.dead(t, "m1", completed("ord_1"))
		f.dead(t, "m2", completed("ord_1"))
		f.dead(t, "m3", completed("ord_2"))
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Mails: 2})
		intents := NewIntents(f.core)
		if err := NewNotifications(f.core, intents).Do(t.Context(), func(tx notificationapp.Tx) error { tx.Intend(intent.New("ord_1", intent.Mail)); return nil }); err != nil {
			t.Fatal(err)
		}
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Mails: 1})
		if err := intents.Bury(t.Context(), (<-intents.Committed())[0], fault.New(fault.Invalid, "no", "550")); err != nil {
			t.Fatal(err)
		}
		f.want(t, deadletters.ActRedrive, "", deadletters.Effects{Mails: 2}) // the refused one and that of ord_2
	})
}
