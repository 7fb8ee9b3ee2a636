package analytics

import (
	"time"

	"millrace/app/messages"
)

// Ended is an order that has ended, as the read models see it. It never changes again.
type Ended struct {
	OrderID  string
	UserID   string
	Status   string // CONFIRMED, FAILED or CANCELLED
	Reason   string // a stable code, "" when confirmed
	Currency string
	Total    int64     // minor units
	PlacedAt time.Time // UTC, whole microseconds
}

// EndOf makes it of the message that tells of an order's end and of when that order was placed. Whoever
// fills a read model does it through here, whether from a topic or from the journal: so the same order
// has the same row.
func EndOf(m *messages.OrderCompleted, placedAt time.Time) Ended {
	return Ended{
		OrderID: m.OrderID, UserID: m.UserID, Status: m.Status, Reason: m.Reason,
		Currency: m.Currency, Total: m.Total, PlacedAt: placedAt.UTC().Truncate(time.Microsecond),
	}
}

// Day is the day on which the order was placed, in UTC, such as "2026-01-31".
func (o Ended) Day() string { return o.PlacedAt.Format(time.DateOnly) }

// Sale is what one order adds to its day.
type Sale struct {
	Confirmed int64
	Revenue   int64 // minor units
	Failed    int64
	Cancelled int64
}

// Sale gives what the order adds to its day. Only a confirmed order brings revenue.
func (o Ended) Sale() Sale {
	switch o.Status {
	case "CONFIRMED":
		return Sale{Confirmed: 1, Revenue: o.Total}
	case "CANCELLED":
		return Sale{Cancelled: 1}
	default:
		return Sale{Failed: 1}
	}
}
