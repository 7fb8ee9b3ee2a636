package main

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // to open a file as nobody should

	"millrace/adapters/config"
	"millrace/adapters/sqldb"
	"millrace/app/messages"
)

func TestProductionStartsOnNoServerThatLosesThings(t *testing.T) {
	t.Parallel()
	s, sound := relayStack(t)
	var log bytes.Buffer
	s.process = &process{logger: slog.New(slog.NewTextHandler(&log, nil))}
	must(t, s.ensureTopics(t.Context()))
	check := func(environment string, orders *sqldb.DB) error {
		c, err := config.Load(t.TempDir(), []string{"MILLRACE_ENV=" + environment})
		must(t, err)
		s.refuse, s.bases = c.RefuseAll, map[string]*base{"orders": {db: orders}}
		s.told = nil
		log.Reset()
		var all []error
		for range 2 { // as when it is asked again after an outage
			all = append(all, s.checkDatabases(t.Context()), s.checkKafka(t.Context()))
		}
		return errors.Join(all...)
	}
	if err := check("production", sound); err != nil || log.Len() > 0 {
		t.Fatalf("sound servers are refused: %v, %s", err, &log)
	}

	pool, err := sqlx.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orders.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=foreign_keys(1)")
	must(t, err)
	careless := &sqldb.DB{DB: pool, Read: pool, Dialect: sqldb.SQLite}
	t.Cleanup(func() { _ = careless.Close() })
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Brokers...))
	must(t, err)
	t.Cleanup(client.Close)
	yes := "true"
	_, err = kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "unclean.leader.election.enable", Value: &yes}},
		messages.OrderEvents, messages.PaymentEvents)
	must(t, err)

	says := []string{"unclean.leader.election.enable is true", "order.events, payment.events", "synchronous is 0", "(database orders)"}
	err = check("production", careless)
	if err == nil || !strings.HasPrefix(err.Error(), "MILLRACE_ENV=production refuses: ") {
		t.Fatalf("production starts: %v", err)
	}
	for _, word := range says {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("production does not say %q: %v", word, err)
		}
	}
	if err := check("development", careless); err != nil {
		t.Errorf("development refuses: %v", err)
	}
	if n := strings.Count(log.String(), "unsafe setting"); n != 2 {
		t.Errorf("development is told of %d settings, not 2:\n%s", n, &log)
	}
}

func TestWhatSharesAServerIsToldOnce(t *testing.T) {
	t.Parallel()
	one := config.Risk{Name: "fsync", Detail: "is off"}
	two := config.Risk{Name: "fsync", Detail: "is off (elsewhere)"}
	if risks := addRisks([]config.Risk{one}, one, two, two); len(risks) != 2 {
		t.Errorf("%v", risks)
	}
}
