package sqlstore

import (
	"context"
	"fmt"
	"time"

	"millrace/adapters/sqldb"
	app "millrace/app/analytics"
)

const (
	// watermarkStep is how many orders one statement takes the watermark over.
	watermarkStep = 5000
	// young is for how long an order is left to where it is written: one of a process whose clock is behind,
	// or whose commit takes its time, must not appear below the watermark.
	young = time.Minute
)

// AdvanceWatermark moves the watermark of orders_by_user, which is stored as read_models.line, up to the first order
// that the model does not have: every order below it has ended and is in the model. It may be called by several
// processes at once, and is to be called now and then: until it is, lists are read from where orders are written.
func (s *Analytics) AdvanceWatermark(ctx context.Context) error {
	for {
		more, err := s.advance(ctx)
		if err != nil {
			return fmt.Errorf("advance the watermark of %s: %w", app.OrdersByUser, sqldb.Classify(err))
		}
		if !more {
			return nil
		}
	}
}

// advance moves it over at most watermarkStep orders and says whether there may be more to do. A rebuild that
// has exchanged the model meanwhile has the last word.
func (s *Analytics) advance(ctx context.Context) (more bool, err error) {
	db := s.core.DB.Read
	var at struct {
		Watermark  string `db:"line"`
		Generation int    `db:"generation"`
	}
	if err := db.GetContext(ctx, &at, db.Rebind("SELECT line, generation FROM read_models WHERE name = ?"), app.OrdersByUser); err != nil {
		return false, err
	}
	var seen struct {
		N       int     `db:"n"`
		Last    *string `db:"last"`
		Missing *string `db:"missing"`
	}
	err = db.GetContext(ctx, &seen, db.Rebind(`SELECT count(*) AS n, max(w.id) AS last, min(CASE WHEN w.there IS NULL THEN w.id END) AS missing FROM (
		SELECT o.id, b.order_id AS there FROM orders o LEFT JOIN orders_by_user b ON b.user_id = o.user_id AND b.order_id = o.id
		WHERE o.id >= ? AND o.id < ? ORDER BY o.id LIMIT ?) w`), at.Watermark, lowestID(s.core.Now().Add(-young)), watermarkStep)
	if err != nil || seen.N == 0 {
		return false, err
	}
	to := *seen.Last + "0" // just above it
	if seen.Missing != nil {
		to = *seen.Missing
	}
	if to == at.Watermark {
		return false, nil
	}
	_, err = s.core.DB.ExecContext(ctx, db.Rebind("UPDATE read_models SET line = ? WHERE name = ? AND line = ? AND generation = ?"),
		to, app.OrdersByUser, at.Watermark, at.Generation)
	return seen.N == watermarkStep && seen.Missing == nil, err
}
