package engine

// DueTimer is a saga's timer whose time has come, named by the saga, the step and the entry into
// it: a timer of an earlier entry is known to be stale.
type DueTimer struct {
	OrderID string
	Name    string
	Entry   int
}
