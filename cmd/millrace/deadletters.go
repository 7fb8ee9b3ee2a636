package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/app/notification"
	"millrace/app/payment"
	"millrace/domain/intent"
	"millrace/ports/cli"
	"millrace/ports/messaging"
)

// deadLetters opens the dead letters of all services. What is sent again lies in the outbox of its
// service, and is carried on by the relay of whichever process runs it, also beside this one.
func deadLetters(ctx context.Context, w cli.Where, access cli.Access) (cli.DeadLetters, func() error, error) {
	_, dbs, err := openCurrent(ctx, w, access)
	if err != nil {
		return nil, nil, err
	}
	return deadletters.NewDesk(letters(dbs), time.Now, sleep), dbs.close, nil
}

// letters puts together the stores, the use cases that settle acts by hand, and those that say what would come
// of letters: the services' own, over a work that keeps nothing.
func letters(dbs map[string]*sqldb.DB) *sqlstore.Letters {
	cores := coresOf(dbs)
	paying, telling := cores[messages.PaymentService], cores[messages.NotificationService]
	store := sqlstore.NewPayments(paying, sqlstore.NewIntents(paying))
	payments := payment.NewSettleByHand(store)
	notices := notification.NewSettleByHand(sqlstore.NewNotifications(telling, sqlstore.NewIntents(telling)))
	settlements := map[string]sqlstore.Settlement{
		"intent_" + intent.Mail.String(): {Outcomes: []string{notification.OutcomeSent}, Settle: notices.Handle},
	}
	for _, kind := range []intent.Kind{intent.Capture, intent.Void, intent.Refund} {
		settlements["intent_"+kind.String()] = sqlstore.Settlement{Outcomes: payment.Outcomes(kind), Settle: payments.Handle}
	}
	return sqlstore.NewLetters(cores, settlements).Previewing(func() map[string]sqlstore.EffectPreview {
		till, post := payment.NewDryRun(store), notification.NewDryRun()
		return map[string]sqlstore.EffectPreview{
			messages.PaymentService: {
				Message: dryRun(paymentHandlers(payment.NewCapturePayment(till), payment.NewRefundPayment(till)), till.Intended),
				Retried: till.Retried,
				Settled: func(ctx context.Context, in intent.Intent, outcome string) ([]intent.Effect, error) {
					return taken(till.Intended, func() error { return payment.NewSettleByHand(till).Handle(ctx, in, outcome) })
				},
			},
			messages.NotificationService: {
				Message: dryRun(notificationHandlers(notification.NewNotifyCustomer(post, time.Now)), post.Intended),
				Retried: post.Retried,
				Settled: func(context.Context, intent.Intent, string) ([]intent.Effect, error) { return nil, nil }, // the customer was told
			},
		}
	})
}

// dryRun hands messages to a service's handlers, which run over a work that keeps nothing, and gives what
// they would have intended. Of a message without a handler's name the one that takes its type is asked. It fails
// where this build has no such handler: the service may be of a newer one, which does something.
func dryRun(service messaging.Service, intended func() []intent.Effect) func(context.Context, string, messages.Message) ([]intent.Effect, error) {
	return func(ctx context.Context, handler string, m messages.Message) ([]intent.Effect, error) {
		for _, h := range service.Handlers {
			if h.Message == m.Name() && (handler == "" || handler == h.Name) {
				return taken(intended, func() error { return h.Handle(ctx, m) })
			}
		}
		return nil, fmt.Errorf("no handler %q of this build takes %s", handler, m.Name())
	}
}

// taken runs a use case and takes what it has intended, when it panics too: nothing of it is left for the next.
func taken(intended func() []intent.Effect, run func() error) (effects []intent.Effect, err error) {
	defer func() { effects = intended() }()
	return nil, run()
}

// coresOf makes a core for every service that reads messages. They tell nobody: the relay of whichever
// process runs it finds what they write. What they publish has a trace of its own, which nobody records.
func coresOf(dbs map[string]*sqldb.DB) map[string]*sqlstore.Core {
	logger := slog.New(slog.DiscardHandler)
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("millrace")
	cores := map[string]*sqlstore.Core{}
	for _, service := range messages.Consumers {
		db := dbs[schemaOf[service]]
		cores[service] = sqlstore.NewCore(sqlstore.Config{
			DB: db, Service: service, Outbox: outbox.NewWriter(db.Dialect, logger), Wake: func() {}, Observer: unheard{},
			Tracer: tracer, Logger: logger, Now: time.Now,
		})
	}
	return cores
}

// sleep waits, and says when it was cut short.
func sleep(ctx context.Context, d time.Duration) error {
	wait(ctx, d)
	return ctx.Err()
}

// unheard hears nothing: the metrics are those of the services.
type unheard struct{}

func (unheard) Duplicate(string) {}
func (unheard) Parked(string)    {}
func (unheard) CommitBatch(int)  {}
