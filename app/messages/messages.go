// Package messages is the published language: what the services say to each other, as plain
// structs, with the envelope they travel in and the topics they travel on.
//
// Services meet here and nowhere else. No behaviour of a service, no library and no transport
// may be in this package.
package messages

// Message is one event or command. Its JSON is the envelope's data.
type Message interface {
	// Name is the type on the wire, such as "OrderCreated".
	Name() string
	// Order is the id of the order that the message belongs to: its key and its correlation id.
	Order() string
}

// Item is one line of an order, with the price of one piece in minor units.
type Item struct {
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
	Price int64  `json:"price"`
}

// Quantity is a number of pieces of one SKU.
type Quantity struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

// Shortage says how many pieces were wanted and how many there were.
type Shortage struct {
	SKU       string `json:"sku"`
	Wanted    int    `json:"wanted"`
	Available int    `json:"available"`
}

// Why an order ended, or a participant said no. Stable codes, shown by the API.
const (
	ReasonPaymentDeclined  = "payment_declined"
	ReasonPaymentTimeout   = "payment_timeout"
	ReasonOutOfStock       = "out_of_stock"
	ReasonInventoryTimeout = "inventory_timeout"
	ReasonCancelledByUser  = "cancelled_by_user"
	ReasonBarred           = "barred" // the undo came before the do
)

// What became of the money when a refund was asked for.
const (
	OutcomeRefunded        = "refunded"         // it had been captured and was given back
	OutcomeVoided          = "voided"           // the capture was barred before it happened
	OutcomeNothingCaptured = "nothing_captured" // there was never a capture
)

// OrderCreated: an order was accepted and waits for its payment.
type OrderCreated struct {
	OrderID       string `json:"orderId"`
	UserID        string `json:"userId"`
	Items         []Item `json:"items"`
	Currency      string `json:"currency"`
	Total         int64  `json:"total"`
	PaymentMethod string `json:"paymentMethod"`
}

// OrderCancelRequested: the customer wishes the order undone.
type OrderCancelRequested struct {
	OrderID string `json:"orderId"`
	UserID  string `json:"userId"`
	Reason  string `json:"reason"`
}

// OrderCompleted: the saga is over. Status is CONFIRMED, FAILED or CANCELLED; Reason is empty
// when it is CONFIRMED.
type OrderCompleted struct {
	OrderID  string `json:"orderId"`
	UserID   string `json:"userId"`
	Status   string `json:"status"`
	Total    int64  `json:"total"`
	Currency string `json:"currency"`
	Reason   string `json:"reason"`
}

// PaymentSucceeded: the total was captured. Items are passed through for inventory.
type PaymentSucceeded struct {
	OrderID   string     `json:"orderId"`
	PaymentID string     `json:"paymentId"`
	Amount    int64      `json:"amount"`
	Currency  string     `json:"currency"`
	Provider  string     `json:"provider"`
	AuthCode  string     `json:"authCode"`
	Items     []Quantity `json:"items"`
}

// PaymentFailed: the provider said no, and nothing was captured.
type PaymentFailed struct {
	OrderID  string `json:"orderId"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Provider string `json:"provider"`
	Reason   string `json:"reason"`
}

// PaymentRefunded answers RefundPayment: no money of this order is with us, or ever will be.
type PaymentRefunded struct {
	OrderID   string  `json:"orderId"`
	PaymentID *string `json:"paymentId"`
	Amount    int64   `json:"amount"`
	Currency  string  `json:"currency"`
	Outcome   string  `json:"outcome"`
}

// InventoryReserved: every item of the order is set aside.
type InventoryReserved struct {
	OrderID      string     `json:"orderId"`
	Reservations []Quantity `json:"reservations"`
	Warehouse    string     `json:"warehouse"`
}

// InventoryFailed: nothing of the order is set aside. Reason is out_of_stock or barred.
type InventoryFailed struct {
	OrderID string     `json:"orderId"`
	Reason  string     `json:"reason"`
	Missing []Shortage `json:"missing"`
}

// InventoryReleased answers ReleaseInventory: nothing of the order is set aside, or ever will be.
type InventoryReleased struct {
	OrderID  string     `json:"orderId"`
	Released []Quantity `json:"released"`
}

// RefundPayment orders payment to give the money back, or to bar its capture.
type RefundPayment struct {
	OrderID string `json:"orderId"`
	Reason  string `json:"reason"`
}

// ReleaseInventory orders inventory to free what is set aside, or to bar a later reservation.
type ReleaseInventory struct {
	OrderID string `json:"orderId"`
	Reason  string `json:"reason"`
}

func (OrderCreated) Name() string         { return "OrderCreated" }
func (OrderCancelRequested) Name() string { return "OrderCancelRequested" }
func (OrderCompleted) Name() string       { return "OrderCompleted" }
func (PaymentSucceeded) Name() string     { return "PaymentSucceeded" }
func (PaymentFailed) Name() string        { return "PaymentFailed" }
func (PaymentRefunded) Name() string      { return "PaymentRefunded" }
func (InventoryReserved) Name() string    { return "InventoryReserved" }
func (InventoryFailed) Name() string      { return "InventoryFailed" }
func (InventoryReleased) Name() string    { return "InventoryReleased" }
func (RefundPayment) Name() string        { return "RefundPayment" }
func (ReleaseInventory) Name() string     { return "ReleaseInventory" }

func (m OrderCreated) Order() string         { return m.OrderID }
func (m OrderCancelRequested) Order() string { return m.OrderID }
func (m OrderCompleted) Order() string       { return m.OrderID }
func (m PaymentSucceeded) Order() string     { return m.OrderID }
func (m PaymentFailed) Order() string        { return m.OrderID }
func (m PaymentRefunded) Order() string      { return m.OrderID }
func (m InventoryReserved) Order() string    { return m.OrderID }
func (m InventoryFailed) Order() string      { return m.OrderID }
func (m InventoryReleased) Order() string    { return m.OrderID }
func (m RefundPayment) Order() string        { return m.OrderID }
func (m ReleaseInventory) Order() string     { return m.OrderID }
