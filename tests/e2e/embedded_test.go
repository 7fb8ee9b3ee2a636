package e2e

import (
	"cmp"
	"database/sql"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to hold a lock beside the service

	"millrace/adapters/embedded"
)

// newEmbedded makes a stack of one process, `millrace up`, that brings everything along.
func newEmbedded(t *testing.T) *stack {
	t.Helper()
	base, data := freeBlock(t), filepath.Join(t.TempDir(), "data")
	s := &stack{owner: t, base: base, kafka: at(base + kafkaPort), redis: at(base + redisPort), data: data, disk: filepath.Join(data, "kafka"), http: newClient(t)}
	s.launch = func(t *testing.T, settings ...string) []*child {
		t.Helper()
		c := spawnBuild(cmp.Or(s.build, binary), s.owner, t, append(s.env, settings...), "up", "--data", data, "--base-port", strconv.Itoa(base), "--log-format", "json")
		await(t, 30*time.Second, "it says that it is ready", func() bool {
			return !c.alive() || strings.Contains(c.stdout.String(), "\nready http://"+at(base)+"\n")
		})
		return []*child{c}
	}
	s.letters = func(t *testing.T, orderID string) []letter {
		t.Helper()
		var box struct{ Items []letter }
		s.get(t, notificationsPort, "/mailbox?orderId="+url.QueryEscape(orderID), &box)
		return box.Items
	}
	s.holdInventory = func(t *testing.T) func() {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "db", "inventory.db")+"?_pragma=busy_timeout(5000)&_txlock=immediate")
		if err != nil {
			t.Fatal(err)
		}
		return hold(t, db, "UPDATE stock SET on_hand = on_hand WHERE sku = 'none of these'")
	}
	s.breakSagas = func(t *testing.T, sku string) func() {
		t.Helper()
		db := s.sqlite(t, "orders")
		must(t, db, "CREATE TRIGGER broken BEFORE INSERT ON sagas WHEN "+broken(sku)+" BEGIN SELECT RAISE(ABORT, 'it is broken'); END")
		return func() { must(t, db, "DROP TRIGGER broken") }
	}
	return s
}

// hold keeps a lock until release is called, or the test ends.
func hold(t *testing.T, db *sql.DB, statement string) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), statement)
	}
	if err != nil {
		_ = db.Close()
		t.Fatal(err)
	}
	release = func() {
		_ = tx.Rollback()
		_ = db.Close()
	}
	t.Cleanup(release)
	return release
}

// parts are the servers around a system that a test can take away and give back.
type parts struct {
	mail, redis, psp, postgres part
	kafka                      part
}

// part is one such server; nil functions where the stack does not have it.
type part struct {
	away, back func(t *testing.T)
	slow       func(by time.Duration) // every answer takes longer
}

func gated(g *gate) part {
	return part{away: func(*testing.T) { g.shut() }, back: g.open, slow: g.slow}
}

// newSurrounded makes a stack of `millrace up` with its databases alone: Kafka, Redis, mail and the
// provider are servers of the test.
func newSurrounded(t *testing.T) (*stack, parts) {
	t.Helper()
	s, around := newEmbedded(t), parts{}
	doors := freeBlock(t) // where the program looks for the servers; behind the doors they have ports of their own

	logs := t.TempDir()
	var broker *embedded.Kafka
	around.kafka.back = func(t *testing.T) {
		t.Helper()
		var err error
		if broker, err = embedded.StartKafka(at(doors+kafkaPort), logs, embedded.KafkaOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	around.kafka.away = func(*testing.T) { _ = broker.Close() }
	around.kafka.back(t)
	t.Cleanup(func() { _ = broker.Close() })
	s.kafka = at(doors + kafkaPort)

	cache, err := embedded.StartRedis(loopback+":0", embedded.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	around.redis = gated(newGate(t, doors+redisPort, cache.Addr()))

	sink := newSink(t)
	around.mail = gated(newGate(t, doors+mailPort, sink.Addr()))
	s.letters = lettersOf(sink)

	around.psp = newProvider(t, s, doors)
	s.env = append(s.env, "KAFKA_BROKERS="+s.kafka, "REDIS_HOST="+loopback, "REDIS_PORT="+strconv.Itoa(doors+redisPort),
		"SMTP_HOST="+loopback, "SMTP_PORT="+strconv.Itoa(doors+mailPort), "PSP_URL=http://"+at(doors+pspPort))
	return s, around
}

// newSink is a mail server of the test.
func newSink(t *testing.T) *embedded.Mail {
	t.Helper()
	sink, err := embedded.StartMail(loopback+":0", filepath.Join(t.TempDir(), "mail"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

func lettersOf(sink *embedded.Mail) func(*testing.T, string) []letter {
	return func(t *testing.T, orderID string) []letter {
		t.Helper()
		items, err := sink.Mailbox(orderID)
		if err != nil {
			t.Fatal(err)
		}
		var got []letter
		for _, i := range items {
			got = append(got, letter{i.MessageID, i.To, i.Subject, i.OrderID, i.Deliveries})
		}
		return got
	}
}

// newProvider runs `millrace psp` at the stack's own port, with a door in front of it.
func newProvider(t *testing.T, s *stack, doors int) part {
	t.Helper()
	spawn(t, t, []string{"PORT=" + strconv.Itoa(s.base+pspPort)}, "psp", "--data", filepath.Join(t.TempDir(), "psp"))
	await(t, 20*time.Second, "the provider answers", func() bool { return s.status(pspPort, "/v1/ledger") == 200 })
	return gated(newGate(t, doors+pspPort, at(s.base+pspPort)))
}
