package outbox

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/sqldb"
)

// schema tells Watermill's SQL publisher how our outbox table is written. It is not for Watermill's
// SQL subscriber: the feed reads the table, for the reasons that the package comment gives.
type schema struct{ dialect sqldb.Dialect }

var _ wsql.SchemaAdapter = schema{}

const (
	insertInto = "INSERT INTO outbox (id, aggregate_id, event_type, payload, headers, topic, created_at) "
	columns    = 7

	// insertPostgres is one text for any number of rows, so that it is parsed once a connection.
	// The order of the rows becomes the order of seq.
	insertPostgres = insertInto + "SELECT id, aggregate_id, event_type, payload, headers, topic, created_at " +
		"FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::timestamptz[]) " +
		"WITH ORDINALITY AS r(id, aggregate_id, event_type, payload, headers, topic, created_at, n) ORDER BY n"
)

// perStatement is how many messages fit in one INSERT. PostgreSQL gets arrays, of any length.
func (s schema) perStatement() int {
	if s.dialect == sqldb.Postgres {
		return maxParameters
	}
	return maxParameters / columns
}

// InsertQuery writes the messages with one statement. A message's record is in its context, so that
// one call serves all topics; the topic of the call is not used.
func (s schema) InsertQuery(params wsql.InsertQueryParams) (wsql.Query, error) {
	rows := make([]entry, len(params.Msgs))
	for i, msg := range params.Msgs {
		var err error
		if rows[i], err = entryOf(msg); err != nil {
			return wsql.Query{}, fmt.Errorf("message %s: %w", msg.UUID, err)
		}
	}
	if s.dialect == sqldb.Postgres {
		return wsql.Query{Query: insertPostgres, Args: byColumn(rows)}, nil
	}
	values := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?), ", len(rows)), ", ")
	args := make([]any, 0, len(rows)*columns)
	for _, e := range rows {
		args = append(args, e.id, e.aggregate, e.eventType, e.payload, e.headers, e.topic, e.createdAt)
	}
	return wsql.Query{Query: insertInto + "VALUES " + values, Args: args}, nil
}

// entry is a row to be written.
type entry struct {
	id, aggregate, eventType, headers, topic string
	payload                                  []byte
	createdAt                                time.Time
}

func entryOf(msg *message.Message) (entry, error) {
	r, ok := msg.Context().Value(recordKey{}).(*Record)
	if !ok {
		return entry{}, errNoRecord
	}
	e := entry{
		id: r.ID, aggregate: r.AggregateID, eventType: r.EventType, topic: r.Topic, payload: r.Payload,
		headers: formatHeaders(r.Headers), createdAt: r.CreatedAt.UTC(),
	}
	if e.payload == nil {
		e.payload = []byte{} // the column holds no NULL
	}
	return e, nil
}

func byColumn(rows []entry) []any {
	var (
		ids, aggregates, types = make([]string, len(rows)), make([]string, len(rows)), make([]string, len(rows))
		headers, topics        = make([]string, len(rows)), make([]string, len(rows))
		payloads               = make([][]byte, len(rows))
		created                = make([]time.Time, len(rows))
	)
	for i, e := range rows {
		ids[i], aggregates[i], types[i], payloads[i] = e.id, e.aggregate, e.eventType, e.payload
		headers[i], topics[i], created[i] = e.headers, e.topic, e.createdAt
	}
	return []any{ids, aggregates, types, payloads, headers, topics, created}
}

var (
	errNoRecord  = errors.New("it is not a record of the outbox")
	errWriteOnly = errors.New("this schema is for publishing only")
)

// SelectQuery fails: the relay reads the table itself.
func (schema) SelectQuery(wsql.SelectQueryParams) (wsql.Query, error) {
	return wsql.Query{}, errWriteOnly
}

// UnmarshalMessage fails, as SelectQuery does.
func (schema) UnmarshalMessage(wsql.UnmarshalMessageParams) (wsql.Row, error) {
	return wsql.Row{}, errWriteOnly
}

// SchemaInitializingQueries is empty: the table is made by a migration.
func (schema) SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return nil, nil
}

// SubscribeIsolationLevel is the database's own.
func (schema) SubscribeIsolationLevel() sql.IsolationLevel { return sql.LevelDefault }
