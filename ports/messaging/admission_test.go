package messaging_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"millrace/app/messages"
	"millrace/ports/messaging"
)

func TestGarbageIsDeadLetteredWithItsReasonAndTheNextMessageFlows(t *testing.T) {
	t.Parallel()
	envelope := func(id, typ, data string) string {
		return fmt.Sprintf(`{"eventId":%q,"traceId":"","type":%q,"occurredAt":"2026-01-02T03:04:05Z","data":%s}`, id, typ, data)
	}
	for name, garbage := range map[string]struct {
		record record
		reason string
	}{
		"not JSON":                 {record{key: "ord_1", value: "\x00\xff not JSON"}, "not_an_envelope"},
		"nothing at all":           {record{}, "not_an_envelope"},
		"an array":                 {record{key: "ord_1", value: `[1,2]`}, "not_an_envelope"},
		"no id":                    {record{key: "ord_1", value: envelope("", "PaymentSucceeded", `{"orderId":"ord_1"}`)}, "not_an_envelope"},
		"no type":                  {record{key: "ord_1", value: envelope(eventID, "", `{"orderId":"ord_1"}`)}, "not_an_envelope"},
		"no data":                  {record{key: "ord_1", value: envelope(eventID, "PaymentSucceeded", `null`)}, "not_an_envelope"},
		"wrong types":              {record{key: "ord_1", value: envelope(eventID, "PaymentSucceeded", `{"orderId":"ord_1","amount":"much"}`)}, "bad_data"},
		"no order":                 {record{key: "ord_1", value: envelope(eventID, "PaymentSucceeded", `{}`)}, "bad_data"},
		"no key":                   {record{value: good(t, paid).value}, "missing_key"},
		"another order's key":      {record{key: "ord_2", value: good(t, paid).value}, "key_mismatch"},
		"a type of another topic":  {record{key: "ord_1", value: envelope(eventID, "OrderCreated", `{"orderId":"ord_1"}`)}, "wrong_topic"},
		"2 MB":                     {record{key: "ord_1", value: strings.Repeat("x", 2<<20)}, "record_too_large"},
		"someone else's id on it":  {record{key: "ord_1", value: "{}", headers: map[string]string{"eventId": eventID}}, "not_an_envelope"},
		"bytes no database stores": {record{key: "ord\x00\xff", value: "\x00", headers: map[string]string{"eventType": "a\x00\xffb", "\x00": "\xff\x00"}}, "not_an_envelope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handled := 0
				r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { handled++; return nil }))
				bad := r.put(messages.PaymentEvents, garbage.record)
				<-r.put(messages.PaymentEvents, good(t, paid)).acked
				<-bad.acked
				kept := r.letters.all()
				if handled != 1 || len(kept) != 1 {
					t.Fatalf("%d handled, dead letters: %s", handled, brief(kept))
				}
				d := kept[0]
				if d.Reason != garbage.reason || d.Attempts != 1 || d.Error == "" || !bytes.Equal(d.Payload, []byte(garbage.record.value)) || string(d.Key) != garbage.record.key {
					t.Errorf("the dead letter is %s, %d attempts, %q", d.Reason, d.Attempts, d.Error)
				}
				if d.MessageID != messages.ForeignID(messages.PaymentEvents, 3, 0, written) {
					t.Errorf("it is named %s: a message of that id would count as its duplicate", d.MessageID)
				}
				for _, text := range []string{d.OrderID, d.Type, d.Error, fmt.Sprint(d.Headers)} {
					if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
						t.Errorf("%q cannot be stored", text)
					}
				}
			})
		})
	}
}

func TestAnUnknownTypeIsAcknowledgedAndCounted(t *testing.T) {
	t.Parallel()
	refund := messaging.Service{Name: "payment-service", Handlers: []messaging.Handler{
		messaging.On("refund_payment", func(context.Context, *messages.RefundPayment) error { return nil }),
		messaging.On("take_payment", func(context.Context, *messages.OrderCreated) error { return nil }),
	}}
	for _, topic := range []string{messages.OrderEvents, messages.PaymentCommands} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, refund)
			rec := record{value: `{"eventId":"` + eventID + `","type":"OrderGiftWrapped","occurredAt":"2026-01-02T03:04:05Z","data":{"ribbon":true}}`}
			<-r.put(topic, rec).acked
			if !slices.Equal(r.seen.unknown, []string{"payment-service OrderGiftWrapped"}) || len(r.letters.all()) != 0 {
				t.Errorf("unknown %v, dead letters %s", r.seen.unknown, brief(r.letters.all()))
			}
			if !slices.Equal(r.seen.outcomes, []string{"payment-service." + topic + " unknown"}) {
				t.Errorf("outcomes %v", r.seen.outcomes)
			}
		})
	}
}

// A broker that came back without its disk counts places from zero.
func TestWhatLiesAtThePlaceOfALostRecordIsADeadLetterOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { return nil }))
		lost := record{key: "ord_1", value: "not an envelope"}
		<-r.put(messages.PaymentEvents, lost).acked
		r.topics[messages.PaymentEvents].next = 0
		another := record{key: "ord_2", value: "not one either", later: time.Hour}
		<-r.put(messages.PaymentEvents, another).acked
		kept := r.letters.all()
		if len(kept) != 2 || kept[0].Offset != kept[1].Offset || kept[0].ID == kept[1].ID || kept[0].MessageID == kept[1].MessageID {
			t.Errorf("dead letters: %s", brief(kept))
		}
	})
}

func TestAMessageForOthersIsSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error {
			t.Error("it was handled")
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, &messages.PaymentFailed{OrderID: "ord_1"})).acked
		if len(r.seen.unknown) != 0 || !slices.Equal(r.seen.outcomes, []string{"inventory-service.payment.events skipped"}) {
			t.Errorf("unknown %v, outcomes %v", r.seen.unknown, r.seen.outcomes)
		}
	})
}

func TestAHandlerGetsItsMessageAndWhatLedToIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var gotCreated *messages.OrderCreated
		var gotCommand *messages.RefundPayment
		var event, command messages.Cause
		r := run(t, messaging.Service{Name: "payment-service", Handlers: []messaging.Handler{
			messaging.On("take_payment", func(ctx context.Context, m *messages.OrderCreated) error {
				gotCreated, event = m, messages.CauseOf(ctx)
				return nil
			}),
			messaging.On("refund_payment", func(ctx context.Context, m *messages.RefundPayment) error {
				gotCommand, command = m, messages.CauseOf(ctx)
				return nil
			}),
		}})
		created := &messages.OrderCreated{OrderID: "ord_1", UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 2, Price: 3}}, Currency: "LKR", Total: 6, PaymentMethod: "pm_card_ok"}
		refund := &messages.RefundPayment{OrderID: "ord_1", Reason: "out_of_stock"}
		<-r.put(messages.OrderEvents, good(t, created)).acked
		<-r.put(messages.PaymentCommands, good(t, refund)).acked

		if gotCreated == nil || gotCreated.Total != 6 || len(gotCreated.Items) != 1 || gotCommand == nil || *gotCommand != *refund {
			t.Errorf("handlers got %+v and %+v", gotCreated, gotCommand)
		}
		for _, cause := range []*messages.Cause{&event, &command} {
			d := cause.Delivery.Letter()
			if d.MessageID != eventID || d.OrderID != "ord_1" || d.Consumer != cause.Consumer || d.Handler != cause.Handler || len(d.Payload) == 0 {
				t.Errorf("to be parked it is %s", brief([]messages.DeadLetter{d}))
			}
			cause.Delivery = nil
		}
		want := messages.Cause{
			Consumer: "payment-service.order.events", MessageID: eventID, CausationID: eventID, CorrelationID: "ord_1",
			Handler: "take_payment", Type: "OrderCreated", Topic: messages.OrderEvents, Partition: 3, Offset: 0,
		}
		if event != want {
			t.Errorf("the event's cause is %+v", event)
		}
		want.Consumer, want.Handler = "payment-service.payment.commands", "refund_payment"
		want.Type, want.Topic = "RefundPayment", messages.PaymentCommands
		if command != want {
			t.Errorf("the command's cause is %+v", command)
		}
	})
}

func TestARetriedHandlerGetsAMessageThatItsLastAttemptDidNotTouch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		r := run(t, inventory(func(_ context.Context, m *messages.PaymentSucceeded) error {
			if m.Amount != 2400 {
				t.Errorf("attempt %d sees the amount %d", attempts, m.Amount)
			}
			m.Amount = 0
			if attempts++; attempts == 1 {
				return errMoved
			}
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
	})
}

func TestTheSpanOfADeliveryIsChildOfItsWriterAndLinkedToIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		var inside trace.SpanContext
		r := run(t, inventory(func(ctx context.Context, _ *messages.PaymentSucceeded) error {
			inside = trace.SpanContextFromContext(ctx)
			return errRefused
		}), func(c *messaging.Config) { c.Tracing = provider })
		<-r.put(messages.PaymentEvents, good(t, paid)).acked

		ended := spans.Ended()
		if len(ended) != 1 {
			t.Fatalf("%d spans", len(ended))
		}
		s := ended[0]
		if s.Name() != "process payment.events" || s.SpanKind() != trace.SpanKindConsumer || s.SpanContext().SpanID() != inside.SpanID() {
			t.Errorf("the span is %s %s", s.Name(), s.SpanKind())
		}
		const writer = "00f067aa0ba902b7"
		if s.Parent().SpanID().String() != writer || len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID().String() != writer ||
			s.SpanContext().TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
			t.Errorf("its parent is %s, its links %v", s.Parent().SpanID(), s.Links())
		}
		if s.Status().Code != codes.Error || s.Status().Description != errRefused.Code {
			t.Errorf("its status is %+v", s.Status())
		}
		has := map[attribute.Key]string{}
		for _, a := range s.Attributes() {
			has[a.Key] = a.Value.String()
		}
		for key, want := range map[attribute.Key]string{
			"messaging.system":                   "kafka",
			"messaging.operation.name":           "process",
			"messaging.destination.name":         "payment.events",
			"messaging.destination.partition.id": "3",
			"messaging.consumer.group.name":      "inventory-service.payment.events",
			"messaging.kafka.offset":             "0",
			"messaging.message.id":               eventID,
			"messaging.message.conversation_id":  "ord_1",
			"millrace.handler":                   "reserve_stock",
			"millrace.outcome":                   "dead",
		} {
			if has[key] != want {
				t.Errorf("%s is %q, not %q", key, has[key], want)
			}
		}
	})
}
