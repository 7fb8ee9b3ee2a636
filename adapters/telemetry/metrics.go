package telemetry

import (
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"millrace/app/messages"
)

// Metrics are the metrics of one service, on a registry of their own, so that several services in
// one process do not mix. Its methods satisfy the observers of ports, sagas and adapters. No
// label is ever an id.
type Metrics struct {
	registry *prometheus.Registry

	ordersSubmitted *prometheus.CounterVec
	ordersRefused   *prometheus.CounterVec
	ordersCompleted *prometheus.CounterVec
	orderCompletion *prometheus.HistogramVec
	orderStreams    *prometheus.GaugeVec
	paymentsFailed  *prometheus.CounterVec
	sagasOpen       *levels
	sagasStuck      *levels

	handled      *prometheus.CounterVec
	handling     *prometheus.HistogramVec
	duplicates   *prometheus.CounterVec
	parked       *prometheus.CounterVec
	parkedNow    *levels
	unknown      *prometheus.CounterVec
	deadLetters  *prometheus.CounterVec
	deadWaiting  *levels
	consumerLag  *prometheus.GaugeVec
	sessions     *prometheus.CounterVec
	commitBatch  *prometheus.HistogramVec
	circuitState *prometheus.GaugeVec
	intents      *prometheus.CounterVec
	intentTime   *prometheus.HistogramVec

	outboxPending   *prometheus.GaugeVec
	outboxOldest    *prometheus.GaugeVec
	outboxPublished *prometheus.CounterVec
	outboxDead      *prometheus.CounterVec
	outboxWaiting   *prometheus.GaugeVec

	requests    *prometheus.CounterVec
	requestTime *prometheus.HistogramVec
}

// latency is the buckets of everything that takes time, in seconds: 1 ms to 60 s.
func latency() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

// NewMetrics makes the metrics of a service, with those of the Go runtime and the process. What
// the service never counts is not shown.
func NewMetrics(service string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	m.ordersSubmitted = m.counter("orders_submitted_total", "Orders that were accepted.")
	m.ordersRefused = m.counter("orders_refused_total", "Orders that were not let in, because more come than can be worked off.", "reason")
	m.ordersCompleted = m.counter("orders_completed_total", "Orders that reached a terminal status.", "status", "reason")
	m.orderCompletion = m.histogram("order_completion_seconds", "Time from accepting an order to its terminal status.", latency())
	m.orderStreams = m.gauge("order_streams_open", "Streams of orders' events that are open.")
	m.paymentsFailed = m.counter("payments_failed_total", "Payments that failed.", "reason")
	m.sagasOpen = m.levels("sagas_open", "Sagas that have not ended, by the step they are in.", "state")
	m.sagasStuck = m.levels("sagas_stuck", "Sagas that have been in a step for too long.", "state")

	m.handled = m.counter("messages_handled_total", "Messages that a handler was done with.", "handler", "outcome")
	m.handling = m.histogram("message_handling_seconds", "Time that a handler took for a message, with its retries.", latency(), "handler")
	m.duplicates = m.counter("messages_duplicate_total", "Messages that had been handled before.", "handler")
	m.parked = m.counter("messages_parked_total", "Messages that were parked behind a dead letter of their order.", "handler")
	m.parkedNow = m.levels("messages_parked", "Messages that are parked behind a dead letter of their order.", "handler")
	m.unknown = m.counter("messages_unknown_total", "Messages of a type that this build does not know.")
	m.deadLetters = m.counter("dead_letters_total", "Messages that a handler gave up, and acts that were refused for good.", "handler")
	m.deadWaiting = m.levels("dead_letters_waiting", "Dead letters that wait for a person.", "handler")
	m.consumerLag = m.gauge("consumer_lag", "Messages that a consumer group has not acknowledged.", "group", "topic")
	m.sessions = m.counter("consumer_sessions_total", "Sessions of a consumer group that began: the first, and one for each rebalance.", "group")
	m.commitBatch = m.histogram("commit_batch_size", "Units of work that were committed in one transaction.",
		[]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000})
	m.circuitState = m.gauge("circuit_state", "Circuit breaker of a dependency: 0 closed, 1 half-open, 2 open.", "dependency")
	m.intents = m.counter("intent_attempts_total", "Attempts at an act in the outside world.", "kind", "outcome")
	m.intentTime = m.histogram("intent_attempt_seconds", "Time that an attempt at an act took.", latency(), "kind")

	m.outboxPending = m.gauge("outbox_pending", "Outbox rows that have not been published.")
	m.outboxOldest = m.gauge("outbox_oldest_seconds", "Age of the oldest outbox row that has not been published.")
	m.outboxPublished = m.counter("outbox_published_total", "Outbox rows that Kafka has acknowledged.")
	m.outboxDead = m.counter("outbox_dead_total", "Outbox rows that can never be published.", "topic")
	m.outboxWaiting = m.gauge("outbox_dead_waiting", "Outbox rows that were given up and wait for a person.")

	m.requests = m.counter("http_requests_total", "HTTP requests that were answered.", "route", "method", "status")
	m.requestTime = m.histogram("http_request_seconds", "Time that the answer to an HTTP request took; of a stream, until it began.", latency(), "route", "method")

	m.gauge("service_info", "1 for the service that runs here.", "service").WithLabelValues(service).Set(1)
	m.begin(service)
	return m
}

// begin shows at zero what the service will count, so that its first event is seen as a change.
// Metrics with labels begin with their first event.
func (m *Metrics) begin(service string) {
	switch service {
	case messages.APIGateway:
		return // it owns nothing
	case messages.OrderService:
		m.ordersSubmitted.WithLabelValues()
		m.orderStreams.WithLabelValues()
	case messages.Orchestrator:
		m.orderCompletion.WithLabelValues()
	}
	m.outboxPublished.WithLabelValues()
	m.commitBatch.WithLabelValues()
}

// Handler answers /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) levels(name, help, label string) *levels {
	return &levels{gauge: m.gauge(name, help, label), shown: make(map[string]bool)}
}

// levels is a gauge that is set for all its labels at once. A label that is no longer among them
// goes to zero and stays: a series that vanishes looks like a service that died.
type levels struct {
	gauge *prometheus.GaugeVec
	mu    sync.Mutex
	shown map[string]bool
}

func (l *levels) set(counts map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for label, n := range counts {
		l.shown[label] = true
		l.gauge.WithLabelValues(label).Set(float64(n))
	}
	for label := range l.shown {
		if _, ok := counts[label]; !ok {
			l.gauge.WithLabelValues(label).Set(0)
		}
	}
}
