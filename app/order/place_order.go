package order

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/money"
	"millrace/domain/order"
)

// DefaultPaymentMethod is charged when a request names none.
const DefaultPaymentMethod = "pm_card_ok"

// ErrKeyReused: the key was used for another body.
var ErrKeyReused = fault.New(fault.Conflict, "idempotency_key_reused", "this Idempotency-Key was used with another body: use a new key for a new order")

// PlaceOrder takes an order in: it is stored, and OrderCreated is on its way, in one transaction
// with the answer to its Idempotency-Key.
type PlaceOrder struct {
	work    Work
	catalog Catalog
	replies Replies
	ids     IDs
	now     func() time.Time
}

// NewPlaceOrder makes the use case.
func NewPlaceOrder(work Work, catalog Catalog, replies Replies, ids IDs, now func() time.Time) *PlaceOrder {
	return &PlaceOrder{work, catalog, replies, ids, now}
}

// Request is an order as a caller asks for it.
type Request struct {
	UserID        string
	Items         []Wish
	Currency      string
	PaymentMethod string // "" for the default
	Key           string // Idempotency-Key, "" for none
	Hash          string // of the body, when there is a key
}

// Wish is one line of a request. Price is nil when the caller leaves it to the catalog.
type Wish struct {
	SKU   string
	Qty   int
	Price *int64
}

// Answer is what the caller is told. Replayed: it was told before.
type Answer struct {
	OrderID  string
	Body     []byte
	Replayed bool
}

// Handle accepts the order or says what is wrong with it. It fails with fault.Invalid, one fault
// a mistake, or with ErrKeyReused.
func (h *PlaceOrder) Handle(ctx context.Context, r Request) (Answer, error) {
	if answer, known, err := h.Again(ctx, r); known {
		return answer, err
	}
	key := Key{r.UserID, r.Key}
	placed, err := h.place(ctx, r)
	if err != nil {
		return h.answeredBefore(ctx, r, err)
	}
	body, err := json.Marshal(accepted{string(placed.ID()), placed.Status().String()})
	if err != nil {
		return Answer{}, fmt.Errorf("encode the answer: %w", err)
	}
	answer := Answer{OrderID: string(placed.ID()), Body: body}
	reply := Reply{Key: key, RequestHash: r.Hash, Status: http.StatusAccepted, Body: body, OrderID: answer.OrderID}

	var known *Reply
	err = h.work.Do(ctx, func(tx Tx) error {
		if r.Key != "" {
			var err error
			if known, err = tx.Reply(ctx, key); err != nil || known != nil {
				return err
			}
			tx.KeepReply(reply)
		}
		tx.Add(placed)
		return tx.Publish(created(placed))
	})
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("place order: %w", err)
	case known != nil:
		h.replies.Put(ctx, *known)
		return replay(known, r.Hash)
	case r.Key != "":
		h.replies.Put(ctx, reply)
	}
	return answer, nil
}

// Again gives the first answer to a key once more where the cache has it; false where only the
// database could tell. It fails with ErrKeyReused.
func (h *PlaceOrder) Again(ctx context.Context, r Request) (answer Answer, known bool, err error) {
	if r.Key == "" {
		return Answer{}, false, nil
	}
	reply, known := h.replies.Get(ctx, Key{r.UserID, r.Key})
	if !known {
		return Answer{}, false, nil
	}
	answer, err = replay(reply, r.Hash)
	return answer, true, err
}

// answeredBefore gives the first answer to a key whose body can no longer be accepted: a price may
// have changed since. Without one it gives back why the body is refused.
func (h *PlaceOrder) answeredBefore(ctx context.Context, r Request, refusal error) (Answer, error) {
	if r.Key == "" {
		return Answer{}, refusal
	}
	var known *Reply
	err := h.work.Do(ctx, func(tx Tx) error {
		var err error
		known, err = tx.Reply(ctx, Key{r.UserID, r.Key})
		return err
	})
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("place order: %w", err)
	case known == nil:
		return Answer{}, refusal
	}
	h.replies.Put(ctx, *known)
	return replay(known, r.Hash)
}

// place prices the request and makes the order, without storing it.
func (h *PlaceOrder) place(ctx context.Context, r Request) (*order.Order, error) {
	user, userErr := order.ParseUserID(r.UserID)
	currency, currencyErr := money.ParseCurrency(r.Currency)
	if currencyErr != nil {
		currencyErr = fault.Invalidf("invalid_currency", "/currency", "currency must be three capital letters, such as LKR")
	}
	items, itemsErr := h.price(ctx, r)
	if err := errors.Join(userErr, currencyErr, itemsErr); err != nil {
		return nil, err
	}
	method := r.PaymentMethod
	if method == "" {
		method = DefaultPaymentMethod
	}
	return order.Place(h.ids.NewOrderID(), user, items, currency, method, h.now().UTC().Truncate(time.Microsecond))
}

// price looks every SKU up and refuses what the catalog does not say.
func (h *PlaceOrder) price(ctx context.Context, r Request) ([]order.Item, error) {
	if len(r.Items) == 0 || len(r.Items) > order.MaxItems {
		return nil, fault.Invalidf("invalid_items", "/items", "an order has 1 to %d items", order.MaxItems)
	}
	skus := make([]string, len(r.Items))
	for i, wish := range r.Items {
		skus[i] = wish.SKU
	}
	products, err := h.catalog.Products(ctx, skus)
	if err != nil {
		return nil, fmt.Errorf("look prices up: %w", err)
	}
	items := make([]order.Item, len(r.Items))
	var wrong []error
	var mixed error // said once, however many items it is true of
	for i, wish := range r.Items {
		p, ok := products[wish.SKU]
		switch {
		case !ok:
			wrong = append(wrong, fault.Invalidf("unknown_sku", fmt.Sprintf("/items/%d/sku", i), "%.64q is not in the catalog", wish.SKU))
		case p.Currency != r.Currency:
			mixed = fault.Invalidf("currency_mismatch", "/currency", "%s is sold in %s", p.SKU, p.Currency)
		case wish.Price != nil && *wish.Price != p.Price:
			wrong = append(wrong, fault.Invalidf("price_mismatch", fmt.Sprintf("/items/%d/price", i), "%s costs %d: leave the price out or give the catalog's", p.SKU, p.Price))
		}
		items[i] = order.Item{SKU: order.SKU(wish.SKU), Qty: wish.Qty, Price: p.Price}
	}
	return items, errors.Join(append(wrong, mixed)...)
}

// accepted is the body of a 202.
type accepted struct {
	OrderID string `json:"orderId"`
	Status  string `json:"status"`
}

func replay(known *Reply, hash string) (Answer, error) {
	if known.RequestHash != hash {
		return Answer{}, ErrKeyReused
	}
	return Answer{OrderID: known.OrderID, Body: known.Body, Replayed: true}, nil
}

func created(o *order.Order) *messages.OrderCreated {
	s := o.Snapshot()
	items := make([]messages.Item, len(s.Items))
	for i, item := range s.Items {
		items[i] = messages.Item{SKU: string(item.SKU), Qty: item.Qty, Price: item.Price}
	}
	return &messages.OrderCreated{
		OrderID: string(s.ID), UserID: string(s.UserID), Items: items, Currency: s.Total.Currency.String(),
		Total: s.Total.Minor, PaymentMethod: s.PaymentMethod,
	}
}
