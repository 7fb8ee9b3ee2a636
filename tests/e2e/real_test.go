package e2e

import (
	"database/sql"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // to make a database, and to hold a lock in it
	"github.com/twmb/franz-go/pkg/kadm"

	"millrace/app/messages"
)

// services are the six processes of the real stack, in the order of their ports.
var services = []string{
	messages.APIGateway, messages.OrderService, messages.PaymentService,
	messages.InventoryService, messages.NotificationService, messages.Orchestrator,
}

// servers are the real ones that a stack stands on.
type servers struct{ postgres, kafka, redis string }

// testServers are those that the environment names; without them the test is skipped.
func testServers(t *testing.T) servers {
	t.Helper()
	all := servers{os.Getenv("TEST_POSTGRES_DSN"), os.Getenv("TEST_KAFKA_BROKERS"), os.Getenv("TEST_REDIS_ADDR")}
	if all.postgres == "" || all.kafka == "" || all.redis == "" {
		t.Skip("TEST_POSTGRES_DSN, TEST_KAFKA_BROKERS and TEST_REDIS_ADDR are not set")
	}
	if testing.Short() {
		t.Skip("the embedded stack stands for both in the short pass")
	}
	return all
}

// newReal makes a stack of six processes on real servers, with a database of its own. The topics
// have fixed names, so they and their consumer groups begin empty, and two tests take turns.
func newReal(t *testing.T, on servers) (*stack, parts) {
	t.Helper()
	base, doors := freeBlock(t), freeBlock(t)
	s, around := &stack{owner: t, base: base, kafka: on.kafka, redis: on.redis, http: newClient(t)}, parts{}
	takeTurns(t, on.kafka)
	emptyTopics(t, s)

	admin, dsn := newDatabase(t, on.postgres)
	around.postgres = gated(newGate(t, doors+1, admin.Host))
	around.redis = gated(newGate(t, doors+redisPort, on.redis))
	sink := newSink(t)
	around.mail = gated(newGate(t, doors+mailPort, sink.Addr()))
	s.letters = lettersOf(sink)
	around.psp = newProvider(t, s, doors)

	password, _ := admin.User.Password()
	s.env = []string{
		"POSTGRES_HOST=" + loopback, "POSTGRES_PORT=" + strconv.Itoa(doors+1), "POSTGRES_DB=" + strings.TrimPrefix(dsn.Path, "/"),
		"POSTGRES_USER=" + admin.User.Username(), "POSTGRES_PASSWORD=" + password, "POSTGRES_SSLMODE=disable",
		"KAFKA_BROKERS=" + on.kafka, "REDIS_HOST=" + loopback, "REDIS_PORT=" + strconv.Itoa(doors+redisPort),
		"SMTP_HOST=" + loopback, "SMTP_PORT=" + strconv.Itoa(doors+mailPort), "PSP_URL=http://" + at(doors+pspPort),
		"ORDER_SERVICE_URL=http://" + at(base+ordersPort), "INVENTORY_SERVICE_URL=http://" + at(base+inventoryPort),
	}
	for _, verb := range [][]string{{"migrate", "up"}, {"seed"}} {
		spawn(t, t, s.env, verb...).ends(t, 30*time.Second, 0)
	}
	s.launch = func(t *testing.T, more ...string) []*child {
		t.Helper()
		var all []*child
		for port, service := range services {
			all = append(all, spawn(s.owner, t, slices.Concat(s.env, more, []string{"PORT=" + strconv.Itoa(base+port)}), "serve", service))
		}
		return all
	}
	s.database = schemasOf(dsn)
	s.holdInventory = func(t *testing.T) func() {
		t.Helper()
		return hold(t, s.database(t, "inventory"), "LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
	}
	s.breakSagas = func(t *testing.T, sku string) func() {
		t.Helper()
		db := s.database(t, "orders")
		must(t, db, "CREATE FUNCTION break() RETURNS trigger AS $$ BEGIN IF "+broken(sku)+
			" THEN RAISE integrity_constraint_violation USING MESSAGE = 'it is broken'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql")
		must(t, db, "CREATE TRIGGER broken BEFORE INSERT ON sagas FOR EACH ROW EXECUTE FUNCTION break()")
		return func() { must(t, db, "DROP TRIGGER broken ON sagas") }
	}
	return s, around
}

// takeTurns waits until no other test has the broker.
func takeTurns(t *testing.T, broker string) {
	t.Helper()
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(broker)) // it never fails
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("millrace-e2e-%08x.lock", hash.Sum32())), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	await(t, 8*time.Minute, "no other test uses the broker "+broker, func() bool {
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
}

// emptyTopics removes what an earlier run left.
func emptyTopics(t *testing.T, s *stack) {
	t.Helper()
	admin := kadm.NewClient(s.client(t))
	topics := messages.Topics()
	groups, err := admin.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, group := range groups.Groups() {
		service, topic, _ := strings.Cut(group, ".")
		if slices.Contains(messages.Consumers, service) && slices.Contains(topics, topic) {
			ours = append(ours, group)
		}
	}
	await(t, 90*time.Second, "the consumer groups of an earlier run can be deleted", func() bool {
		deleted, err := admin.DeleteGroups(t.Context(), ours...)
		return err == nil && deleted.Error() == nil || len(ours) == 0
	})
	if _, err := admin.DeleteTopics(t.Context(), topics...); err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "the topics of an earlier run are gone", func() bool {
		found, err := admin.ListTopics(t.Context(), topics...)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range found {
			if topic.Err == nil {
				return false
			}
		}
		return true
	})
}

// newDatabase makes a database for one test, and gives the server's address and the database's.
func newDatabase(t *testing.T, server string) (admin, own *url.URL) {
	t.Helper()
	admin, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("millrace_e2e_%08x", rand.Uint32())
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	own, _ = url.Parse(server)
	own.Path = "/" + name
	return admin, own
}

// schemasOf opens schemas of a database beside whoever else works on it.
func schemasOf(dsn *url.URL) func(*testing.T, string) *sql.DB {
	return func(t *testing.T, schema string) *sql.DB {
		t.Helper()
		db, err := sql.Open("pgx", dsn.String()+"&search_path="+schema)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
}
