package order

// Edge is one row of the step table: at From, On leads to To and sends Sends.
type Edge struct {
	From  Step
	On    string
	To    Step
	Sends []string
}

// Table is the step table of the package comment, for those who draw or list the saga. Decide
// does not read it; a test proves that the two agree. Rows that share From and On differ by the
// saga's reason.
var Table = []Edge{
	{New, orderCreated, AwaitingPayment, nil},
	{AwaitingPayment, paymentSucceeded, AwaitingInventory, nil},
	{AwaitingPayment, paymentFailed, Failed, []string{orderCompleted}},
	{AwaitingPayment, paymentTimedOut, UndoingInventory, []string{releaseInventory}},
	{AwaitingPayment, orderCancelRequested, UndoingInventory, []string{releaseInventory}},
	{AwaitingInventory, inventoryReserved, Confirmed, []string{orderCompleted}},
	{AwaitingInventory, inventoryFailed, UndoingPayment, []string{refundPayment}},
	{AwaitingInventory, inventoryTimedOut, UndoingInventory, []string{releaseInventory}},
	{AwaitingInventory, orderCancelRequested, UndoingInventory, []string{releaseInventory}},
	{UndoingInventory, inventoryReleased, UndoingPayment, []string{refundPayment}},
	{UndoingPayment, paymentRefunded, Failed, []string{orderCompleted}},
	{UndoingPayment, paymentRefunded, Cancelled, []string{orderCompleted}},
}
