package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel"

	"millrace/adapters/config"
	"millrace/adapters/failpoint"
	"millrace/adapters/kafkabus"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/app/gateway"
	"millrace/app/inventory"
	"millrace/app/messages"
	"millrace/app/notification"
	"millrace/app/order"
	"millrace/app/payment"
	"millrace/domain/intent"
	"millrace/ports/httpapi"
	"millrace/ports/messaging"
	"millrace/ports/worker"
	"millrace/sagas/engine"
)

// portOf is where a service listens, counted from the gateway's port.
var portOf = map[string]int{
	messages.APIGateway: 0, messages.OrderService: 1, messages.PaymentService: 2,
	messages.InventoryService: 3, messages.NotificationService: 4, messages.Orchestrator: 5,
}

// services lists all services in the order of their ports, with what builds each.
var services = []struct {
	name  string
	build func(*stack, context.Context) error
}{
	{messages.APIGateway, (*stack).gateway},
	{messages.OrderService, (*stack).orders},
	{messages.PaymentService, (*stack).payments},
	{messages.InventoryService, (*stack).inventory},
	{messages.NotificationService, (*stack).notifications},
	{messages.Orchestrator, (*stack).orchestrator},
}

func (s *stack) gateway(ctx context.Context) error {
	metrics := telemetry.NewMetrics(messages.APIGateway)
	upstreams := map[string]*url.URL{}
	for _, r := range gateway.Routes() {
		at, err := url.Parse(s.urlOf(r.Service))
		if err != nil {
			return fmt.Errorf("address of %s: %w", r.Service, err)
		}
		upstreams[r.Service] = at
	}
	verifier, checks := s.callers()
	h, err := httpapi.NewGateway(httpapi.GatewayConfig{
		Service: s.front(messages.APIGateway, metrics, checks...), Routes: gateway.Routes(), Upstreams: upstreams, Verifier: verifier,
		Transport: failpoint.Transport(httpapi.NewTransport(), messages.APIGateway),
	})
	if err != nil {
		return err
	}
	return s.serve(ctx, messages.APIGateway, h)
}

func (s *stack) orders(ctx context.Context) error {
	metrics := telemetry.NewMetrics(messages.OrderService)
	b, err := s.base(ctx, messages.OrderService, metrics)
	if err != nil {
		return err
	}
	core := s.core(b, messages.OrderService, metrics)
	store, catalog := sqlstore.NewOrders(core), sqlstore.NewCatalog(core)
	s.seeds = append(s.seeds, func(ctx context.Context) error { return store.Seed(ctx, demoCatalog()) })
	s.readModels(b, metrics)
	place := counted{order.NewPlaceOrder(store, catalog, s.replies, sqlstore.NewOrderIDs(), failpoint.Clock(messages.OrderService)), metrics}
	verifier, checks := s.callers()
	return s.serve(ctx, messages.OrderService, httpapi.NewOrders(httpapi.OrdersConfig{
		Service: s.front(messages.OrderService, metrics, append(checks, databaseCheck(b.db))...), Verifier: verifier,
		Place:    s.door(order.NewInFlight(place), store, metrics),
		Cancel:   order.NewCancelOrder(store, failpoint.Clock(messages.OrderService)),
		Show:     order.NewShowOrders(store),
		Follow:   s.followed(store, metrics),
		Products: order.NewShowProducts(catalog),
	}))
}

func (s *stack) payments(ctx context.Context) error {
	metrics := telemetry.NewMetrics(messages.PaymentService)
	b, err := s.base(ctx, messages.PaymentService, metrics)
	if err != nil {
		return err
	}
	provider, err := s.provider(metrics)
	if err != nil {
		return err
	}
	core := s.core(b, messages.PaymentService, metrics)
	intents := sqlstore.NewIntents(core)
	store := sqlstore.NewPayments(core, intents)
	consumers := s.consume(b, core, metrics, paymentHandlers(payment.NewCapturePayment(store), payment.NewRefundPayment(store)))
	s.carryOut(messages.PaymentService, intents, metrics, map[intent.Kind]worker.Handler{
		intent.Capture: payment.NewSettleCapture(store, store, provider, metrics).Handle,
		intent.Void:    payment.NewSettleVoid(store, provider).Handle,
		intent.Refund:  payment.NewSettleRefund(store, store, provider).Handle,
	})
	return s.serve(ctx, messages.PaymentService, httpapi.NewBare(httpapi.BareConfig{
		Service: s.front(messages.PaymentService, metrics, databaseCheck(b.db), s.kafkaCheck(), consumers),
	}))
}

func (s *stack) inventory(ctx context.Context) error {
	metrics := telemetry.NewMetrics(messages.InventoryService)
	b, err := s.base(ctx, messages.InventoryService, metrics)
	if err != nil {
		return err
	}
	core := s.core(b, messages.InventoryService, metrics)
	store := sqlstore.NewInventory(core)
	s.seeds = append(s.seeds, func(ctx context.Context) error { return store.Seed(ctx, demoStock()) })
	consumers := s.consume(b, core, metrics, inventoryHandlers(inventory.NewReserveStock(store), inventory.NewReleaseInventory(store)))
	return s.serve(ctx, messages.InventoryService, httpapi.NewInventory(httpapi.InventoryConfig{
		Service: s.front(messages.InventoryService, metrics, databaseCheck(b.db), s.kafkaCheck(), consumers),
		Stock:   store,
	}))
}

func (s *stack) notifications(ctx context.Context) error {
	metrics := telemetry.NewMetrics(messages.NotificationService)
	b, err := s.base(ctx, messages.NotificationService, metrics)
	if err != nil {
		return err
	}
	mailer, err := s.mailer(metrics)
	if err != nil {
		return err
	}
	core := s.core(b, messages.NotificationService, metrics)
	intents := sqlstore.NewIntents(core)
	store := sqlstore.NewNotifications(core, intents)
	consumers := s.consume(b, core, metrics, notificationHandlers(notification.NewNotifyCustomer(store, failpoint.Clock(messages.NotificationService))))
	s.carryOut(messages.NotificationService, intents, metrics, map[intent.Kind]worker.Handler{
		intent.Mail: notification.NewSendMail(store, store, mailer).Handle,
	})
	extra := map[string]http.Handler{}
	if s.mailbox != nil {
		extra["/mailbox"] = s.mailbox
	}
	return s.serve(ctx, messages.NotificationService, httpapi.NewBare(httpapi.BareConfig{
		Service: s.front(messages.NotificationService, metrics, databaseCheck(b.db), s.kafkaCheck(), consumers),
		Extra:   extra,
	}))
}

func (s *stack) orchestrator(ctx context.Context) error {
	metrics := telemetry.NewMetrics(messages.Orchestrator)
	b, err := s.base(ctx, messages.Orchestrator, metrics)
	if err != nil {
		return err
	}
	core := s.core(b, messages.Orchestrator, metrics)
	store := sqlstore.NewSagas(core)
	s.beforeWork = append(s.beforeWork, func(ctx context.Context) error { return s.checkVersions(ctx, store) })
	carry := engine.New(store, s.timeouts, metrics, version, failpoint.Clock(messages.Orchestrator))
	consumers := s.consume(b, core, metrics, orchestratorHandlers(carry))
	logger := s.logger(messages.Orchestrator)
	timers := worker.NewTimers(store, carry.Fire, worker.TimerOptions{Logger: logger})
	s.process.consuming = append(s.process.consuming, part{"saga timers", timers.Run})
	if err := s.keepJournals(b, logger); err != nil {
		return err
	}
	s.every(5*time.Second, "count of sagas", logger, func(ctx context.Context) error {
		open, stuck, err := store.OpenSagas(ctx, stuckAfter(s.timeouts))
		if err == nil {
			metrics.SagasOpen(open)
			metrics.SagasStuck(stuck)
		}
		return err
	})
	return s.serve(ctx, messages.Orchestrator, httpapi.NewBare(httpapi.BareConfig{
		Service: s.front(messages.Orchestrator, metrics, databaseCheck(b.db), s.kafkaCheck(), consumers),
	}))
}

// stuckAfter is how long a saga may stand in one step: longer than any time-out would let it.
func stuckAfter(t engine.Timeouts) time.Duration { return 2*max(t.Payment, t.Inventory) + time.Minute }

// patienceOf is stuckAfter for who only reads, and is told the time-outs by the same settings.
func patienceOf(c *config.Config) time.Duration {
	return stuckAfter(engine.Timeouts{Payment: c.PaymentTimeout, Inventory: c.InventoryTimeout})
}

// consume makes a service's router, and watches its dead letters and how far it is behind. The
// check says whether its consumer groups have let it in.
func (s *stack) consume(b *base, core *sqlstore.Core, metrics *telemetry.Metrics, service messaging.Service) httpapi.Check {
	logger := s.logger(service.Name)
	joins := joinsOf(service)
	letters := sqlstore.NewDeadLetters(core)
	s.process.consuming = append(s.process.consuming, part{"consumers of " + service.Name, func(ctx context.Context) error {
		router, err := messaging.NewRouter(messaging.Config{
			Subscriber: func(group string, unwanted func([]byte) bool) (message.Subscriber, error) {
				c := s.kafkaFor(logger)
				c.Session, c.Unwanted = metrics.ConsumerSession, unwanted
				subscriber, err := s.subscriber(c, group)
				if err == nil {
					joins.watch(group, subscriber)
				}
				return subscriber, err
			},
			Origin: kafkabus.Origin, DeadLetters: letters, Circuit: b.circuit, Observer: metrics,
			Tracing: otel.GetTracerProvider(), Logger: logger,
		}, service)
		if err != nil {
			return err
		}
		return router.Run(ctx)
	}})
	s.every(5*time.Second, "count of dead letters", logger, func(ctx context.Context) error {
		waiting, parked, err := letters.Waiting(ctx)
		if err == nil {
			metrics.DeadLettersWaiting(waiting)
			metrics.MessagesParked(parked)
		}
		return err
	})
	s.every(15*time.Second, "consumer lag", logger, func(ctx context.Context) error {
		groups, err := service.Groups()
		if err != nil {
			return err
		}
		groups = append(groups, service.RedriveGroup())
		asked := make([]kafkabus.Group, len(groups))
		for i, g := range groups {
			asked[i] = kafkabus.Group{Name: g.Name, Topic: g.Topic}
		}
		lags, err := s.admin.Lag(ctx, asked...)
		for _, lag := range lags {
			metrics.ConsumerLag(lag.Name, lag.Topic, lag.Records)
		}
		return err
	})
	return joins.check()
}

// carryOut runs the worker of a service's intents.
func (s *stack) carryOut(service string, intents *sqlstore.Intents, metrics *telemetry.Metrics, handlers map[intent.Kind]worker.Handler) {
	if s.alone {
		s.beforeWork = append(s.beforeWork, intents.Reclaim)
	}
	carry := worker.NewIntents(intents, handlers, worker.IntentOptions{
		Logger: s.logger(service), Observer: metrics, Tracer: otel.GetTracerProvider(),
	})
	s.process.consuming = append(s.process.consuming, part{"intents of " + service, carry.Run})
}

func databaseCheck(db *sqldb.DB) httpapi.Check {
	return httpapi.Check{Name: "database", Ready: db.Ready}
}

func (s *stack) kafkaCheck() httpapi.Check {
	return httpapi.Check{Name: "kafka", Ready: s.admin.Ping}
}

// counted counts the orders that are accepted.
type counted struct {
	*order.PlaceOrder
	metrics *telemetry.Metrics
}

// Handle places the order.
func (c counted) Handle(ctx context.Context, r order.Request) (order.Answer, error) {
	answer, err := c.PlaceOrder.Handle(ctx, r)
	if err == nil && !answer.Replayed {
		c.metrics.OrderSubmitted()
	}
	return answer, err
}
