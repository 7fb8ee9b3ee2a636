package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/sqldb"
	"millrace/domain/fault"
)

// Record is one message on its way.
type Record struct {
	ID          string // the message's id, unique for ever
	AggregateID string // whose messages stay in order: the order's id
	EventType   string
	Topic       string // where it goes in Kafka
	Payload     []byte
	Headers     map[string]string
	CreatedAt   time.Time
}

// ErrIncomplete: a record lacks what every message must have.
var ErrIncomplete = fault.New(fault.Internal, "outbox_record_incomplete", "the record lacks its id, aggregate, type, topic or time")

// maxParameters is how many parameters a statement has at most: below SQLite's limit, which is
// the lower one (sqlite.org/limits.html, SQLITE_MAX_VARIABLE_NUMBER).
const maxParameters = 32_000

// Writer puts records into the outbox of the transaction that caused them.
type Writer struct {
	schema schema
	log    watermill.LoggerAdapter
}

// NewWriter makes a writer for the databases of one dialect.
func NewWriter(dialect sqldb.Dialect, logger *slog.Logger) *Writer {
	return &Writer{schema: schema{dialect: dialect}, log: watermillLog(logger)}
}

// Execer is a transaction that records are written in, or a queue of its statements.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// executor is an Execer as Watermill's publisher asks for it, which only ever writes.
type executor struct{ to Execer }

func (e executor) ExecContext(ctx context.Context, query string, args ...any) (wsql.Result, error) {
	return e.to.ExecContext(ctx, query, args...)
}

func (executor) QueryContext(context.Context, string, ...any) (wsql.Rows, error) {
	return nil, errWriteOnly
}

// Append writes all records with one INSERT, whatever their topics, in the order given. They are
// sent when tx has been committed, and do not exist when it has not. Only thousands of records
// need more than one statement. It fails with ErrIncomplete, or with what the transaction says, and
// changes no record.
func (w *Writer) Append(ctx context.Context, tx Execer, records []Record) error {
	msgs := make([]*message.Message, len(records))
	for i := range records {
		r := &records[i]
		if r.ID == "" || r.AggregateID == "" || r.EventType == "" || r.Topic == "" || r.CreatedAt.IsZero() {
			return ErrIncomplete.Because(fmt.Errorf("record %d of %d: %s %q for %q on %q", i+1, len(records), r.EventType, r.ID, r.AggregateID, r.Topic))
		}
		msgs[i] = r.message(ctx)
	}
	publisher, err := wsql.NewPublisher(executor{tx}, wsql.PublisherConfig{SchemaAdapter: w.schema}, w.log)
	if err != nil {
		return fmt.Errorf("outbox publisher: %w", err)
	}
	for len(msgs) > 0 {
		n := min(len(msgs), w.schema.perStatement())
		if err := publisher.Publish("outbox", msgs[:n]...); err != nil {
			return fmt.Errorf("write %d messages to the outbox: %w", n, sqldb.Classify(err))
		}
		msgs = msgs[n:]
	}
	return nil
}

// recordKey finds a message's record in its context: the schema writes columns that a Watermill
// message does not have.
type recordKey struct{}

func (r *Record) message(ctx context.Context) *message.Message {
	return message.NewMessageWithContext(context.WithValue(ctx, recordKey{}, r), r.ID, r.Payload)
}

// watermillLog gives Watermill our log. What it calls info is its own bookkeeping, and what it
// calls an error is here one refused attempt, of which the sender says more and less often. Where
// nobody sees either, Watermill need not gather them: it would take a hundredth of the time.
func watermillLog(logger *slog.Logger) watermill.LoggerAdapter {
	if !logger.Enabled(context.Background(), slog.LevelDebug) {
		return watermill.NopLogger{}
	}
	return watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelError: slog.LevelDebug,
	})
}
