// Package audit is what operators are shown: whether the invariants hold, where the sagas are, and
// what one of them has been through. Plain structs, made by an adapter and printed by a port; no
// rule, no SQL and no formatting may be in this package.
package audit

// The invariants, in the order in which they are reported. The last two are asked of a system in
// which nothing is under way.
const (
	StockConserved           = "stock_conserved"
	MoneyConserved           = "money_conserved"
	OneCapturePerOrder       = "one_capture_per_order"
	TerminalAbsorbs          = "terminal_absorbs"
	TimelineIsAPath          = "timeline_is_a_path"
	OutboxMatchesState       = "outbox_matches_state"
	InboxUnique              = "inbox_unique"
	EveryAcceptedOrderExists = "every_accepted_order_exists"
	MailPerTerminalOrder     = "mail_per_terminal_order"
	NothingPending           = "nothing_pending"
	BooksMatchProvider       = "books_match_provider"
)

// Report says whether the invariants hold.
type Report struct {
	OK         bool        `json:"ok"`
	Orders     Orders      `json:"orders"`
	Invariants []Invariant `json:"invariants"`
}

// Orders counts the orders by their end. Open ones have none yet.
type Orders struct {
	Total     int `json:"total"`
	Confirmed int `json:"confirmed"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	Open      int `json:"open"`
}

// Invariant is what came of one of them.
type Invariant struct {
	Name       string   `json:"name"`
	OK         bool     `json:"ok"`
	Checked    int      `json:"checked"`    // how many things were looked at
	Broken     int      `json:"broken"`     // how many of them break it
	Violations []string `json:"violations"` // the first offenders, a sentence each; never null
	Unchecked  string   `json:"-"`          // why it could not be looked at, and OK says nothing; empty where it was
}

// MaxViolations is how many offenders are named for one invariant; the others are counted.
const MaxViolations = 10
