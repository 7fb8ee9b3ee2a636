package e2e

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/app/messages"
)

// handled is a message on each topic, with the services that have a handler for it.
var handled = map[string]struct {
	typ      string
	services []string
}{
	messages.OrderEvents:       {"OrderCreated", []string{messages.PaymentService, messages.Orchestrator}},
	messages.PaymentEvents:     {"PaymentSucceeded", []string{messages.InventoryService, messages.Orchestrator}},
	messages.InventoryEvents:   {"InventoryReserved", []string{messages.Orchestrator}},
	messages.PaymentCommands:   {"RefundPayment", []string{messages.PaymentService}},
	messages.InventoryCommands: {"ReleaseInventory", []string{messages.InventoryService}},
}

// refused is a record that no handler may see: who must refuse it, and why.
type refused struct {
	record   *kgo.Record
	services []string
	reason   string
}

// rubbish is one of each kind for a topic, and what is not even JSON on every partition.
func rubbish(topic string, partitions int) []refused {
	key := func() []byte { return []byte("ord_" + strings.ReplaceAll(uuid.NewString(), "-", "")) }
	envelope := func(typ, data string) []byte {
		return fmt.Appendf(nil, `{"eventId":%q,"traceId":"0af7651916cd43dd8448eb211c80319c","type":%q,"occurredAt":"2026-01-02T03:04:05Z","data":%s}`,
			uuid.NewString(), typ, data)
	}
	known, all := handled[topic], readers[topic]
	record := func(key, value []byte) *kgo.Record { return &kgo.Record{Topic: topic, Key: key, Value: value} }
	whole := fmt.Sprintf(`{"orderId":"ord_x1","padding":%q}`, strings.Repeat("x", 2<<20))
	kinds := []refused{
		{record(key(), []byte("\x00\xff\xfenot JSON")), all, "not_an_envelope"},
		{record(key(), nil), all, "not_an_envelope"},
		{record(key(), []byte(`{"eventId":17,"type":[],"occurredAt":{},"data":"x"}`)), all, "not_an_envelope"},
		{record(key(), []byte(`{"type":"OrderCreated","occurredAt":"2026-01-02T03:04:05Z","data":{}}`)), all, "not_an_envelope"},
		{record([]byte("ord_x1"), envelope(known.typ, whole)), all, "record_too_large"},
		{record(key(), envelope(misplaced(topic), `{"orderId":"ord_x2"}`)), all, "wrong_topic"},
		{record(key(), envelope(known.typ, `{"orderId":["x"],"items":3,"total":"much"}`)), known.services, "bad_data"},
		{record(key(), envelope(known.typ, `{}`)), known.services, "bad_data"},
	}
	for p := range int32(partitions) {
		r := record(nil, []byte("<xml/>"))
		r.Partition = p
		kinds = append(kinds, refused{r, all, "not_an_envelope"})
	}
	return kinds
}

// misplaced is a message that does not belong on a topic.
func misplaced(topic string) string {
	if topic == messages.OrderEvents {
		return "ReleaseInventory"
	}
	return "OrderCreated"
}

// misaddressed is a copy of a message that was handled, under a new id and with a key that is wrong.
func misaddressed(t *testing.T, r *kgo.Record, key []byte, reason string) refused {
	t.Helper()
	id := uuid.NewString()
	c := copyOf(r, withID(t, r.Value, id), id)
	c.Key = key
	return refused{c, handled[r.Topic].services, reason}
}

func garbage(t *testing.T, s *stack) {
	o := s.awaitEnd(t, s.place(t, wish{sku: "SKU-NONE"}), soon) // its messages are on four topics of five
	s.awaitSent(t, o.OrderID, "OrderCompleted")
	partitions := s.partitions(t)
	var all []refused
	for _, topic := range eventTopics {
		all = append(all, rubbish(topic, partitions)...)
	}
	for _, r := range s.ofOrder(t, o.OrderID) {
		if headersOf(r)["eventType"] == handled[r.Topic].typ {
			all = append(all, misaddressed(t, r, nil, "missing_key"), misaddressed(t, r, []byte("ord_x3"), "key_mismatch"))
		}
	}
	spread := s.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i, g := range all {
		g.record.Headers = append(g.record.Headers, kgo.RecordHeader{Key: "kept", Value: []byte(strconv.Itoa(i))})
		if g.record.Partition == 0 {
			g.record.Partition = int32(i % partitions)
		}
		s.write(t, spread, g.record)
		s.strange.add(g.record)
	}

	t.Run("the next orders flow", func(t *testing.T) {
		for range 2 * partitions { // on every partition, or nearly so
			id := s.place(t, wish{})
			if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
				t.Errorf("%s ended %s %q", id, o.Status, o.Reason)
			}
		}
	})
	for _, service := range messages.Consumers {
		t.Run(service, func(t *testing.T) { s.deadLetters(t, service, all) })
	}
}

// partitions is how many the topics of this stack have.
func (s *stack) partitions(t *testing.T) int {
	t.Helper()
	topics, err := kadm.NewClient(s.client(t)).ListTopics(t.Context(), messages.OrderEvents)
	if err != nil || len(topics[messages.OrderEvents].Partitions) == 0 {
		t.Fatalf("the partitions of %s: %v, %v", messages.OrderEvents, topics.Names(), err)
	}
	return len(topics[messages.OrderEvents].Partitions)
}

// deadLetters checks that a service has refused what it must, and nothing else.
func (s *stack) deadLetters(t *testing.T, service string, all []refused) {
	t.Helper()
	want := map[place]refused{}
	for _, g := range all {
		for _, by := range g.services {
			if by == service {
				want[placeOf(g.record)] = g
			}
		}
	}
	var kept []*kgo.Record
	await(t, soon, fmt.Sprintf("%d dead letters are there", len(want)), func() bool {
		kept = s.read(t, messages.DeadLetters(service))
		return len(kept) >= len(want)
	})
	for _, r := range kept {
		h := headersOf(r)
		partition, _ := strconv.ParseInt(h["deadletter-partition"], 10, 32)
		offset, _ := strconv.ParseInt(h["deadletter-offset"], 10, 64)
		from := place{h["deadletter-topic"], int32(partition), offset}
		g, ok := want[from]
		if !ok {
			t.Errorf("there is a dead letter of %v that nobody expects, or a second one: %s, %s", from, h["deadletter-reason"], h["deadletter-error"])
			continue
		}
		delete(want, from)
		if h["deadletter-reason"] != g.reason || !bytes.Equal(r.Value, g.record.Value) || h["kept"] != headersOf(g.record)["kept"] {
			t.Errorf("%v: reason %s, want %s; %d bytes, want %d; headers %v", from, h["deadletter-reason"], g.reason, len(r.Value), len(g.record.Value), h)
		}
		if h["deadletter-consumer"] != service+"."+from.topic || h["deadletter-handler"] == "" || h["deadletter-error"] == "" ||
			h["deadletter-attempts"] != "1" || h["deadletter-key"] != string(g.record.Key) {
			t.Errorf("%v: headers %v", from, h)
		}
		for _, name := range []string{"deadletter-first-at", "deadletter-last-at"} {
			if _, err := time.Parse(time.RFC3339Nano, h[name]); err != nil {
				t.Errorf("%v: %s is %q", from, name, h[name])
			}
		}
	}
	for at, g := range want {
		t.Errorf("%v, which is %s, is in no dead letter", at, g.reason)
	}
}

// unknownTypes are what a newer build may send.
func unknownTypes(t *testing.T, s *stack) {
	before, counted := map[string]int{}, map[string]int{}
	for service, port := range portOf {
		before[service] = s.metric(t, port, "messages_unknown_total")
	}
	c := s.client(t)
	var all []*kgo.Record
	for _, topic := range eventTopics {
		id := uuid.NewString()
		r := &kgo.Record{Topic: topic, Key: []byte("ord_new"), Value: fmt.Appendf(nil,
			`{"eventId":%q,"traceId":"0af7651916cd43dd8448eb211c80319c","type":"OrderGiftWrapped","occurredAt":"2026-01-02T03:04:05Z","data":{"orderId":"ord_new"}}`, id)}
		all = append(all, r)
		for _, service := range readers[topic] {
			counted[service]++
		}
	}
	s.write(t, c, all...)
	for _, r := range all {
		s.strange.add(r)
	}
	s.consumed(t, all...)
	for service, port := range portOf {
		if got := s.metric(t, port, "messages_unknown_total") - before[service]; got != counted[service] {
			t.Errorf("%s has counted %d, want %d", service, got, counted[service])
		}
		for _, r := range s.read(t, messages.DeadLetters(service)) {
			if bytes.Contains(r.Value, []byte("OrderGiftWrapped")) {
				t.Errorf("%s has a dead letter of it: %v", service, headersOf(r))
			}
		}
	}
}

// metric is the sum of a counter over all its labels, or with name{label="value"} that of one series;
// 0 where it is not shown yet.
func (s *stack) metric(t *testing.T, port int, name string) int {
	t.Helper()
	res, err := s.http.Get(s.url(port, "/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(series, "{"); bare == name || series == name {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum += n
		}
	}
	return int(sum)
}
