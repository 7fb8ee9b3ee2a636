package recovery

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/adapters/adaptertest"
	"millrace/adapters/kafkabus"
	"millrace/adapters/sqlstore"
	"millrace/app/inventory"
	"millrace/app/messages"
	stock "millrace/domain/inventory"
	"millrace/ports/messaging"
)

// eachBroker runs a test on Kafka's protocol in process and, where there is one, on Apache Kafka.
func eachBroker(t *testing.T, test func(t *testing.T, brokers []string)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		test(t, cluster.ListenAddrs())
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		if os.Getenv("TEST_KAFKA_BROKERS") == "" {
			t.Skip("TEST_KAFKA_BROKERS is not set")
		}
		test(t, ownKafka(t))
	})
}

// ownKafka starts a broker of the test's own: on another one its messages would be everybody's.
func ownKafka(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	infra := func(ctx context.Context, verb string) error {
		cmd := exec.CommandContext(ctx, "../../scripts/infra", verb)
		cmd.Env = append(os.Environ(), "INFRA_DIR="+dir, "INFRA_SERVERS=kafka")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("scripts/infra %s: %w\n%s", verb, err, out)
		}
		return nil
	}
	t.Cleanup(func() {
		if err := infra(context.WithoutCancel(t.Context()), "down"); err != nil {
			t.Error(err)
		}
	})
	if err := infra(t.Context(), "up"); err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(settings)) {
		if brokers, found := strings.CutPrefix(strings.TrimSpace(line), "export TEST_KAFKA_BROKERS="); found {
			return strings.Split(brokers, ",")
		}
	}
	t.Fatalf("the servers have no Kafka: %s", settings)
	return nil
}

// tap notes the context of every message on its way to a router: it ends when the message is no
// longer the member's.
type tap struct {
	message.Subscriber
	*contexts
}

// contexts are those of the messages of one member, of all its groups.
type contexts struct {
	mu   sync.Mutex
	last map[string]context.Context // by message id
}

func (s *tap) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for msg := range in {
			s.mu.Lock()
			s.last[msg.UUID] = msg.Context()
			s.mu.Unlock()
			select {
			case out <- msg:
			case <-ctx.Done():
			}
		}
	}()
	return out, nil
}

func (s *contexts) contextOf(id string) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[id]
}

// A rebalance takes the partition of a message whose handler runs. The handler finishes, its
// acknowledgement counts for nothing, the message is delivered again, and the inbox knows it.
func TestARebalanceInTheMiddleOfAHandlerDoublesNoEffect(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, brokers []string) {
		db := adaptertest.SQLite(t, "inventory")
		core := coreOn(db, messages.InventoryService)
		store := sqlstore.NewInventory(core)
		if err := store.Seed(t.Context(), []stock.Level{{SKU: "SKU-1", OnHand: 1000}}); err != nil {
			t.Fatal(err)
		}
		// A name of its own keeps this test's group apart from others on a shared broker. The topic is
		// everybody's, so its messages of other tests are not looked at.
		run := strings.ReplaceAll(uuid.NewString(), "-", "")
		service := "inventory-" + run
		cfg := kafkabus.Config{Brokers: brokers, Partitions: 3, Logger: slog.New(slog.DiscardHandler)}
		admin, err := kafkabus.NewAdmin(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin.Close() })
		if _, err := admin.EnsureTopics(t.Context(), kafkabus.Topic{Name: messages.PaymentEvents}, kafkabus.Topic{Name: messages.RedriveTopic(service)}); err != nil {
			t.Fatal(err)
		}
		publisher, err := kafkabus.NewPublisher(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = publisher.Close() })
		const orders = 30
		mine := map[string]bool{}
		for n := range orders {
			id := fmt.Sprintf("ord_%s%d", run, n)
			mine[id] = true
			paid := &messages.PaymentSucceeded{OrderID: id, PaymentID: "pay_1", Amount: 100, Currency: "LKR", Items: []messages.Quantity{{SKU: "SKU-1", Qty: 1}}}
			envelope, err := messages.Seal(messages.DerivedID(id, "paid", 0), strings.Repeat("0", 32), time.Now(), paid)
			if err != nil {
				t.Fatal(err)
			}
			payload, err := envelope.Encode()
			if err != nil {
				t.Fatal(err)
			}
			msg := message.NewMessage(envelope.EventID, payload)
			msg.Metadata.Set("correlationId", id)
			msg.Metadata.Set("eventId", envelope.EventID)
			if err := publisher.Publish(messages.PaymentEvents, msg); err != nil {
				t.Fatal(err)
			}
		}

		reserve := inventory.NewReserveStock(store)
		starts := make(chan string, 1000)
		member := func(hold func(ctx context.Context, id string)) (*contexts, func()) {
			tapped := &contexts{last: map[string]context.Context{}}
			router, err := messaging.NewRouter(messaging.Config{
				Subscriber: func(group string, _ func([]byte) bool) (message.Subscriber, error) {
					s, err := kafkabus.NewWindowed(cfg, group)
					return &tap{s, tapped}, err
				},
				Origin: kafkabus.Origin, DeadLetters: sqlstore.NewDeadLetters(core), Observer: nobody{},
			}, messaging.Service{Name: service, Handlers: []messaging.Handler{
				messaging.On("reserve_stock", func(ctx context.Context, m *messages.PaymentSucceeded) error {
					if !mine[m.OrderID] {
						return nil
					}
					starts <- m.OrderID
					hold(ctx, messages.CauseOf(ctx).MessageID)
					return reserve.Handle(ctx, m)
				}),
			}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = router.Run(ctx) }()
			stop := sync.OnceFunc(func() { cancel(); <-done })
			t.Cleanup(stop)
			return tapped, stop
		}

		held, release := make(chan string, 1), make(chan struct{})
		var first sync.Once
		tapped, _ := member(func(_ context.Context, id string) {
			first.Do(func() {
				held <- id
				<-release
			})
		})
		id := wait(t, held)
		member(func(context.Context, string) {}) // the second comes, and the group rebalances
		wait(t, tapped.contextOf(id).Done())     // the first has lost what it works on
		close(release)

		// Whatever was in hand is delivered again, under the new sessions; in the end all is acknowledged.
		group := kafkabus.Group{Name: service + "." + messages.PaymentEvents, Topic: messages.PaymentEvents}
		deadline := time.Now().Add(patience)
		for {
			lags, err := admin.Lag(t.Context(), group)
			if err == nil && len(lags) == 1 && lags[0].Records == 0 && count(t, db, "SELECT count(*) FROM reservations") == orders {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("lag %v, %v; %d of %d orders have their stock", lags, err, count(t, db, "SELECT count(*) FROM reservations"), orders)
			}
			pause := time.NewTimer(50 * time.Millisecond)
			select {
			case <-pause.C:
			case <-t.Context().Done():
			}
		}
		for query, want := range map[string]int{
			"SELECT reserved FROM stock":                                               orders,
			"SELECT count(*) FROM outbox WHERE event_type = 'InventoryReserved'":       orders,
			"SELECT count(*) FROM inbox WHERE outcome = 'done'":                        orders,
			"SELECT count(*) FROM dead_letters WHERE order_id LIKE 'ord_" + run + "%'": 0, // not those of others on the topic
		} {
			if n := count(t, db, query); n != want {
				t.Errorf("%s: %d, want %d", query, n, want)
			}
		}
		runs := 0
		for len(starts) > 0 {
			if messages.DerivedID(<-starts, "paid", 0) == id {
				runs++
			}
		}
		if runs != 2 {
			t.Errorf("the message whose partition was lost was started %d times: it was not delivered again", runs)
		}
	})
}
