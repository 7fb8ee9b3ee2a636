package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/app/messages"
)

// consumer is one service's side of messaging, complete.
type consumer struct {
	Config
	service Service
	groups  map[string]Group // by name, which is the router's name for the handler
}

// NewRouter makes the router of a service: its groups, each with its subscriber, and the failure
// policy around them (policy.go). The caller runs it; closing it, or ending the context that it
// runs with, takes no new message and waits up to Policy.CloseTimeout for those in hand.
func NewRouter(config Config, service Service) (*message.Router, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	groups, err := service.Groups()
	if err != nil {
		return nil, err
	}
	c := consumer{Config: config, service: service, groups: make(map[string]Group, len(groups))}
	log := watermillLog(config.Logger)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: config.Policy.CloseTimeout}, log)
	if err != nil {
		return nil, fmt.Errorf("router of %s: %w", service.Name, err)
	}
	policy, err := c.middleware()
	if err != nil {
		return nil, fmt.Errorf("router of %s: %w", service.Name, err)
	}
	router.AddMiddleware(roomy) // outermost: before anything lies on the stack
	router.AddMiddleware(policy...)
	for _, g := range groups {
		c.groups[g.Name] = g
		add := c.addEvents
		if g.Kind == messages.Command {
			add = c.addCommand
		}
		if err := add(router, g, log); err != nil {
			return nil, fmt.Errorf("consumer group %s: %w", g.Name, err)
		}
	}
	if err := c.addRedrive(router); err != nil {
		return nil, err
	}
	return router, nil
}

// addEvents lets one group processor read the topic, so that all its events keep their order.
func (c consumer) addEvents(router *message.Router, g Group, log watermill.LoggerAdapter) error {
	processor, err := cqrs.NewEventGroupProcessorWithConfig(router, cqrs.EventGroupProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.EventGroupProcessorGenerateSubscribeTopicParams) (string, error) { return g.Topic, nil },
		SubscriberConstructor: func(cqrs.EventGroupProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return c.Subscriber(g.Name, c.unwanted(g))
		},
		AckOnUnknownEvent: true, // rolling upgrades; admit has counted it
		Marshaler:         envelopes{},
		Logger:            log,
	})
	if err != nil {
		return err
	}
	handlers := make([]cqrs.GroupEventHandler, 0, len(g.Handlers))
	for _, h := range g.Handlers {
		handlers = append(handlers, cqrsHandler{g.Name, h})
	}
	return processor.AddHandlersGroup(g.Name, handlers...)
}

func (c consumer) addCommand(router *message.Router, g Group, log watermill.LoggerAdapter) error {
	processor, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
		GenerateSubscribeTopic: func(cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) { return g.Topic, nil },
		SubscriberConstructor: func(cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return c.Subscriber(g.Name, c.unwanted(g))
		},
		Marshaler: envelopes{},
		Logger:    log,
	})
	if err != nil {
		return err
	}
	return processor.AddHandlers(cqrsHandler{g.Name, g.Handlers[0]})
}

// cqrsHandler shows a Handler to Watermill's processors, under its consumer group's name.
type cqrsHandler struct {
	group   string
	handler Handler
}

var (
	_ cqrs.GroupEventHandler = cqrsHandler{}
	_ cqrs.CommandHandler    = cqrsHandler{}
)

// HandlerName is the router's name for it.
func (h cqrsHandler) HandlerName() string { return h.group }

// NewEvent gives an empty message to decode into.
func (h cqrsHandler) NewEvent() any {
	spec, _ := messages.SpecOf(h.handler.Message)
	return spec.New()
}

// NewCommand gives an empty message to decode into.
func (h cqrsHandler) NewCommand() any { return h.NewEvent() }

// Handle calls the handler.
func (h cqrsHandler) Handle(ctx context.Context, m any) error {
	typed, ok := m.(messages.Message)
	if !ok {
		return fmt.Errorf("%T is not a message", m)
	}
	return h.handler.Handle(ctx, typed)
}

// envelopes reads the envelope for Watermill's processors.
type envelopes struct{}

var _ cqrs.CommandEventMarshaler = envelopes{}

// Name is the type on the wire.
func (envelopes) Name(m any) string {
	typed, _ := m.(messages.Message) // Watermill hands back what NewEvent and NewCommand gave it
	return typed.Name()
}

// NameFromMessage is the type that the envelope names.
func (envelopes) NameFromMessage(msg *message.Message) string { return deliveryOf(msg).envelope.Type }

// Unmarshal fills m. Its failures are fault.Invalid.
func (envelopes) Unmarshal(msg *message.Message, m any) error {
	read, err := deliveryOf(msg).open()
	if err != nil {
		return err
	}
	reflect.ValueOf(m).Elem().Set(reflect.ValueOf(read).Elem())
	return nil
}

// Marshal always fails: a handler publishes into the outbox of its transaction and nowhere else.
func (envelopes) Marshal(any) (*message.Message, error) {
	return nil, errors.New("messages are published through the outbox of a transaction")
}

// watermillLog gives Watermill our log. What it calls info is its own bookkeeping.
func watermillLog(logger *slog.Logger) watermill.LoggerAdapter {
	return untraced{watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})}
}

// untraced drops Watermill's traces before their fields are gathered: no level shows them, and there are
// two for every message.
type untraced struct{ watermill.LoggerAdapter }

// Trace does nothing.
func (untraced) Trace(string, watermill.LogFields) {}

// With keeps it so.
func (u untraced) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return untraced{u.LoggerAdapter.With(fields)}
}
