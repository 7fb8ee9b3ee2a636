package telemetry

import (
	"strconv"
	"time"
)

// OrderSubmitted counts an accepted order.
func (m *Metrics) OrderSubmitted() { m.ordersSubmitted.WithLabelValues().Inc() }

// OrderRefused counts an order that was not let in, under_way or in_hand.
func (m *Metrics) OrderRefused(reason string) { m.ordersRefused.WithLabelValues(reason).Inc() }

// OrderStreams sets how many streams of orders' events are open.
func (m *Metrics) OrderStreams(n int) { m.orderStreams.WithLabelValues().Set(float64(n)) }

// OrderCompleted counts an order that reached a terminal status, a while after it was accepted.
// The reason is empty for one that was confirmed.
func (m *Metrics) OrderCompleted(status, reason string, took time.Duration) {
	m.ordersCompleted.WithLabelValues(status, reason).Inc()
	m.orderCompletion.WithLabelValues().Observe(took.Seconds())
}

// PaymentFailed counts a payment that failed.
func (m *Metrics) PaymentFailed(reason string) { m.paymentsFailed.WithLabelValues(reason).Inc() }

// SagasOpen sets how many sagas are in each step that is not terminal.
func (m *Metrics) SagasOpen(byState map[string]int) { m.sagasOpen.set(byState) }

// SagasStuck sets how many sagas have been in each step for too long.
func (m *Metrics) SagasStuck(byState map[string]int) { m.sagasStuck.set(byState) }

// Handled counts a message that a handler was done with, one way or another.
func (m *Metrics) Handled(handler, outcome string, took time.Duration) {
	m.handled.WithLabelValues(handler, outcome).Inc()
	m.handling.WithLabelValues(handler).Observe(took.Seconds())
}

// Unknown counts a message of a type that this build does not know. The type is no label: anybody
// who can write to a topic could make up as many as they like.
func (m *Metrics) Unknown(_, _ string) { m.unknown.WithLabelValues().Inc() }

// Duplicate counts a message that had been handled before.
func (m *Metrics) Duplicate(handler string) { m.duplicates.WithLabelValues(handler).Inc() }

// Parked counts a message that waits behind a dead letter of its order.
func (m *Metrics) Parked(handler string) { m.parked.WithLabelValues(handler).Inc() }

// DeadLettered counts a message that a handler gave up.
func (m *Metrics) DeadLettered(handler string) { m.deadLetters.WithLabelValues(handler).Inc() }

// MessagesParked sets how many messages for each handler wait behind a dead letter.
func (m *Metrics) MessagesParked(byHandler map[string]int) { m.parkedNow.set(byHandler) }

// DeadLettersWaiting sets how many dead letters of each handler wait for a person, those of acts
// among them (intent_refund and so on).
func (m *Metrics) DeadLettersWaiting(byHandler map[string]int) { m.deadWaiting.set(byHandler) }

// ConsumerLag sets how far a group is behind on a topic, over all partitions.
func (m *Metrics) ConsumerLag(group, topic string, n int64) {
	m.consumerLag.WithLabelValues(group, topic).Set(float64(n))
}

// ConsumerSession counts a session of a consumer group that began.
func (m *Metrics) ConsumerSession(group string) { m.sessions.WithLabelValues(group).Inc() }

// CommitBatch takes the number of units of work that one transaction committed.
func (m *Metrics) CommitBatch(n int) { m.commitBatch.WithLabelValues().Observe(float64(n)) }

// IntentAttempted counts an attempt at an act in the outside world. One that was refused for good is
// a dead letter.
func (m *Metrics) IntentAttempted(kind, outcome string, took time.Duration) {
	if outcome == "buried" {
		m.deadLetters.WithLabelValues("intent_" + kind).Inc()
	}
	m.intents.WithLabelValues(kind, outcome).Inc()
	m.intentTime.WithLabelValues(kind).Observe(took.Seconds())
}

// CircuitState sets the state of a dependency's circuit breaker: closed, half-open or open.
func (m *Metrics) CircuitState(dependency, state string) {
	value := map[string]float64{"closed": 0, "half-open": 1, "open": 2}[state]
	m.circuitState.WithLabelValues(dependency).Set(value)
}

// Published counts outbox rows that Kafka has acknowledged.
func (m *Metrics) Published(n int) { m.outboxPublished.WithLabelValues().Add(float64(n)) }

// Pending sets how many outbox rows wait to be published, and the age of the oldest.
func (m *Metrics) Pending(n int, oldest time.Duration) {
	m.outboxPending.WithLabelValues().Set(float64(n))
	m.outboxOldest.WithLabelValues().Set(oldest.Seconds())
}

// Dead counts an outbox row that can never be published.
func (m *Metrics) Dead(topic string) { m.outboxDead.WithLabelValues(topic).Inc() }

// OutboxDeadWaiting sets how many outbox rows were given up and wait for a person.
func (m *Metrics) OutboxDeadWaiting(n int) { m.outboxWaiting.WithLabelValues().Set(float64(n)) }

// Request counts an answered HTTP request. Method and route are from closed sets: the route is the
// template that matched, never the path.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.requestTime.WithLabelValues(route, method).Observe(took.Seconds())
}
