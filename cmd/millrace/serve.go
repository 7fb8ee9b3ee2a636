package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"millrace/adapters/config"
	"millrace/app/messages"
)

// defaultPort is the gateway's; the other services follow.
const defaultPort = 8080

// serve runs one service on real parts. It never migrates, and waits for what is away.
func serve(ctx context.Context, service string) error {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return err
	}
	build, err := builderOf(service)
	if err != nil {
		return err
	}
	if service != messages.APIGateway {
		if err := c.Require("POSTGRES_HOST", "KAFKA_BROKERS"); err != nil {
			return err
		}
	}
	if err := c.RequireTokenKey(); err != nil {
		return err
	}
	defaultParties(c)
	tuneMemory(serviceMemory)
	s, err := newStack(ctx, c, "json", service)
	if err != nil {
		return err
	}
	if err := safe(c, s); err != nil {
		return err
	}
	if err := s.askForTokens(c); err != nil {
		return err
	}
	s.process.pause = 500 * time.Millisecond
	s.listen = func(service string) (net.Listener, error) {
		port := c.Port
		if port == 0 {
			port = defaultPort + portOf[service]
		}
		return listenOn(c.ListenHost, port, "PORT")
	}
	s.urlOf = func(upstream string) string {
		switch upstream {
		case messages.OrderService:
			return c.OrderServiceURL
		case messages.InventoryService:
			return c.InventoryServiceURL
		default:
			return "http://" + net.JoinHostPort(loopback, strconv.Itoa(defaultPort+portOf[upstream]))
		}
	}
	if service != messages.APIGateway {
		if err := s.connect(c); err != nil {
			return err
		}
	}
	if err := build(s, ctx); err != nil {
		s.process.close(ctx)
		return err
	}
	prepare := s.prepare
	if service == messages.APIGateway {
		prepare = func(context.Context) error { s.started.set(); return nil }
	}
	return s.process.run(ctx, prepare, func(context.Context) { s.process.logger.Info("ready") })
}

func builderOf(service string) (func(*stack, context.Context) error, error) {
	var names []string
	for _, known := range services {
		if known.name == service {
			return known.build, nil
		}
		names = append(names, known.name)
	}
	return nil, fmt.Errorf("unknown service %q: choose one of %s", service, strings.Join(names, ", "))
}

// defaultParties looks for the provider and the mail server on this machine where no variable says
// where they are.
func defaultParties(c *config.Config) {
	if c.PSPURL == "" {
		c.PSPURL = "http://" + address(defaultPort+pspPort)
	}
	if c.SMTP.Host == "" {
		c.SMTP.Host = loopback
	}
}

// safe refuses unsafe settings in production and warns of them in development.
func safe(c *config.Config, s *stack) error {
	if err := c.Refuse(); err != nil {
		return err
	}
	s.warn(c.Unsafe())
	s.refuse = c.RefuseAll
	return nil
}
