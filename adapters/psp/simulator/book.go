package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unique"
)

// The operations of the journal.
const (
	opCapture = "capture" // happens at Due
	opDecline = "decline"
	opRefuse  = "refuse" // answered 503; the capture is as good as never seen
	opVoid    = "void"
	opRefund  = "refund"
)

// entry is one line of the journal. Times are microseconds since 1970.
type entry struct {
	Op         string `json:"op"`
	Key        string `json:"key"`
	CaptureKey string `json:"captureKey,omitempty"`
	OrderID    string `json:"orderId,omitempty"`
	Amount     int64  `json:"amount,omitempty"`
	Currency   string `json:"currency,omitempty"`
	Method     string `json:"method,omitempty"`
	At         int64  `json:"at"`
	Due        int64  `json:"due,omitempty"`
}

type captureState uint8

const (
	accepted captureState = iota // pending until due, captured from then on
	declined
	voided
)

// capture is kept small: there is one for every order, for ever. Its id and its authorization
// code follow from the key.
type capture struct {
	key, orderID     string
	currency, method unique.Handle[string]
	amount, refunded int64
	at, due          int64
	state            captureState
}

type refund struct {
	key     string
	amount  int64
	at      int64
	capture int32
}

// book is everything that the provider knows. It changes by entries alone, so that reading the
// journal again gives the same book. A capture's due time is its only timer: what is pending
// needs no further entry to happen, and a restart cannot forget it.
type book struct {
	captures []capture
	byKey    map[string]int32
	refunds  []refund
	byRefund map[string]int32
	refusals map[string]uint8
}

func newBook() *book {
	return &book{byKey: map[string]int32{}, byRefund: map[string]int32{}, refusals: map[string]uint8{}}
}

func (b *book) capture(key string) (capture, bool) {
	i, ok := b.byKey[key]
	if !ok {
		return capture{}, false
	}
	return b.captures[i], true
}

func (b *book) refund(key string) (refund, bool) {
	i, ok := b.byRefund[key]
	if !ok {
		return refund{}, false
	}
	return b.refunds[i], true
}

// apply fails for an entry that contradicts the book, which only a damaged journal can hold.
func (b *book) apply(e entry) error {
	switch e.Op {
	case opCapture:
		return b.add(e, accepted)
	case opDecline:
		return b.add(e, declined)
	case opVoid:
		return b.add(e, voided)
	case opRefuse:
		b.refusals[e.Key]++
		return nil
	case opRefund:
		return b.repay(e)
	default:
		return fmt.Errorf("unknown operation %.40q", e.Op)
	}
}

func (b *book) add(e entry, state captureState) error {
	if _, ok := b.byKey[e.Key]; ok {
		return fmt.Errorf("second fate for the capture %q", e.Key)
	}
	order := e.OrderID
	if order != "" && strings.HasPrefix(e.Key, order) {
		order = e.Key[:len(order)] // one string in memory instead of two
	}
	b.byKey[e.Key] = int32(len(b.captures))
	b.captures = append(b.captures, capture{
		key: e.Key, orderID: order, currency: unique.Make(e.Currency), method: unique.Make(e.Method),
		amount: e.Amount, at: e.At, due: e.Due, state: state,
	})
	delete(b.refusals, e.Key)
	return nil
}

func (b *book) repay(e entry) error {
	i, ok := b.byKey[e.CaptureKey]
	if !ok {
		return fmt.Errorf("refund %q of the unknown capture %q", e.Key, e.CaptureKey)
	}
	if _, ok := b.byRefund[e.Key]; ok {
		return fmt.Errorf("second refund with the key %q", e.Key)
	}
	b.captures[i].refunded += e.Amount
	b.byRefund[e.Key] = int32(len(b.refunds))
	b.refunds = append(b.refunds, refund{key: e.Key, amount: e.Amount, at: e.At, capture: i})
	return nil
}

// status is what GET shows for a capture.
func (c capture) status(now int64) string {
	switch {
	case c.state == voided:
		return StatusVoided
	case c.state == declined:
		return StatusDeclined
	case now < c.due:
		return StatusPending
	default:
		return StatusCaptured
	}
}

func (c capture) captured(now int64) bool { return c.status(now) == StatusCaptured }

// identity gives the id and the authorization code that belong to a key.
func identity(prefix, key string) (id, code string) {
	h := sha256.Sum256([]byte(prefix + key))
	return prefix + hex.EncodeToString(h[:12]), fmt.Sprintf("%06d", binary.BigEndian.Uint32(h[12:])%1_000_000)
}

func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
