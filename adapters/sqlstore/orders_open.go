package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace/adapters/sqldb"
)

// openCount has a watermark from which open orders are counted: below it all had ended, or were being undone. PostgreSQL leaves the index
// entry of an order that has ended behind until it vacuums; a count from the beginning walks over all
// of them, one from the oldest open order over a few.
type openCount struct {
	mu        sync.Mutex
	watermark time.Time // orders placed before it had ended, or were being undone
	whole     time.Time // when they were last counted from the beginning
}

const (
	wholeEvery = time.Minute      // for orders of a process whose clock is behind
	margin     = 10 * time.Second // for clocks that do not agree, and orders that are being committed
)

const ordersUnderWay = "SELECT created_at FROM orders WHERE ended IS NULL AND created_at >= ? AND NOT undoing LIMIT ?"

// UnderWay counts the orders that have not ended and are not being undone; see app/order.Backlog. It
// looks at no more than most of them.
func (s *Orders) UnderWay(ctx context.Context, most int) (int, error) {
	s.open.mu.Lock()
	defer s.open.mu.Unlock()
	now, from := s.core.Now(), s.open.watermark
	whole := now.Sub(s.open.whole) >= wholeEvery
	if whole {
		from = time.Time{}
	}
	var begun []time.Time
	db := s.core.DB.Read
	err := db.SelectContext(ctx, &begun, db.Rebind(ordersUnderWay), from, most)
	if err != nil {
		return 0, fmt.Errorf("count orders under way: %w", sqldb.Classify(err))
	}
	if whole {
		s.open.whole = now
	}
	if len(begun) < most { // else the oldest may not be among them
		oldest := now
		if len(begun) > 0 {
			oldest = slices.MinFunc(begun, time.Time.Compare)
		}
		s.open.watermark = oldest.Add(-margin)
	}
	return len(begun), nil
}
