package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"millrace/adapters/telemetry"
)

// contract is every metric that users rely on, with its labels in order.
var contract = map[string]string{
	"orders_submitted_total":   "counter",
	"orders_refused_total":     "counter reason",
	"orders_completed_total":   "counter reason status",
	"order_streams_open":       "gauge",
	"payments_failed_total":    "counter reason",
	"order_completion_seconds": "histogram",
	"messages_handled_total":   "counter handler outcome",
	"message_handling_seconds": "histogram handler",
	"messages_duplicate_total": "counter handler",
	"dead_letters_total":       "counter handler",
	"dead_letters_waiting":     "gauge handler",
	"messages_parked":          "gauge handler",
	"messages_parked_total":    "counter handler",
	"outbox_pending":           "gauge",
	"outbox_oldest_seconds":    "gauge",
	"outbox_published_total":   "counter",
	"outbox_dead_total":        "counter topic",
	"outbox_dead_waiting":      "gauge",
	"consumer_lag":             "gauge group topic",
	"consumer_sessions_total":  "counter group",
	"sagas_open":               "gauge state",
	"sagas_stuck":              "gauge state",
	"circuit_state":            "gauge dependency",
	"commit_batch_size":        "histogram",
	"http_requests_total":      "counter method route status",
	"http_request_seconds":     "histogram method route",
}

// tellAll makes every metric appear.
func tellAll(m *telemetry.Metrics) {
	const took = 3 * time.Millisecond
	m.OrderSubmitted()
	m.OrderRefused("under_way")
	m.OrderCompleted("FAILED", "out_of_stock", took)
	m.OrderStreams(2)
	m.PaymentFailed("payment_declined")
	m.SagasOpen(map[string]int{"awaiting_payment": 2})
	m.SagasStuck(map[string]int{"undoing_payment": 1})
	m.Handled("payment.OrderCreated", "done", took)
	m.Unknown("payment-service", "OrderArchived")
	m.Duplicate("payment.OrderCreated")
	m.DeadLettered("payment.OrderCreated")
	m.Parked("payment.OrderCreated")
	m.MessagesParked(map[string]int{"payment.OrderCreated": 2})
	m.DeadLettersWaiting(map[string]int{"payment.OrderCreated": 1})
	m.ConsumerLag("payment-service.order.events", "order.events", 5)
	m.ConsumerSession("payment-service.order.events")
	m.CommitBatch(7)
	m.CircuitState("psp", "open")
	m.IntentAttempted("capture", "done", took)
	m.Published(3)
	m.Pending(4, 2*time.Second)
	m.Dead("order.events")
	m.OutboxDeadWaiting(1)
	m.Request("POST", "/api/v1/orders", 202, took)
}

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if answer.Code != 200 {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

var (
	typeLine = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	label    = regexp.MustCompile(`([a-z_]+)="`)
)

// shape gives each metric's type and labels as they are scraped.
func shape(text string) map[string]string {
	got := make(map[string]string)
	for _, line := range typeLine.FindAllStringSubmatch(text, -1) {
		name, shape := line[1], line[2]
		sample := regexp.MustCompile(`(?m)^` + name + `(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`).FindStringSubmatch(text)
		var labels []string
		for _, l := range label.FindAllStringSubmatch(sample[1], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		got[name] = strings.Join(append([]string{shape}, labels...), " ")
	}
	return got
}

func TestEveryMetricOfTheContractHasItsNameTypeAndLabels(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("order-service")
	tellAll(m)
	got := shape(scrape(t, m))
	for name, want := range contract {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
	}
}

func TestTheMetricsAreWhatPrometheusRecommends(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("order-service")
	tellAll(m)
	problems, err := promlint.New(strings.NewReader(scrape(t, m))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestTheMetricsSayWhatWasTold(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("order-service")
	tellAll(m)
	text := scrape(t, m)
	for _, line := range []string{
		`orders_completed_total{reason="out_of_stock",status="FAILED"} 1`,
		`order_completion_seconds_bucket{le="0.0025"} 0`,
		`order_completion_seconds_bucket{le="0.005"} 1`,
		`order_completion_seconds_bucket{le="60"} 1`,
		`messages_unknown_total 1`,
		`circuit_state{dependency="psp"} 2`,
		`consumer_lag{group="payment-service.order.events",topic="order.events"} 5`,
		`outbox_pending 4`,
		`outbox_oldest_seconds 2`,
		`outbox_published_total 3`,
		`http_requests_total{method="POST",route="/api/v1/orders",status="202"} 1`,
		`service_info{service="order-service"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if !strings.Contains(text, "go_goroutines ") || !strings.Contains(text, "process_cpu_seconds_total ") {
		t.Error("the runtime's or the process's own metrics are missing")
	}
}

func TestAStateThatNoSagaIsInAnyMoreGoesToZeroAndStays(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("orchestrator")
	m.SagasOpen(map[string]int{"awaiting_payment": 2, "undoing_payment": 1})
	m.SagasOpen(map[string]int{"awaiting_payment": 1})
	text := scrape(t, m)
	for _, line := range []string{`sagas_open{state="awaiting_payment"} 1`, `sagas_open{state="undoing_payment"} 0`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

func TestServicesInOneProcessDoNotMixAndShowOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	ordering, payment := telemetry.NewMetrics("order-service"), telemetry.NewMetrics("payment-service")
	ordering.OrderSubmitted()
	if text := scrape(t, payment); strings.Contains(text, "orders_submitted_total") {
		t.Error("payment-service shows orders_submitted_total")
	}
	if text := scrape(t, telemetry.NewMetrics("order-service")); !strings.Contains(text, "orders_submitted_total 0\n") {
		t.Error("order-service does not show that it has submitted no order yet")
	}
}

func TestAnActThatIsRefusedForGoodCountsAsADeadLetter(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("payment-service")
	for _, outcome := range []string{"done", "postponed", "buried"} {
		m.IntentAttempted("refund", outcome, time.Millisecond)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if text := w.Body.String(); !strings.Contains(text, "\ndead_letters_total{handler=\"intent_refund\"} 1\n") {
		t.Errorf("it is not counted in\n%s", text)
	}
}
