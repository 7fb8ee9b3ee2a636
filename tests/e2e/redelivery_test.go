package e2e

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/app/messages"
)

// readers says which services read a topic; their groups are "<service>.<topic>".
var readers = map[string][]string{
	messages.OrderEvents:       {messages.OrderService, messages.PaymentService, messages.NotificationService, messages.Orchestrator},
	messages.PaymentEvents:     {messages.InventoryService, messages.Orchestrator},
	messages.InventoryEvents:   {messages.Orchestrator},
	messages.PaymentCommands:   {messages.PaymentService},
	messages.InventoryCommands: {messages.InventoryService},
}

// consumed waits until every reader has acknowledged the records.
func (s *stack) consumed(t *testing.T, records ...*kgo.Record) {
	t.Helper()
	admin := kadm.NewClient(s.client(t))
	left := map[string]*kgo.Record{} // group to the record it has to come past
	for _, r := range records {
		for _, service := range readers[r.Topic] {
			left[service+"."+r.Topic+"/"+placeOf(r).String()] = r
		}
	}
	await(t, soon, "all of it is acknowledged", func() bool {
		for at, r := range left {
			group, _, _ := strings.Cut(at, "/")
			committed, err := admin.FetchOffsets(t.Context(), group)
			if err != nil {
				return false
			}
			if o, ok := committed.Lookup(r.Topic, r.Partition); !ok || o.At <= r.Offset {
				return false
			}
			delete(left, at)
		}
		return true
	})
}

// redelivery sends every message of an order thrice more, as Kafka may, and once more as a message
// of its own that tells the same.
func redelivery(t *testing.T, s *stack) {
	c := s.client(t)
	undone := s.awaitEnd(t, s.place(t, wish{sku: "SKU-NONE", user: newUser()}), soon)
	done := s.awaitEnd(t, s.place(t, wish{sku: "SKU-007", user: newUser()}), soon)
	for _, o := range []order{done, undone} {
		s.mailed(t, o.OrderID)
		stock := s.stock(t)["SKU-007"]
		s.awaitSent(t, o.OrderID, "OrderCompleted")

		var copies []*kgo.Record
		for _, r := range s.ofOrder(t, o.OrderID) {
			for range 3 {
				copies = append(copies, copyOf(r, r.Value, headersOf(r)["eventId"]))
			}
			anew := uuid.NewString()
			copies = append(copies, copyOf(r, withID(t, r.Value, anew), anew))
		}
		s.forgetMarks(t, o.OrderID)
		s.write(t, c, copies...)
		for _, r := range copies {
			s.strange.add(r)
		}
		s.consumed(t, copies...)

		if again := s.show(t, o.OrderID); !reflect.DeepEqual(again, o) {
			t.Errorf("the order was\n%+v\nand is\n%+v", o, again)
		}
		if again := s.stock(t)["SKU-007"]; again != stock {
			t.Errorf("the shelf was %+v and is %+v", stock, again)
		}
		s.paid(t, o, s.ledger(t))
		s.mailed(t, o.OrderID)
	}
}

// ofOrder gives every message about an order.
func (s *stack) ofOrder(t *testing.T, orderID string) []*kgo.Record {
	t.Helper()
	var all []*kgo.Record
	for _, r := range s.read(t, eventTopics...) {
		if string(r.Key) == orderID {
			all = append(all, r)
		}
	}
	return all
}

// awaitSent waits until a message about an order is on Kafka.
func (s *stack) awaitSent(t *testing.T, orderID, typ string) {
	t.Helper()
	await(t, soon, typ+" of "+orderID+" is on Kafka", func() bool {
		for _, r := range s.ofOrder(t, orderID) {
			if headersOf(r)["eventType"] == typ {
				return true
			}
		}
		return false
	})
}

func copyOf(r *kgo.Record, value []byte, id string) *kgo.Record {
	c := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: value}
	for _, h := range r.Headers {
		if h.Key == "eventId" || h.Key == "ce_id" {
			h.Value = []byte(id)
		}
		c.Headers = append(c.Headers, h)
	}
	return c
}

func withID(t *testing.T, value []byte, id string) []byte {
	t.Helper()
	var e map[string]json.RawMessage
	if err := json.Unmarshal(value, &e); err != nil {
		t.Fatal(err)
	}
	e["eventId"] = json.RawMessage(`"` + id + `"`)
	value, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// forgetMarks takes away what Redis remembers of an order's messages, which may be nothing: the
// database has to know.
func (s *stack) forgetMarks(t *testing.T, orderID string) {
	t.Helper()
	cache := redis.NewClient(&redis.Options{Addr: s.redis})
	defer cache.Close()
	var keys []string
	for _, r := range s.ofOrder(t, orderID) {
		for _, service := range readers[r.Topic] {
			keys = append(keys, "dedupe:"+service+"."+r.Topic+":"+headersOf(r)["eventId"])
		}
	}
	if err := cache.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
}
