package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"millrace/app/messages"
)

func TestOneOrderIsOneTrace(t *testing.T) {
	skipShort(t)
	t.Parallel()
	got := newCollector(t)
	s := newEmbedded(t)
	s.start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+got.url, "OTEL_BSP_SCHEDULE_DELAY=100")
	id := s.place(t, wish{})
	s.awaitEnd(t, id, soon)
	s.mailed(t, id)
	s.awaitSent(t, id, "OrderCompleted")
	trace := headersOf(s.ofOrder(t, id)[0])["traceId"]
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the spans of trace %s:\n%s", trace, drawn(got.of(trace)))
		}
	})
	for _, w := range wayOfAnOrder {
		await(t, 15*time.Second, "the trace has "+w.String(), func() bool { return w.in(got.of(trace)) != nil })
	}
	passed := `messages_handled_total{handler="` + messages.PaymentService + `.order.events",outcome="skipped"}`
	await(t, soon, "the payment service has passed over how the order ended", func() bool { return s.metric(t, paymentsPort, passed) > 0 })
	var all []collected
	await(t, 15*time.Second, "every span has come", func() bool { // children are sent before their parents end
		all = got.of(trace)
		return !slices.ContainsFunc(all, func(c collected) bool { return c.parent != "" && len(above(all, c)) == 0 })
	})
	connected(t, all)
	for _, c := range all {
		if c.attributes["millrace.outcome"] == "skipped" {
			t.Errorf("%q became a message for %s, which has no handler for it", c.name, c.attributes["messaging.consumer.group.name"])
		}
	}
	for i, w := range wayOfAnOrder {
		if i == 1 { // the first two have one name
			continue
		}
		if under := w.under; under != "" && !slices.ContainsFunc(above(all, *w.in(all)), func(c collected) bool { return c.name == under }) {
			t.Errorf("%s does not come from %s", w, under)
		}
	}
}

const (
	server   = tracepb.Span_SPAN_KIND_SERVER
	client   = tracepb.Span_SPAN_KIND_CLIENT
	producer = tracepb.Span_SPAN_KIND_PRODUCER
	consumer = tracepb.Span_SPAN_KIND_CONSUMER
	internal = tracepb.Span_SPAN_KIND_INTERNAL
)

// stop is a span that an order that goes well must leave, with another that it comes from.
type stop struct {
	name       string
	kind       tracepb.Span_SpanKind
	attributes string // "key=value"
	under      string
}

func (w stop) String() string { return fmt.Sprintf("%s %q %s", w.kind, w.name, w.attributes) }

const group = "messaging.consumer.group.name="

var wayOfAnOrder = []stop{
	{"POST /api/v1/orders", server, "server.address=" + messages.APIGateway, ""},
	{"POST /api/v1/orders", server, "server.address=" + messages.OrderService, "POST /api/v1/orders"},
	{"sql.tx.commit", client, "", "POST /api/v1/orders"},
	{"create order.events", producer, "", "POST /api/v1/orders"},
	{"send order.events", client, "", "create order.events"},
	{"process order.events", consumer, group + messages.Orchestrator + ".order.events", "create order.events"},
	{"process order.events", consumer, group + messages.PaymentService + ".order.events", "create order.events"},
	{"intent capture", internal, "", "process order.events"},
	{"HTTP POST", client, "", "intent capture"},
	{"create payment.events", producer, "", "intent capture"},
	{"send payment.events", client, "", "create payment.events"},
	{"process payment.events", consumer, group + messages.Orchestrator + ".payment.events", "create payment.events"},
	{"process payment.events", consumer, group + messages.InventoryService + ".payment.events", "create payment.events"},
	{"create inventory.events", producer, "", "process payment.events"},
	{"send inventory.events", client, "", "create inventory.events"},
	{"process inventory.events", consumer, group + messages.Orchestrator + ".inventory.events", "create inventory.events"},
	{"process order.events", consumer, group + messages.NotificationService + ".order.events", "create order.events"},
	{"intent mail", internal, "", "process order.events"},
	{"send smtp", client, "", "intent mail"},
}

// in finds the stop among spans.
func (w stop) in(all []collected) *collected {
	for i, c := range all {
		fits := c.name == w.name && c.kind == w.kind
		key, value, _ := strings.Cut(w.attributes, "=")
		if fits && c.attributes[key] == value {
			return &all[i]
		}
	}
	return nil
}

// above gives the spans that one comes from, nearest first.
func above(all []collected, c collected) []collected {
	var way []collected
	for c.parent != "" {
		i := slices.IndexFunc(all, func(p collected) bool { return p.id == c.parent })
		if i < 0 {
			break
		}
		c = all[i]
		way = append(way, c)
	}
	return way
}

// connected checks that all spans hang together under one root.
func connected(t *testing.T, all []collected) {
	t.Helper()
	known := map[string]bool{}
	for _, c := range all {
		known[c.id] = true
	}
	roots := 0
	for _, c := range all {
		switch {
		case c.parent == "":
			roots++
		case !known[c.parent]:
			t.Errorf("%s %q comes from a span that is not there", c.kind, c.name)
		case (c.kind == consumer || strings.HasPrefix(c.name, "send ") && c.name != "send smtp") && !slices.Contains(c.links, c.parent):
			t.Errorf("%s %q is not linked to the span that created its message", c.kind, c.name)
		}
		for _, link := range c.links {
			if !known[link] {
				t.Errorf("%s %q is linked to a span that is not there", c.kind, c.name)
			}
		}
	}
	if roots != 1 {
		t.Errorf("the trace has %d roots", roots)
	}
}

// drawn is the trace as an indented list.
func drawn(all []collected) string {
	var b strings.Builder
	var draw func(parent string, depth int)
	draw = func(parent string, depth int) {
		for _, c := range all {
			if c.parent == parent {
				fmt.Fprintf(&b, "%s%s %q %s\n", strings.Repeat("  ", depth), strings.TrimPrefix(c.kind.String(), "SPAN_KIND_"), c.name,
					c.attributes["messaging.consumer.group.name"])
				draw(c.id, depth+1)
			}
		}
	}
	draw("", 0)
	return b.String()
}
