package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/embedded"
	"millrace/adapters/psp/simulator"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/migrations"
	"millrace/ports/httpapi"
)

const loopback = "127.0.0.1"

// Ports of the embedded parts, counted from the gateway's.
const (
	pspPort   = 6
	smtpPort  = 7
	redisPort = 9
)

// upOptions are the flags of `up`.
type upOptions struct {
	Data      string
	BasePort  int
	KafkaPort int
	LogFormat string
	JSON      bool
}

// up runs every service in this process, on embedded parts where no real one is named.
func up(ctx context.Context, o upOptions, out io.Writer) error {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return err
	}
	tuneMemory(memoryOfUp(c))
	release, err := lockFolder(o.Data, holderBy(c, o))
	if err != nil {
		return err
	}
	defer release()
	s, err := newStack(ctx, c, o.LogFormat, "millrace")
	if err != nil {
		return err
	}
	s.listen = func(service string) (net.Listener, error) {
		return listenOn(loopback, o.BasePort+portOf[service], "--base-port")
	}
	s.urlOf = func(service string) string { return "http://" + address(o.BasePort+portOf[service]) }
	s.alone = c.Postgres.Host == ""
	if err := safe(c, s); err != nil {
		return err
	}
	if err := s.askForTokens(c); err != nil {
		return err
	}

	if err := s.embed(ctx, c, o); err != nil {
		s.process.close(ctx)
		return err
	}
	if err := s.connect(c); err != nil {
		return err
	}
	for _, service := range services {
		if err := service.build(s, ctx); err != nil {
			s.process.close(ctx)
			return err
		}
	}
	ready := func(ctx context.Context) {
		if s.awaitReady(ctx) {
			printReady(out, o, c)
		}
	}
	return s.process.run(ctx, s.prepareAnew, ready)
}

// holderBy is what the data folder says of this instance.
func holderBy(c *config.Config, o upOptions) holder {
	h := holder{process: os.Getpid(), postgres: postgresOf(c)}
	if c.PSPURL == "" {
		h.provider = "http://" + address(o.BasePort+pspPort)
	}
	return h
}

// embed starts our own servers for the parts that no variable names, and points the
// configuration at them.
func (s *stack) embed(ctx context.Context, c *config.Config, o upOptions) error {
	s.retention.archive = cmp.Or(s.retention.archive, filepath.Join(o.Data, "archive"))
	if c.Postgres.Host == "" {
		s.embedDatabases(o)
	}
	for _, part := range []struct {
		wanted bool
		embed  func(context.Context, *config.Config, upOptions) error
	}{
		{len(c.Kafka.Brokers) == 0, s.embedKafka},
		{c.Redis.Host == "", s.embedRedis},
		{c.SMTP.Host == "", s.embedMail},
		{c.PSPURL == "", s.embedProvider},
	} {
		if !part.wanted {
			continue
		}
		if err := part.embed(ctx, c, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) embedDatabases(o upOptions) {
	s.openDB = func(ctx context.Context, schema string) (*sqldb.DB, error) {
		if err := os.MkdirAll(filepath.Join(o.Data, "db"), 0o700); err != nil {
			return nil, err
		}
		return sqldb.OpenSQLite(ctx, databaseFile(o.Data, schema))
	}
}

func (s *stack) embedKafka(ctx context.Context, c *config.Config, o upOptions) error {
	kafka, err := embedded.StartKafka(address(o.KafkaPort), filepath.Join(o.Data, "kafka"), embedded.KafkaOptions{Log: s.logger("embedded")})
	if err != nil {
		return portHint(err, "--base-port or --kafka-port")
	}
	s.process.closeLast(kafka.Close)
	c.Kafka.Brokers = []string{kafka.Addr()}
	if !c.Given("KAFKA_PARTITIONS") {
		c.Kafka.Partitions, err = kafka.Partitions(ctx, messages.OrderEvents)
	}
	return err
}

func (s *stack) embedRedis(_ context.Context, c *config.Config, o upOptions) error {
	redis, err := embedded.StartRedis(address(o.BasePort+redisPort), embedded.RedisOptions{Log: s.logger("embedded")})
	if err != nil {
		return portHint(err, "--base-port")
	}
	s.process.closeLast(redis.Close)
	c.Redis.Host, c.Redis.Port, c.Redis.Password = loopback, o.BasePort+redisPort, ""
	s.dedupeTTL = 5 * time.Minute
	return nil
}

func (s *stack) embedMail(_ context.Context, c *config.Config, o upOptions) error {
	logger := s.logger("embedded")
	mail, err := embedded.StartMail(address(o.BasePort+smtpPort), filepath.Join(o.Data, "mail"), logger)
	if err != nil {
		return portHint(err, "--base-port")
	}
	s.process.closeLast(mail.Close)
	c.SMTP.Host, c.SMTP.Port, c.SMTP.User = loopback, o.BasePort+smtpPort, ""
	s.mailbox = mailbox(mail, logger)
	return nil
}

func (s *stack) embedProvider(_ context.Context, c *config.Config, o upOptions) error {
	logger := s.logger("embedded")
	sim, err := simulator.Open(filepath.Join(o.Data, "psp"), simulator.Options{Log: logger})
	if err != nil {
		return err
	}
	s.process.closeLast(sim.Close)
	l, err := listenOn(loopback, o.BasePort+pspPort, "--base-port")
	if err != nil {
		return err
	}
	s.process.accepting = append(s.process.accepting, part{"payment provider simulator", func(ctx context.Context) error {
		return httpapi.Serve(ctx, l, sim.Handler(), logger)
	}})
	c.PSPURL = "http://" + address(o.BasePort+pspPort)
	return nil
}

// prepareAnew is prepare for databases that may be new: it migrates and seeds them first.
func (s *stack) prepareAnew(ctx context.Context) error {
	if err := s.patiently(ctx, "databases", s.checkDatabases); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	for _, seed := range s.seeds {
		if err := seed(ctx); err != nil {
			return err
		}
	}
	return s.prepare(ctx)
}

// migrate brings every database to this build's version.
func (s *stack) migrate(ctx context.Context) error {
	for _, schema := range migrations.Schemas {
		if err := s.patiently(ctx, "database "+schema, func(ctx context.Context) error {
			return sqldb.Migrate(ctx, s.bases[schema].db, schema)
		}); err != nil {
			return err
		}
	}
	return nil
}

// awaitReady waits until the gateway says that all is ready.
func (s *stack) awaitReady(ctx context.Context) bool {
	client := &http.Client{Timeout: 3 * time.Second}
	for _, service := range services {
		for !answers(ctx, client, s.urlOf(service.name)+"/readyz") {
			if ctx.Err() != nil {
				return false
			}
			wait(ctx, 20*time.Millisecond)
		}
	}
	return true
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func databaseFile(data, schema string) string { return filepath.Join(data, "db", schema+".db") }

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// portHint turns a port that cannot be had into a line that names the flag.
func portHint(err error, flag string) error {
	var refused *embedded.PortError
	switch {
	case !errors.As(err, &refused):
		return err
	case refused.InUse:
		return portInUse(refused.Port(), flag)
	}
	return fmt.Errorf("%w: choose other ports with %s", err, flag)
}

// printReady says that an order can be placed, and where everything is: to people with what they may try, to
// programs as a document of one line. The last line is the same for both.
func printReady(out io.Writer, o upOptions, c *config.Config) {
	at, url := addressesOf(o, c), "http://"+address(o.BasePort)
	if o.JSON {
		_ = json.NewEncoder(out).Encode(at) // whoever does not read it is not told
		fmt.Fprintf(out, "ready %s\n", url)
		return
	}
	at.print(out)
	get, token := "", ""
	switch {
	case c.AuthMode != "jwt":
	case c.JWT.JWKSURL != "":
		get, token = "  TOKEN=…  # of your identity provider\n", ` -H "Authorization: Bearer $TOKEN"`
	default:
		get, token = "  TOKEN=$("+os.Args[0]+" token)  # where JWT_SECRET is the one of here\n", ` -H "Authorization: Bearer $TOKEN"`
	}
	fmt.Fprintf(out, "\nTry:\n%[3]s"+
		"  curl -sS %[1]s/api/v1/orders%[4]s -H 'Content-Type: application/json' -d '{\"userId\":\"usr_001\",\"items\":[{\"sku\":\"SKU-123\",\"qty\":2}],\"currency\":\"LKR\"}'\n"+
		"  curl -sS '%[1]s/api/v1/orders?limit=3'%[4]s\n"+
		"  ls %[2]s\n\n", url, filepath.Join(o.Data, "mail"), get, token)
	fmt.Fprintf(out, "ready %s\n", url)
}

// addresses are where everything is that this instance stands on.
type addresses struct {
	Services map[string]string `json:"services"` // URLs
	PSP      string            `json:"psp"`      // URL
	SMTP     string            `json:"smtp"`
	Kafka    string            `json:"kafka"`
	Redis    string            `json:"redis"`
	Data     string            `json:"data"` // folder
}

func addressesOf(o upOptions, c *config.Config) addresses {
	a := addresses{
		Services: map[string]string{}, PSP: config.WithoutPassword(c.PSPURL), SMTP: net.JoinHostPort(c.SMTP.Host, strconv.Itoa(c.SMTP.Port)),
		Kafka: c.Kafka.Brokers[0], Redis: net.JoinHostPort(c.Redis.Host, strconv.Itoa(c.Redis.Port)), Data: o.Data,
	}
	for _, service := range services {
		a.Services[service.name] = "http://" + address(o.BasePort+portOf[service.name])
	}
	return a
}

func (a addresses) print(out io.Writer) {
	line := func(name, where string) { fmt.Fprintf(out, "  %-22s %s\n", name, where) }
	for _, service := range services {
		line(service.name, a.Services[service.name])
	}
	line("payment provider", a.PSP)
	line("mail (SMTP)", a.SMTP)
	line("kafka", a.Kafka)
	line("redis", a.Redis)
	line("data", a.Data)
}

// mailbox shows what the mail sink received.
func mailbox(mail *embedded.Mail, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		items, err := mail.Mailbox(r.URL.Query().Get("orderId"))
		if err != nil {
			logger.WarnContext(r.Context(), "mailbox", "error", err)
			http.Error(w, "the mailbox cannot be read", http.StatusInternalServerError)
			return
		}
		writeJSON(w, map[string]any{"items": items})
	})
}
