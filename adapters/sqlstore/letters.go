package sqlstore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/app/deadletters"
)

// Letters are the dead letters of all services, for an operator. They lie in several databases, each
// behind a core; a service's letters are in the one that serves it.
type Letters struct {
	cores       []*Core
	of          map[string]*Core      // by service
	settlements map[string]Settlement // by handler, such as intent_refund
	previews    func() map[string]EffectPreview
}

// NewLetters makes the store. Cores are by service; two services may share a database.
func NewLetters(of map[string]*Core, settlements map[string]Settlement) *Letters {
	l := &Letters{of: of, settlements: settlements}
	for _, core := range of {
		if !slices.ContainsFunc(l.cores, func(c *Core) bool { return c.DB == core.DB }) {
			l.cores = append(l.cores, core)
		}
	}
	slices.SortFunc(l.cores, func(a, b *Core) int { return strings.Compare(a.DB.Name, b.DB.Name) })
	return l
}

var _ deadletters.Store = (*Letters)(nil)

// letterRecord is a row of dead_letters.
type letterRecord struct {
	ID        string    `db:"id"`
	MessageID string    `db:"message_id"`
	OrderID   string    `db:"order_id"`
	Service   string    `db:"service"`
	Consumer  string    `db:"consumer"`
	Handler   string    `db:"handler"`
	Type      string    `db:"type"`
	Topic     string    `db:"topic"`
	Partition int32     `db:"partition_no"`
	Offset    int64     `db:"offset_no"`
	Key       []byte    `db:"record_key"`
	Payload   []byte    `db:"payload"`
	Headers   string    `db:"headers"`
	Reason    string    `db:"reason"`
	Error     string    `db:"error"`
	Attempts  int       `db:"attempts"`
	FirstAt   time.Time `db:"first_at"`
	LastAt    time.Time `db:"last_at"`
	State     string    `db:"state"`
	Version   int       `db:"version"`
	Position  int       `db:"position"`
	Redrives  int       `db:"redrives"`
}

const letterColumns = `SELECT id, message_id, order_id, service, consumer, handler, type, topic, partition_no, offset_no, record_key,
	payload, headers, reason, error, attempts, first_at, last_at, state, version, position, redrives FROM dead_letters`

// ofIntent says whether the letter is that of an act that was refused, and not of a message.
func (r letterRecord) ofIntent() bool { return r.Topic == "" }

// core gives the database that serves a service. It fails with deadletters.ErrNoLetter for a service that there is not.
func (l *Letters) core(service string) (*Core, error) {
	core := l.of[service]
	if core == nil {
		return nil, deadletters.ErrNoLetter.Because(fmt.Errorf("there is no service %q", service))
	}
	return core, nil
}
