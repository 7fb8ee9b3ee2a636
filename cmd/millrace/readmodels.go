package main

import (
	"time"

	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/adapters/telemetry"
	"millrace/app/analytics"
	"millrace/app/messages"
)

// endsLinger is how long the end of an order may wait for others to be recorded with it. The read models
// lie in the database in which orders are placed, and are to cost it few commits.
const endsLinger = 50 * time.Millisecond

// readModels runs the subscriber that fills the read models, beside the order service and with nothing that
// could hold it up: a circuit of its own, so that what is wrong with a read model is not taken for a database
// that is away, and no say in whether the service is ready.
func (s *stack) readModels(b *base, metrics *telemetry.Metrics) {
	logger := s.logger(messages.OrderService)
	beside := *b
	beside.lamp = newLamp("read_models")
	beside.circuit = sqldb.NewCircuit(sqldb.CircuitConfig{Name: "read models", OnState: beside.lamp.set, Logger: logger})
	beside.lamp.show(metrics)
	core := s.coreOf(&beside, messages.OrderService, metrics, endsLinger)
	store := sqlstore.NewAnalytics(core)
	s.consume(&beside, core, metrics, analyticsHandlers(analytics.NewRecordEnd(store)))
	s.every(time.Second, "watermark of "+analytics.OrdersByUser, logger, store.AdvanceWatermark)
}
