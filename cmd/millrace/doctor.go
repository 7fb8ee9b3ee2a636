package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/kafkabus"
	"millrace/adapters/rediscache"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/migrations"
	"millrace/ports/cli"
)

// What doctor says of a thing.
const (
	ok   = "ok"
	warn = "warn"
	fail = "fail"
)

// whileUp is the detail of a part that no variable names.
const whileUp = "embedded, while `millrace up` runs"

// finding is one thing that doctor looked at.
type finding = cli.Finding

// doctor looks at everything that the configuration names: is it there, at the right version, and
// safe. It changes nothing.
func doctor(ctx context.Context, w cli.Where) ([]finding, error) {
	s, err := stateOf(w)
	if err != nil {
		return nil, err
	}
	c := s.Config
	if s.onPostgres() {
		defaultParties(c)
	}
	var all []finding
	all = append(all, s.examineDatabases(ctx)...)
	all = append(all, examineKafka(ctx, c)...)
	all = append(all, examineRedis(ctx, c)...)
	all = append(all, examineMail(ctx, c), examineProvider(ctx, c))
	all = append(all, examineTokens(ctx, c)...)
	return append(all, unsafe(c, c.Unsafe())...), nil
}

// unsafe says of each risk what a start would make of it.
func unsafe(c *config.Config, risks []config.Risk) []finding {
	var all []finding
	for _, r := range risks {
		state := warn
		if c.Production() && !r.Tolerated {
			state = fail
		}
		all = append(all, finding{Name: "setting " + r.Name, State: state, Detail: r.Detail, Advice: r.Advice})
	}
	return all
}

func examine(name, at, advice string, err error) finding {
	if err != nil {
		return finding{Name: name, State: fail, Detail: at + ": " + err.Error(), Advice: advice}
	}
	return finding{Name: name, State: ok, Detail: at}
}

func (s state) examineDatabases(ctx context.Context) []finding {
	var (
		all   []finding
		risks []config.Risk
	)
	for _, schema := range migrations.Schemas {
		found, more := s.examineDatabase(ctx, schema)
		all, risks = append(all, found), addRisks(risks, more...)
		if schema == schemaOf[messages.Orchestrator] && found.State == ok {
			all = append(all, s.examineVersions(ctx))
		}
	}
	return append(all, unsafe(s.Config, risks)...)
}

func (s state) examineDatabase(ctx context.Context, schema string) (finding, []config.Risk) {
	name := "database " + schema
	db, err := s.openToExamine(ctx, schema)
	if err != nil {
		return finding{Name: name, State: fail, Detail: err.Error(), Advice: "run `millrace up`, or set POSTGRES_HOST"}, nil
	}
	defer func() { _ = db.Close() }()
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	risks, err := databaseRisks(limit, db, schema)
	if err != nil {
		return finding{Name: name, State: fail, Detail: sqldb.Classify(err).Error(), Advice: "check POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER and POSTGRES_PASSWORD"}, nil
	}
	v, err := sqldb.Status(limit, db, schema)
	switch {
	case err != nil:
		return finding{Name: name, State: fail, Detail: sqldb.Classify(err).Error(), Advice: "check the server's log"}, risks
	case v.At != v.Build:
		return finding{Name: name, State: fail, Detail: fmt.Sprintf("version %d, this build needs %d", v.At, v.Build), Advice: "run `millrace migrate up`"}, risks
	}
	return finding{Name: name, State: ok, Detail: fmt.Sprintf("%s, version %d", db.Dialect, v.At)}, risks
}

func examineKafka(ctx context.Context, c *config.Config) []finding {
	if len(c.Kafka.Brokers) == 0 {
		return []finding{{Name: "kafka", State: ok, Detail: whileUp}}
	}
	at := strings.Join(c.Kafka.Brokers, ",")
	admin, err := kafkabus.NewAdmin(kafkaConfig(c, slog.New(slog.DiscardHandler)))
	if err != nil {
		return []finding{examine("kafka", at, "check the KAFKA_ settings", err)}
	}
	defer func() { _ = admin.Close() }()
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all := []finding{examine("kafka", at, "check KAFKA_BROKERS and KAFKA_SECURITY_PROTOCOL", admin.Ping(limit))}
	if all[0].State != ok {
		return all
	}
	partitions, err := admin.Partitions(limit)
	if err != nil {
		return append(all, examine("topics", at, "check the broker's log", err))
	}
	for _, topic := range messages.Topics() {
		if _, there := partitions[topic]; !there {
			all = append(all, finding{Name: "topic " + topic, State: ok, Detail: "not there yet: the first service makes it"})
		}
	}
	risks, err := kafkaRisks(limit, admin)
	if err != nil {
		return append(all, examine("topics", at, "check the broker's log", err))
	}
	return append(all, unsafe(c, risks)...)
}

func examineRedis(ctx context.Context, c *config.Config) []finding {
	if c.Redis.Host == "" {
		return []finding{{Name: "redis", State: ok, Detail: whileUp + "; without it everything is slower"}}
	}
	at := net.JoinHostPort(c.Redis.Host, strconv.Itoa(c.Redis.Port))
	rediscache.Quiet()
	cache, err := rediscache.New(rediscache.Config{Addr: at, Password: c.Redis.Password, Timeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = cache.Ready(ctx)
		_ = cache.Close()
	}
	return []finding{examine("redis", at, "check REDIS_HOST, REDIS_PORT and REDIS_PASSWORD", err)}
}

func examineMail(ctx context.Context, c *config.Config) finding {
	const name = "mail server"
	switch c.SMTP.Host {
	case "":
		return finding{Name: name, State: ok, Detail: whileUp}
	case config.SMTPDiscard:
		return finding{Name: name, State: ok, Detail: "none: mail goes nowhere"}
	}
	at := net.JoinHostPort(c.SMTP.Host, strconv.Itoa(c.SMTP.Port))
	return examine(name, at, "set SMTP_HOST and SMTP_PORT", dial(ctx, at))
}

func examineProvider(ctx context.Context, c *config.Config) finding {
	const name = "payment provider"
	switch c.PSPURL {
	case "":
		return finding{Name: name, State: ok, Detail: whileUp}
	case config.PSPInProcess:
		return finding{Name: name, State: ok, Detail: "a function call: no card is charged"}
	}
	return examine(name, config.WithoutPassword(c.PSPURL), "set PSP_URL, or run `millrace psp`", ask(ctx, strings.TrimSuffix(c.PSPURL, "/")+"/livez"))
}

func dial(ctx context.Context, at string) error {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", at)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func ask(ctx context.Context, url string) error {
	limit, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(limit, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
