// Command watermill is the peer "stock Watermill, tuned": an order's life by Watermill's own parts and
// nothing else. Handlers run in a Watermill router, each in one transaction with its inbox row and
// the messages that it sends; these lie in an outbox of watermill-sql, in four shards, and a forwarder
// for each shard carries them to Kafka.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"millrace/bench/peers/front"
	"millrace/bench/peers/life"
)

const (
	shards     = 4
	partitions = 32 // the stock subscriber has one message in flight per partition
	poll       = 10 * time.Millisecond
	keyHeader  = "key"
)

var topics = []string{"order.events", "payment.events", "inventory.events"}

func main() {
	port := flag.Int("port", 0, "where to answer HTTP")
	dsn := flag.String("dsn", "", "PostgreSQL")
	broker := flag.String("broker", "", "Kafka")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *port, *dsn, *broker); err != nil {
		fmt.Fprintln(os.Stderr, "watermill:", err)
		os.Exit(1)
	}
}

// peer is everything that the handlers need.
type peer struct {
	db     *sql.DB
	front  *front.Front
	logger watermill.LoggerAdapter
}

func run(ctx context.Context, port int, dsn, broker string) error {
	if err := prepare(ctx, dsn, broker); err != nil {
		return err
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(64)
	db.SetMaxIdleConns(64)
	p := &peer{db: db, logger: watermill.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))}
	p.front = front.New(p.accept)

	publisher, err := newPublisher(broker, p.logger)
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, p.logger)
	if err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	forwarders, err := p.forwarders(publisher)
	if err != nil {
		return err
	}
	if err := p.handle(router, broker); err != nil {
		return err
	}
	running := []func(context.Context) error{router.Run}
	for _, f := range forwarders {
		running = append(running, f.Run)
	}
	running = append(running, func(ctx context.Context) error { return p.front.Serve(ctx, port) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	for _, run := range running {
		go func() { ended <- run(ctx) }()
	}
	for range running { // the first that ends takes the others with it
		err = errors.Join(err, <-ended)
		cancel()
	}
	return err
}

// prepare makes tables and topics.
func prepare(ctx context.Context, dsn, broker string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := life.Create(ctx, conn); err != nil {
		return err
	}
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	admin, err := sarama.NewClusterAdmin([]string{broker}, config)
	if err != nil {
		return fmt.Errorf("reach Kafka: %w", err)
	}
	defer admin.Close()
	for _, topic := range topics {
		err := admin.CreateTopic(topicName(topic), &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
		if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			return fmt.Errorf("make topic %s: %w", topic, err)
		}
	}
	return nil
}

// topicName keeps the peer's topics apart from Millrace's on the same broker.
func topicName(topic string) string { return "watermill." + topic }

func newPublisher(broker string, logger watermill.LoggerAdapter) (message.Publisher, error) {
	config := kafka.DefaultSaramaSyncPublisherConfig()
	config.Version = sarama.V3_6_0_0
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: []string{broker}, OverwriteSaramaConfig: config,
		Marshaler: kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
			return m.Metadata.Get(keyHeader), nil
		}),
	}, logger)
	if err != nil {
		return nil, fmt.Errorf("make the Kafka publisher: %w", err)
	}
	return publisher, nil
}

func shardTopic(n int) string { return fmt.Sprintf("outbox_%d", n) }

// forwarders makes one for every shard of the outbox.
func (p *peer) forwarders(to message.Publisher) ([]*forwarder.Forwarder, error) {
	var all []*forwarder.Forwarder
	for n := range shards {
		subscriber, err := wsql.NewSubscriber(wsql.BeginnerFromStdSQL(p.db), wsql.SubscriberConfig{
			SchemaAdapter: wsql.DefaultPostgreSQLSchema{}, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{},
			PollInterval: poll, ResendInterval: poll, RetryInterval: poll, InitializeSchema: true,
		}, p.logger)
		if err != nil {
			return nil, fmt.Errorf("make the outbox's subscriber: %w", err)
		}
		if err := subscriber.SubscribeInitialize(shardTopic(n)); err != nil {
			return nil, fmt.Errorf("make the outbox's table: %w", err)
		}
		f, err := forwarder.NewForwarder(subscriber, to, p.logger, forwarder.Config{ForwarderTopic: shardTopic(n)})
		if err != nil {
			return nil, fmt.Errorf("make the forwarder: %w", err)
		}
		all = append(all, f)
	}
	return all, nil
}

// consumers lists who reads which topic.
var consumers = []struct{ name, topic string }{
	{"saga", "order.events"}, {"payment", "order.events"}, {"notification", "order.events"},
	{"saga", "payment.events"}, {"inventory", "payment.events"},
	{"saga", "inventory.events"},
}

// owner says which consumer a step belongs to.
var owner = map[string]string{
	"saga_order_created": "saga", "saga_payment_succeeded": "saga", "saga_inventory_reserved": "saga",
	"capture_payment": "payment", "reserve_stock": "inventory", "notify_customer": "notification",
}

func (p *peer) handle(router *message.Router, broker string) error {
	for _, c := range consumers {
		config := kafka.DefaultSaramaSubscriberConfig()
		config.Version = sarama.V3_6_0_0
		config.Consumer.Offsets.Initial = sarama.OffsetOldest
		config.Consumer.MaxProcessingTime = time.Minute
		config.Consumer.MaxWaitTime = 100 * time.Millisecond
		subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
			Brokers: []string{broker}, Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
			ConsumerGroup: "watermill." + c.name + "." + c.topic, NackResendSleep: poll,
		}, p.logger)
		if err != nil {
			return fmt.Errorf("make the subscriber of %s: %w", c.name, err)
		}
		router.AddConsumerHandler(c.name+" "+c.topic, topicName(c.topic), subscriber, p.consumer(c.name))
	}
	return nil
}

// consumer takes a message through the steps of one consumer, each a transaction.
func (p *peer) consumer(name string) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		var e envelope
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			return fmt.Errorf("read message %s: %w", m.UUID, err)
		}
		for _, step := range life.On(e.Type) {
			if owner[step.Consumer] != name {
				continue
			}
			if err := p.step(m.Context(), step, e.Data); err != nil {
				return err
			}
		}
		return nil
	}
}

func (p *peer) step(ctx context.Context, step life.Step, o life.Order) error {
	now := time.Now()
	var fresh int
	err := p.transact(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, step.Statement, step.Args(o, now)...).Scan(&fresh); err != nil {
			return fmt.Errorf("%s of %s: %w", step.Consumer, o.ID, err)
		}
		if fresh == 0 || step.Sends == "" {
			return nil
		}
		return p.send(tx, step.Sends, o, now)
	})
	if err != nil || fresh == 0 {
		return err
	}
	switch step.Consumer {
	case "saga_inventory_reserved":
		p.front.Ended(o.ID, time.Now())
	case "notify_customer":
		p.front.Handled()
	}
	return nil
}

func (p *peer) accept(ctx context.Context, o life.Order) error {
	now := time.Now()
	return p.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, life.Accept, life.AcceptArgs(o, now)...); err != nil {
			return fmt.Errorf("store %s: %w", o.ID, err)
		}
		return p.send(tx, life.OrderCreated, o, now)
	})
}

func (p *peer) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// envelope is a message on its topic.
type envelope struct {
	EventID    string     `json:"eventId"`
	Type       string     `json:"type"`
	OccurredAt time.Time  `json:"occurredAt"`
	Data       life.Order `json:"data"`
}

// send puts a message into the outbox, in the order's shard.
func (p *peer) send(tx *sql.Tx, kind string, o life.Order, at time.Time) error {
	publisher, err := wsql.NewPublisher(wsql.TxFromStdSQL(tx), wsql.PublisherConfig{SchemaAdapter: wsql.DefaultPostgreSQLSchema{}}, p.logger)
	if err != nil {
		return fmt.Errorf("make the outbox's publisher: %w", err)
	}
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(o.ID+kind)).String()
	payload, err := json.Marshal(envelope{id, kind, at.UTC(), o})
	if err != nil {
		return fmt.Errorf("write %s: %w", kind, err)
	}
	m := message.NewMessage(id, payload)
	m.Metadata.Set(keyHeader, o.ID)
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(o.ID))
	shard := shardTopic(int(hash.Sum32() % shards))
	if err := forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: shard}).Publish(topicName(life.TopicOf(kind)), m); err != nil {
		return fmt.Errorf("put %s into the outbox: %w", kind, err)
	}
	return nil
}
