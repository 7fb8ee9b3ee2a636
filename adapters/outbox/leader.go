package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"millrace/adapters/sqldb"
)

const (
	connectTime  = 5 * time.Second
	standbyEvery = time.Second     // how often a relay that stands by tries to take over
	pingEvery    = 5 * time.Second // how often the one that leads makes sure of its connection
	pingTime     = 3 * time.Second
)

// leader holds the relay's place in a PostgreSQL schema: an advisory lock of a session, on a
// connection that also listens. When the connection is lost so is the lock, and the relay stops
// handing rows out. It needs a real session: a pooler that shares connections between
// transactions cannot carry it.
type leader struct {
	dsn     string
	channel string
	key     int64
	wake    chan struct{} // something was committed here; capacity 1
	feed    *feed
	log     *slog.Logger
}

func newLeader(db *sqldb.DB, f *feed, log *slog.Logger) *leader {
	return &leader{
		dsn: db.DSN, channel: "outbox_" + db.Name, key: lockKey(db.Name),
		wake: make(chan struct{}, 1), feed: f, log: log,
	}
}

// lockKey numbers a schema's lock.
func lockKey(schema string) int64 { return sqldb.AdvisoryKey("millrace/outbox/" + schema) }

// nudge says that rows were committed here. It never blocks.
func (l *leader) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run leads or stands by until ctx ends. However a connection ends, it is made again.
func (l *leader) run(ctx context.Context) {
	var logged time.Time
	for {
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(logged) >= logEvery {
			logged = time.Now()
			l.log.Warn("the relay lost its place, and tries for it again", "error", sqldb.Classify(err))
		}
		if !sleep(ctx, standbyEvery) {
			return
		}
	}
}

// session is the life of one connection: standing by, then leading.
func (l *leader) session(ctx context.Context) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer l.disconnect(ctx, conn)
	if err := l.standBy(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.channel}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	l.feed.lead(ctx, true)
	defer l.feed.lead(ctx, false)
	l.log.Info("the relay leads")
	return l.listen(ctx, conn)
}

func (l *leader) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return pgx.Connect(ctx, l.dsn)
}

func (l *leader) disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTime)
	defer cancel()
	_ = conn.Close(ctx)
}

// standBy returns when the lock is ours. Until then it tells the relay that leads of every commit
// here: from this connection, because a NOTIFY inside of a business transaction would make its
// commit wait for those of all others.
func (l *leader) standBy(ctx context.Context, conn *pgx.Conn) error {
	again := time.NewTicker(standbyEvery)
	defer again.Stop()
	for {
		var ours bool
		if err := l.ask(ctx, func(ctx context.Context) error {
			return conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", l.key).Scan(&ours)
		}); err != nil {
			return fmt.Errorf("advisory lock: %w", err)
		}
		if ours {
			return nil
		}
		for tryAgain := false; !tryAgain; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-again.C:
				tryAgain = true
			case <-l.wake:
				if err := l.ask(ctx, func(ctx context.Context) error {
					_, err := conn.Exec(ctx, "SELECT pg_notify($1, '')", l.channel)
					return err
				}); err != nil {
					return fmt.Errorf("notify: %w", err)
				}
			}
		}
	}
}

// listen wakes the feed at every notification, until the connection is lost.
func (l *leader) listen(ctx context.Context, conn *pgx.Conn) error {
	for {
		wait, cancel := context.WithTimeout(ctx, pingEvery)
		_, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			l.feed.nudge()
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded) && !pgconn.Timeout(err):
			return fmt.Errorf("wait for notification: %w", err)
		}
		if err := l.ask(ctx, conn.Ping); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
	}
}

func (l *leader) ask(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	return do(ctx)
}
