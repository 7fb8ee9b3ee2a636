// Package order is the saga of an order: a pure function that takes what happened and says what
// is to be done.
//
// The way forward is choreography: payment reacts to OrderCreated and inventory reacts to
// PaymentSucceeded, each on its own. The saga watches, ends the order, and undoes it when
// something goes wrong or the customer wishes so. This is all of it:
//
//	at                  on                    send              next
//	new                 OrderCreated          -                 awaiting_payment
//	awaiting_payment    PaymentSucceeded      -                 awaiting_inventory
//	awaiting_payment    PaymentFailed         OrderCompleted    failed
//	awaiting_payment    PaymentTimedOut       ReleaseInventory  undoing_inventory
//	awaiting_payment    OrderCancelRequested  ReleaseInventory  undoing_inventory
//	awaiting_inventory  InventoryReserved     OrderCompleted    confirmed
//	awaiting_inventory  InventoryFailed       RefundPayment     undoing_payment
//	awaiting_inventory  InventoryTimedOut     -                 awaiting_inventory
//	awaiting_inventory  InventoryTimedOut     ReleaseInventory  undoing_inventory
//	awaiting_inventory  OrderCancelRequested  ReleaseInventory  undoing_inventory
//	undoing_inventory   InventoryReleased     RefundPayment     undoing_payment
//	undoing_payment     PaymentRefunded       OrderCompleted    failed
//	undoing_payment     PaymentRefunded       OrderCompleted    cancelled
//
// The row that leads back to its own step waits once more for inventory's answer; version 1 of the
// saga has no such row and undoes the order at once. In what the versions differ stands in
// versions.go, all of it. A saga keeps the version that it began with.
//
// Four rules stand behind the rows:
//
//   - Undo goes backwards: inventory first, then payment. It starts with inventory even while the
//     payment is awaited, because a payment may succeed at this very moment and inventory would
//     react to it. The release bars the reservation that has not come yet.
//   - A message that comes before its cause is held and taken when the cause has come; topics have
//     no order among each other. In new that is everything a participant or the customer may say;
//     in awaiting_payment it is inventory's answer.
//   - Everything else is absorbed: duplicates, forward messages while undoing, a cancel that comes
//     too late, a time-out of a step that was left. The first cause of an undo sets the reason.
//   - Steps that await have a timer, named after the entry into the step. Steps that undo have
//     none: they wait for the answer, because an end is written only when every compensation has
//     been answered.
//
// Read take in decide.go beside the table; the tests prove that the two agree and that no order of
// delivery, duplicate, time-out or cancel loses money, stock or an order. The same State and Input
// always give the same Decision, so a stored history can be decided again.
//
// No clock, no random id, no I/O and no library may be in this package, and of the application it
// sees only the published language.
package order
