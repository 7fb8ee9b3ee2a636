package cli

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"millrace/app/messages"
)

func (p *program) up() *cobra.Command {
	o := UpOptions{}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run all services in one process; needs nothing else",
		Long: `Run the six services with a database, a broker, a cache, a payment provider and a mail sink of their
own, all on 127.0.0.1. Any of those is replaced by a real one when its variable is set: POSTGRES_HOST,
KAFKA_BROKERS, REDIS_HOST, SMTP_HOST, PSP_URL. Stop it with Ctrl-C; what is stored stays. When an order can be
placed it tells its addresses, with --json as a document of one line, and then "ready http://127.0.0.1:8080".`,
		Example: "  millrace up\n  millrace up --data /tmp/second --base-port 9080",
		Args:    exactly(),
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", ".millrace", "folder for everything that is stored")
	f.IntVar(&o.BasePort, "base-port", 8080, "first of the ports; the gateway's")
	f.IntVar(&o.KafkaPort, "kafka-port", 0, "port of the Kafka protocol (default 9092; with another base port, that plus 8)")
	f.StringVar(&o.LogFormat, "log-format", "", "text or json (default text on a terminal)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.Up == nil {
			return missing(c)
		}
		if err := p.fill(&o); err != nil {
			return err
		}
		return p.Up(c.Context(), o)
	}
	return c
}

// fill puts in what the flags leave open.
func (p *program) fill(o *UpOptions) error {
	o.JSON = p.json
	const defaultBase, defaultKafka, ports = 8080, 9092, 10
	if o.BasePort < 1 || o.BasePort > 65535-ports {
		return fmt.Errorf("--base-port %d: choose one from 1 to %d, the %d ports from there on are used", o.BasePort, 65535-ports, ports)
	}
	if o.KafkaPort == 0 {
		o.KafkaPort = defaultKafka
		if o.BasePort != defaultBase {
			o.KafkaPort = o.BasePort + 8
		}
	}
	if o.KafkaPort < 1 || o.KafkaPort > 65535 {
		return fmt.Errorf("--kafka-port %d: choose one from 1 to 65535", o.KafkaPort)
	}
	if o.LogFormat == "" {
		o.LogFormat = "json"
		if !p.json && p.Terminal(p.Stderr) {
			o.LogFormat = "text"
		}
	}
	if o.LogFormat != "text" && o.LogFormat != "json" {
		return fmt.Errorf("--log-format %q: choose text or json", o.LogFormat)
	}
	return nil
}

func (p *program) serve() *cobra.Command {
	services := []string{
		messages.APIGateway, messages.OrderService, messages.PaymentService,
		messages.InventoryService, messages.NotificationService, messages.Orchestrator,
	}
	return &cobra.Command{
		Use:   "serve SERVICE",
		Short: "Run one service, configured by the environment alone",
		Long: `Run one of api-gateway, order-service, payment-service, inventory-service, notification-service and
orchestrator. It needs POSTGRES_HOST and KAFKA_BROKERS, listens on its default port (PORT changes it),
and waits for what is away. It never migrates: run "millrace migrate up" before.`,
		Example:   "  POSTGRES_HOST=127.0.0.1 KAFKA_BROKERS=127.0.0.1:9092 millrace serve order-service",
		ValidArgs: services,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("it needs the name of a service: `%s --help` lists them", c.CommandPath())
			}
			return atMostOne(services...)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if p.Serve == nil {
				return missing(c)
			}
			return p.Serve(c.Context(), args[0])
		},
	}
}

func (p *program) psp() *cobra.Command {
	c := &cobra.Command{
		Use:   "psp",
		Short: "Run the payment provider simulator alone",
		Long: `Run the payment provider that "millrace up" brings along. The payment method of a capture chooses its
fate: pm_card_ok, pm_card_declined, pm_card_timeout, pm_card_unavailable, pm_card_slow, pm_card_late.`,
		Example: "  millrace psp --listen 127.0.0.1:8086 --data /tmp/psp",
		Args:    exactly(),
	}
	listen := c.Flags().String("listen", "", "address (default 127.0.0.1:8086; with PORT, that port on LISTEN_HOST)")
	dir := c.Flags().String("data", filepath.Join(".millrace", "psp"), "folder for its state")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.PSP == nil {
			return missing(c)
		}
		addr := cmp.Or(*listen, "127.0.0.1:8086")
		if port := p.Setting("PORT"); port != "" && *listen == "" {
			addr = ":" + port
		}
		return p.PSP(c.Context(), addr, *dir)
	}
	return c
}
