package analytics

import "millrace/domain/fault"

// ErrHistory: the journal does not tell the whole of what a read model is to be made of. The model that
// serves is left as it is.
var ErrHistory = fault.New(fault.Invalid, "history_incomplete", "the journal is damaged or incomplete")

// ErrRebuilding: somebody else rebuilds the same read model. Nothing was done.
var ErrRebuilding = fault.New(fault.Conflict, "rebuilding", "the read model is being rebuilt by somebody else")

// ErrUnknownModel: there is no such read model.
var ErrUnknownModel = fault.New(fault.NotFound, "unknown_model", "there is no such read model")

// Step is a stage of a rebuild.
type Step string

// The steps, in their order. From Prepare to Exchanging the old model serves, whole; from Exchanged on the new
// one does.
const (
	Prepare    Step = "prepare"    // what an earlier rebuild has left is thrown away
	Fill       Step = "fill"       // the shadow is filled from the journal
	CatchUp    Step = "catch_up"   // with what has ended meanwhile
	Compare    Step = "compare"    // the checksums are compared
	Exchange   Step = "exchange"   // the lock is held, nothing more comes
	Exchanging Step = "exchanging" // all is written, nothing is committed
	Exchanged  Step = "exchanged"  // committed
	Tidied     Step = "tidied"     // the old tables are gone
)

// Progress says how far a rebuild is. Done and Total count sagas and are 0 where nothing is counted.
type Progress struct {
	Step        Step
	Done, Total int
}

// Rebuilt says what a rebuild found and did.
type Rebuilt struct {
	Model   string `json:"model"`
	Orders  int    `json:"orders"`  // those that have ended, and are in the rebuilt model
	Open    int    `json:"open"`    // those that have not, and are in none
	Entries int    `json:"entries"` // of the journal that were read at first

	// The two as they were compared: the orders that had ended then.
	Compared  int    `json:"compared"`
	Live      string `json:"live"`    // checksum
	Rebuilt   string `json:"rebuilt"` // checksum
	Identical bool   `json:"identical"`

	Missing   Found `json:"missing"`   // orders that the live model did not have
	Extra     Found `json:"extra"`     // orders that it had, and that have not ended
	Different Found `json:"different"` // orders, or days, of which it said something else

	Exchanged  bool    `json:"exchanged"`  // false: it was only compared
	Generation int     `json:"generation"` // of the model that serves now
	Seconds    float64 `json:"seconds"`
}

// Found is a number of findings with the first of them.
type Found struct {
	N     int      `json:"n"`
	First []string `json:"first"`
}

// examples is how many findings are named.
const examples = 5

// Add counts a finding and names it if it is one of the first.
func (f *Found) Add(what string) {
	f.N++
	if len(f.First) < examples {
		f.First = append(f.First, what)
	}
}
