// Package outbox carries messages from a service's database to Kafka, so that none is lost and
// none is invented.
//
// A service cannot change its database and send a message in one step: whichever it does first,
// a crash between the two leaves the world believing in one half. So the message is written as a
// row, in the transaction that caused it ([Writer]), and sent afterwards by the [Relay], which may
// take as long as it needs. A message leaves at least once; its receivers' inboxes make that once.
//
// A row's way through the relay:
//
//	commit ── Wake or NOTIFY ──► feed reads rows WHERE published_at IS NULL
//	                              │ one lane an aggregate: its rows go one after another
//	                              ▼ up to Window rows in flight, each beside an envelope that says where it goes
//	                             Watermill's forwarder, in a router of its own
//	                              ▼ one goroutine a message
//	                             sender ──► Config.Publisher ──► Kafka
//	                              │ taken: acknowledge     refused for now: try again later
//	                              │ refused for good: the row moves to outbox_dead
//	                              ▼
//	                             feed marks what was acknowledged, many rows a statement
//
// What is worth knowing about each step:
//
//   - Rows are chosen by published_at and not by a cursor. Transactions commit in another order
//     than their rows were numbered, and a cursor passes over whatever commits late.
//   - A row is marked only when Kafka has it. When the relay dies before that, the row is sent again.
//   - Rows of one aggregate wait for each other; different aggregates do not. That, and a window
//     instead of one message at a time, is where the throughput comes from.
//   - A refusal parks one lane and nothing else. There is no poison queue here: to a poison queue
//     an outage of the broker looks like a broken message, and it would empty the outbox.
//   - One relay a database is active; others stand by. PostgreSQL's advisory lock decides, held by
//     the connection that also listens, so that whoever loses the one loses the other.
//
// Nothing of Kafka's client may be named here: the publisher, and the knowledge of its errors, are
// handed in. Nor does anything here know what a message means.
package outbox
