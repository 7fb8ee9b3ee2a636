package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/app/messages"
	"millrace/migrations"
)

// readersOf says which services read a topic, and what of it they have a handler for.
var readersOf = map[string][]string{
	messages.OrderEvents:       {messages.OrderService, messages.PaymentService, messages.NotificationService, messages.Orchestrator},
	messages.PaymentEvents:     {messages.InventoryService, messages.Orchestrator},
	messages.InventoryEvents:   {messages.Orchestrator},
	messages.PaymentCommands:   {messages.PaymentService},
	messages.InventoryCommands: {messages.InventoryService},
}

var topics = []string{
	messages.OrderEvents, messages.PaymentEvents, messages.InventoryEvents, messages.PaymentCommands, messages.InventoryCommands,
}

// handled is a type of each topic, with the services that have a handler for it.
var handled = map[string]struct {
	typ string
	by  []string
}{
	messages.OrderEvents:       {"OrderCreated", []string{messages.PaymentService, messages.Orchestrator}},
	messages.PaymentEvents:     {"PaymentSucceeded", []string{messages.InventoryService, messages.Orchestrator}},
	messages.InventoryEvents:   {"InventoryReserved", []string{messages.Orchestrator}},
	messages.PaymentCommands:   {"RefundPayment", []string{messages.PaymentService}},
	messages.InventoryCommands: {"ReleaseInventory", []string{messages.InventoryService}},
}

// markHeader marks what the harness writes to Kafka, so that it is known again in a dead letter.
const markHeader = "chaos-mark"

// junk is a record that consumers must refuse, each once, or acknowledge without an effect.
type junk struct{ refusedBy []string } // consumer groups

// messageFaults write to the topics what Kafka or a stranger may put there.
func messageFaults() []fault {
	return []fault{
		copies("messages/thrice-shuffled", "every message thrice, shuffled", 0,
			"the latest 300 messages (5,000 in a long run) are written three times more, in another order"),
		copies("messages/late", "messages that come late", 20*time.Second,
			"messages that are older, 20 s in a short run and 10 min in a long one, are written once more"),
		garbage("corrupt", "corrupt records", func(string) (key, value []byte) {
			return strayOrder(), []byte("\x00\xff\xfe{not JSON")
		}, readers),
		garbage("truncated", "truncated records", func(topic string) (key, value []byte) {
			value = stranger(handled[topic].typ, `{"orderId":"ord_x"}`)
			return strayOrder(), value[:len(value)/2]
		}, readers),
		garbage("oversize", "oversize records", func(topic string) (key, value []byte) {
			return strayOrder(), stranger(handled[topic].typ, `{"orderId":"ord_x","padding":"`+strings.Repeat("x", messages.MaxBytes)+`"}`)
		}, readers),
		garbage("keyless", "keyless records", func(topic string) (key, value []byte) {
			return nil, stranger(handled[topic].typ, `{"orderId":"`+string(strayOrder())+`"}`)
		}, func(topic string) []string { return groups(topic, handled[topic].by) }),
		garbage("malformed", "records of a known type without its data", func(topic string) (key, value []byte) {
			return strayOrder(), stranger(handled[topic].typ, `{"orderId":["x"]}`)
		}, func(topic string) []string { return groups(topic, handled[topic].by) }),
		garbage("unknown", "records of an unknown type", func(string) (key, value []byte) {
			key = strayOrder()
			return key, stranger("OrderGiftWrapped", `{"orderId":"`+string(key)+`"}`)
		}, func(string) []string { return nil }),
	}
}

func readers(topic string) []string { return groups(topic, readersOf[topic]) }

func groups(topic string, services []string) []string {
	var all []string
	for _, s := range services {
		all = append(all, s+"."+topic)
	}
	return all
}

// strayOrder is the id of an order that nobody has placed.
func strayOrder() []byte { return []byte("ord_" + strings.ReplaceAll(uuid.NewString(), "-", "")) }

func stranger(typ, data string) []byte {
	return fmt.Appendf(nil, `{"eventId":%q,"traceId":"0af7651916cd43dd8448eb211c80319c","type":%q,"occurredAt":"2026-01-02T03:04:05Z","data":%s}`,
		uuid.NewString(), typ, data)
}

// garbage writes two records of a kind to every topic. It is seen when those who must refuse them
// have, and the others have read past them.
func garbage(name, kind string, write func(topic string) (key, value []byte), refusedBy func(topic string) []string) fault {
	return fault{
		name: "garbage/" + name, kind: kind, on: both, short: both, hurts: []string{"topics"},
		does: "two such records on every topic: a dead letter at each consumer that must refuse it, and nobody waits behind it",
		begin: func(ctx context.Context, w *world) (blow, error) {
			client, err := w.kafkaClient()
			if err != nil {
				return blow{}, err
			}
			defer client.Close()
			var records []*kgo.Record
			want, marks := 0, map[string]bool{}
			w.mu.Lock()
			for _, topic := range topics {
				for range 2 {
					key, value := write(topic)
					mark := name + "-" + strconv.Itoa(len(w.junk)+1)
					w.junk[mark], marks[mark] = junk{refusedBy(topic)}, true
					want += len(refusedBy(topic))
					records = append(records, &kgo.Record{Topic: topic, Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: markHeader, Value: []byte(mark)}}})
				}
			}
			w.mu.Unlock()
			if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
				return blow{}, err
			}
			return blow{seen: func(ctx context.Context) (string, bool) {
				kept, passed := w.keptOf(ctx, marks), w.passed(ctx, records)
				return fmt.Sprintf("%d of %d dead letters, all read: %t", kept, want, passed), kept == want && passed
			}}, nil
		},
	}
}

// copies writes messages again that are older than a time.
func copies(name, kind string, age time.Duration, does string) fault {
	return fault{
		name: name, kind: kind, on: both, short: both, hurts: []string{"topics"}, does: does, last: age > 0,
		begin: func(ctx context.Context, w *world) (blow, error) {
			older := age
			if w.opts.Duration > longRun && older > 0 {
				older = 10 * time.Minute
			}
			if wait := older + 5*time.Second - time.Since(w.topicsSince()); wait > 0 { // a wiped broker has nothing old
				pause(ctx, wait)
			}
			client, err := w.kafkaClient()
			if err != nil {
				return blow{}, err
			}
			defer client.Close()
			found, err := w.records(ctx, topics, time.Now().Add(-older))
			if err != nil {
				return blow{}, err
			}
			most := 300
			if w.opts.Duration >= longRun {
				most = 5000
			}
			found = found[max(0, len(found)-most):]
			times := 3
			if age > 0 {
				times = 1
			}
			var again []*kgo.Record
			for _, r := range found {
				for range times {
					again = append(again, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers})
				}
			}
			chance := rand.New(rand.NewPCG(w.opts.Seed, uint64(len(again))))
			chance.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
			if err := client.ProduceSync(ctx, again...).FirstErr(); err != nil {
				return blow{}, err
			}
			return blow{seen: func(ctx context.Context) (string, bool) {
				return fmt.Sprintf("%d records, %s old at least", len(again), older), len(again) > 0 && w.passed(ctx, again)
			}}, nil
		},
	}
}

func (w *world) kafkaClient(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.kafka), kgo.ProducerBatchMaxBytes(4 << 20), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	}, more...)...)
}

// records reads what is on the topics, the oldest first, up to a moment; not what the harness wrote.
func (w *world) records(ctx context.Context, topics []string, until time.Time) ([]*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := w.kafkaClient(kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	starts, err := kadm.NewClient(client).ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	left := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if s, ok := starts.Lookup(o.Topic, o.Partition); ok && s.Offset < o.Offset {
			left[o.Topic+strconv.Itoa(int(o.Partition))] = o.Offset
		}
	})
	var all []*kgo.Record
	for len(left) > 0 {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err0(); err != nil {
			return nil, err
		}
		fetched.EachRecord(func(r *kgo.Record) {
			at := r.Topic + strconv.Itoa(int(r.Partition))
			if r.Offset+1 >= left[at] {
				delete(left, at)
			}
			ours := slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == markHeader })
			if !ours && r.Timestamp.Before(until) {
				all = append(all, r)
			}
		})
	}
	slices.SortStableFunc(all, func(x, y *kgo.Record) int { return x.Timestamp.Compare(y.Timestamp) })
	return all, nil
}

// passed says whether every reader has acknowledged the records.
func (w *world) passed(ctx context.Context, records []*kgo.Record) bool {
	client, err := w.kafkaClient()
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	committed := map[string]kadm.OffsetResponses{}
	for _, r := range records {
		for _, group := range readers(r.Topic) {
			if committed[group] == nil {
				if committed[group], err = kadm.NewClient(client).FetchOffsets(ctx, group); err != nil {
					return false
				}
			}
			if o, ok := committed[group].Lookup(r.Topic, r.Partition); !ok || o.At <= r.Offset {
				return false
			}
		}
	}
	return true
}

// deadLetter is what a service keeps of a message that it refused.
type deadLetter struct {
	Consumer string `db:"consumer"`
	Type     string `db:"type"`
	Topic    string `db:"topic"`
	OrderID  string `db:"order_id"`
	Reason   string `db:"reason"`
	Error    string `db:"error"`
	Headers  string `db:"headers"`
}

// mark is what the harness wrote on the record; empty for one that is not its own.
func (d deadLetter) mark() string {
	var h map[string]string
	_ = json.Unmarshal([]byte(d.Headers), &h) // headers that are none have no mark
	return h[markHeader]
}

func (w *world) deadLetters(ctx context.Context, schema string) ([]deadLetter, error) {
	var kept []deadLetter
	err := w.dbs[schema].Read.SelectContext(ctx, &kept, "SELECT consumer, type, topic, order_id, reason, error, headers FROM dead_letters WHERE state = 'waiting'")
	return kept, err
}

// keptOf counts the dead letters that marked records have become, in all services.
func (w *world) keptOf(ctx context.Context, marks map[string]bool) int {
	n := 0
	for _, schema := range migrations.Schemas {
		kept, _ := w.deadLetters(ctx, schema) // asked again
		for _, d := range kept {
			if marks[d.mark()] {
				n++
			}
		}
	}
	return n
}

// discardDeadLetters settles the garbage that was found, which nobody wants to have handled.
func (w *world) discardDeadLetters(ctx context.Context) error { return w.dealWith(ctx, "--discard") }
