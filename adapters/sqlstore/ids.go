package sqlstore

import (
	"encoding/base32"
	"time"

	"github.com/google/uuid"

	"millrace/domain/order"
)

// sortable is Crockford's base 32 in small letters: its digits sort as their values do.
const sortable = "0123456789abcdefghjkmnpqrstvwxyz"

// OrderIDs makes order ids of UUIDs version 7: they sort by time and are never made twice.
type OrderIDs struct{ encoding *base32.Encoding }

// NewOrderIDs makes the maker.
func NewOrderIDs() OrderIDs {
	return OrderIDs{base32.NewEncoding(sortable).WithPadding(base32.NoPadding)}
}

// NewOrderID makes an id.
func (o OrderIDs) NewOrderID() order.ID {
	u := uuid.Must(uuid.NewV7()) // fails only where the system has no randomness
	return order.ID("ord_" + o.encoding.EncodeToString(u[:]))
}

// lowestID is below every order id that is made at a time or after it.
func lowestID(at time.Time) string {
	var u uuid.UUID // a UUID of version 7 begins with its time: 48 bits, in milliseconds (RFC 9562)
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		u[i] = byte(ms >> (8 * (5 - i)))
	}
	return "ord_" + NewOrderIDs().encoding.EncodeToString(u[:])
}
