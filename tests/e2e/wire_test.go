package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/api/apitest"
	"millrace/app/messages"
)

// strange are the places of the records that the tests themselves wrote and that need not be valid.
type strange struct {
	mu     sync.Mutex
	places map[place]bool
}

// place is where a record lies.
type place struct {
	topic     string
	partition int32
	offset    int64
}

func (p place) String() string { return fmt.Sprintf("%s[%d]@%d", p.topic, p.partition, p.offset) }

func placeOf(r *kgo.Record) place { return place{r.Topic, r.Partition, r.Offset} }

func (s *strange) add(r *kgo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places == nil {
		s.places = map[place]bool{}
	}
	s.places[placeOf(r)] = true
}

func (s *strange) has(r *kgo.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places[placeOf(r)]
}

// client connects to the stack's broker.
func (s *stack) client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.kafka), kgo.ProducerBatchMaxBytes(4 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// write produces records and fills in where they lie.
func (s *stack) write(t *testing.T, c *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// read gives everything that topics hold now.
func (s *stack) read(t *testing.T, topics ...string) []*kgo.Record {
	t.Helper()
	admin := kadm.NewClient(s.client(t))
	starts, err := admin.ListStartOffsets(t.Context(), topics...)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(t.Context(), topics...)
	if err != nil {
		t.Fatal(err)
	}
	from, left := map[string]map[int32]kgo.Offset{}, map[place]bool{}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if end.Offset <= start.Offset {
			return
		}
		if from[end.Topic] == nil {
			from[end.Topic] = map[int32]kgo.Offset{}
		}
		from[end.Topic][end.Partition] = kgo.NewOffset().At(start.Offset)
		left[place{end.Topic, end.Partition, end.Offset - 1}] = true
	})
	if len(left) == 0 {
		return nil
	}
	c := s.client(t, kgo.ConsumePartitions(from))
	var all []*kgo.Record
	for len(left) > 0 {
		fetched := c.PollFetches(t.Context())
		if err := fetched.Err(); err != nil {
			t.Fatalf("read %v: %v", topics, err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			delete(left, placeOf(r))
		})
	}
	return all
}

var eventTopics = []string{
	messages.OrderEvents, messages.PaymentEvents, messages.InventoryEvents, messages.PaymentCommands, messages.InventoryCommands,
}

// wire checks every message that the services sent, and that every order has those that it must.
func (s *stack) wire(t *testing.T, all []order) {
	t.Helper()
	validator, err := apitest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string][]string{} // types by order
	for _, r := range s.read(t, eventTopics...) {
		if s.strange.has(r) {
			continue
		}
		if err := validator.Record(r.Value); err != nil {
			t.Errorf("%v is not as its schema says: %v\n%s", placeOf(r), err, r.Value)
		}
		typ := headed(t, r)
		sent[string(r.Key)] = append(sent[string(r.Key)], typ)
	}
	for _, o := range all {
		for _, typ := range []string{"OrderCreated", "OrderCompleted"} {
			if !slices.Contains(sent[o.OrderID], typ) {
				t.Errorf("%s has ended, and there is no %s of it on Kafka: %v", o.OrderID, typ, sent[o.OrderID])
			}
		}
	}
}

var (
	hex32       = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hex16       = regexp.MustCompile(`^[0-9a-f]{16}$`)
	traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]$`)
	uuidForm    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

// headed checks a record's key and headers against its envelope and gives its type.
func headed(t *testing.T, r *kgo.Record) string {
	t.Helper()
	var e struct {
		EventID, TraceID, Type, OccurredAt string
		Data                               struct{ OrderID string }
	}
	if err := json.Unmarshal(r.Value, &e); err != nil {
		t.Errorf("%v: %v", placeOf(r), err)
		return ""
	}
	h := headersOf(r)
	spec, _ := messages.SpecOf(e.Type)
	parent := append(traceparent.FindStringSubmatch(h["traceparent"]), "", "", "")
	for name, want := range map[string]string{
		"eventId": e.EventID, "traceId": e.TraceID, "eventType": e.Type, "occurredAt": e.OccurredAt,
		"correlationId": e.Data.OrderID, "content-type": "application/json",
		"ce_id": e.EventID, "ce_type": e.Type, "ce_time": e.OccurredAt, "ce_specversion": "1.0",
		"ce_subject": e.Data.OrderID, "ce_source": "/" + h["producer"], "spanId": parent[2],
	} {
		if h[name] != want || want == "" {
			t.Errorf("%v, a %s, has header %s %q, want %q", placeOf(r), e.Type, name, h[name], want)
		}
	}
	_, caused := h["causationId"]
	switch {
	case string(r.Key) != e.Data.OrderID:
		t.Errorf("%v, a %s of %s, has key %q", placeOf(r), e.Type, e.Data.OrderID, r.Key)
	case r.Topic != spec.Topic:
		t.Errorf("%v is a %s, which belongs on %s", placeOf(r), e.Type, spec.Topic)
	case !uuidForm.MatchString(e.EventID) || !hex32.MatchString(e.TraceID) || !hex16.MatchString(h["spanId"]) || parent[1] != e.TraceID:
		t.Errorf("%v, a %s, has ids %s %s %s and traceparent %q", placeOf(r), e.Type, e.EventID, e.TraceID, h["spanId"], h["traceparent"])
	case !caused || e.Type != "OrderCreated" && e.Type != "OrderCancelRequested" && h["causationId"] == "":
		t.Errorf("%v, a %s, does not say what caused it", placeOf(r), e.Type)
	}
	return e.Type
}

func headersOf(r *kgo.Record) map[string]string {
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	return h
}
