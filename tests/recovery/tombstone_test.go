package recovery

import (
	"fmt"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/inventory"
	"millrace/app/messages"
	"millrace/app/payment"
	stock "millrace/domain/inventory"
)

// The topics have no order among each other: an undo may come before what it undoes.

func TestAChargeThatComesAfterItsUndoIsNeverMade(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "payments", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		core := coreOn(db, messages.PaymentService)
		store := sqlstore.NewPayments(core, sqlstore.NewIntents(core))
		undo := &messages.RefundPayment{OrderID: orderID, Reason: messages.ReasonCancelledByUser}
		if err := payment.NewRefundPayment(store).Handle(delivered(t.Context(), "m2"), undo); err != nil {
			t.Fatal(err)
		}
		if err := payment.NewCapturePayment(store).Handle(delivered(t.Context(), "m1"), &messages.OrderCreated{
			OrderID: orderID, UserID: "usr_1", Items: []messages.Item{{SKU: "SKU-1", Qty: 1, Price: 100}},
			Currency: "LKR", Total: 100, PaymentMethod: "pm_card_ok",
		}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM intents"); n != 0 {
			t.Error("the card of an order that was undone will be charged")
		}
		if n := count(t, db, "SELECT count(*) FROM outbox WHERE event_type = 'PaymentRefunded'"); n != 1 {
			t.Errorf("the undo was answered %d times", n)
		}
	})
}

func TestStockThatIsAskedForAfterItsReleaseIsNotSetAside(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "inventory", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		store := sqlstore.NewInventory(coreOn(db, messages.InventoryService))
		if err := store.Seed(t.Context(), []stock.Level{{SKU: "SKU-1", OnHand: 10}}); err != nil {
			t.Fatal(err)
		}
		release := &messages.ReleaseInventory{OrderID: orderID, Reason: messages.ReasonPaymentTimeout}
		paid := &messages.PaymentSucceeded{OrderID: orderID, PaymentID: "pay_1", Amount: 100, Currency: "LKR", Items: []messages.Quantity{{SKU: "SKU-1", Qty: 1}}}
		if err := inventory.NewReleaseInventory(store).Handle(delivered(t.Context(), "m2"), release); err != nil {
			t.Fatal(err)
		}
		for n := range 2 { // a second wish changes nothing either
			if err := inventory.NewReserveStock(store).Handle(delivered(t.Context(), fmt.Sprint("p", n)), paid); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, db, "SELECT reserved FROM stock"); n != 0 {
			t.Errorf("%d pieces are set aside for an order that was undone", n)
		}
	})
}
