package order

import "slices"

// Edge is one row of the step table: at From, On leads to To and sends Sends.
type Edge struct {
	From  Step
	On    string
	To    Step
	Sends []string
}

// Table is the step table of the package comment: that of the definition which new sagas begin
// with.
var Table = Current().Table()

// Table is the step table of one version, for those who draw or list the saga. Decide does not
// read it; a test proves that the two agree. Rows that share From and On differ by the saga's
// reason, or by how often it has waited.
func (d Definition) Table() []Edge {
	return slices.DeleteFunc(slices.Clone(rows), func(e Edge) bool { return e.waits() && d.InventoryWaits == 1 })
}

// waits says whether an edge leads to its own step: another wait for the same answer.
func (e Edge) waits() bool { return e.From == e.To }

// rows are those of every version.
var rows = []Edge{
	{New, orderCreated, AwaitingPayment, nil},
	{AwaitingPayment, paymentSucceeded, AwaitingInventory, nil},
	{AwaitingPayment, paymentFailed, Failed, []string{orderCompleted}},
	{AwaitingPayment, paymentTimedOut, UndoingInventory, []string{releaseInventory}},
	{AwaitingPayment, orderCancelRequested, UndoingInventory, []string{releaseInventory}},
	{AwaitingInventory, inventoryReserved, Confirmed, []string{orderCompleted}},
	{AwaitingInventory, inventoryFailed, UndoingPayment, []string{refundPayment}},
	{AwaitingInventory, inventoryTimedOut, AwaitingInventory, nil},
	{AwaitingInventory, inventoryTimedOut, UndoingInventory, []string{releaseInventory}},
	{AwaitingInventory, orderCancelRequested, UndoingInventory, []string{releaseInventory}},
	{UndoingInventory, inventoryReleased, UndoingPayment, []string{refundPayment}},
	{UndoingPayment, paymentRefunded, Failed, []string{orderCompleted}},
	{UndoingPayment, paymentRefunded, Cancelled, []string{orderCompleted}},
}
