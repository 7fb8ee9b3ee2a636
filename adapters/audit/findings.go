package audit

import (
	"fmt"
	"slices"
	"sync"

	"millrace/app/audit"
)

// findings are what one look has found about each invariant.
type findings struct {
	orders     audit.Orders
	invariants map[string]*finding
	names      []string
}

// finding is about one invariant.
type finding struct {
	checked  int
	barred   string          // why it cannot be looked at; empty where it can
	certain  map[string]bool // offenders that one snapshot shows
	suspects map[string]bool // offenders that may only be under way
	words    []string        // about the first of both
	earlier  map[string]bool // nil in the first look: afterwards nobody else is a suspect

	mu sync.Mutex // two checks may find something at once
}

// newFindings begins a look. In a look after the first, only earlier suspects are suspects. noLedger is why
// there is nothing of the provider's to compare with.
func newFindings(settled bool, noLedger string, earlier findings) findings {
	f := findings{invariants: map[string]*finding{}, names: []string{
		audit.StockConserved, audit.MoneyConserved, audit.OneCapturePerOrder, audit.TerminalAbsorbs,
		audit.TimelineIsAPath, audit.OutboxMatchesState, audit.InboxUnique, audit.EveryAcceptedOrderExists,
		audit.MailPerTerminalOrder,
	}}
	if settled {
		f.names = append(f.names, audit.NothingPending, audit.BooksMatchProvider)
	}
	for _, name := range f.names {
		f.invariants[name] = &finding{certain: map[string]bool{}, suspects: map[string]bool{}}
		// Something else may be pending in every look, and then it was never settled.
		if before := earlier.invariants[name]; before != nil && name != audit.NothingPending {
			f.invariants[name].earlier = before.suspects
		}
	}
	if settled {
		f.of(audit.BooksMatchProvider).barred = noLedger
	}
	return f
}

// of gives the finding about an invariant.
func (f findings) of(name string) *finding { return f.invariants[name] }

// broken notes an offender beyond doubt. Each is named once.
func (f *finding) broken(subject, format string, args ...any) {
	f.note(f.certain, subject, format, args)
}

// count adds to how many things were looked at, for what two checks count at once.
func (f *finding) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked += n
}

// suspect notes an offender that may only be under way.
func (f *finding) suspect(subject, format string, args ...any) {
	if f.earlier == nil || f.earlier[subject] {
		f.note(f.suspects, subject, format, args)
	}
}

func (f *finding) note(in map[string]bool, subject, format string, args []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.certain[subject] || f.suspects[subject] {
		return
	}
	in[subject] = true
	if len(f.words) < audit.MaxViolations {
		f.words = append(f.words, subject+": "+fmt.Sprintf(format, args...))
	}
}

// suspicious says whether another look could change the report.
func (f findings) suspicious() bool {
	return slices.ContainsFunc(f.names, func(name string) bool { return len(f.invariants[name].suspects) > 0 })
}

func (f findings) report() audit.Report {
	r := audit.Report{OK: true, Orders: f.orders, Invariants: make([]audit.Invariant, len(f.names))}
	for i, name := range f.names {
		one := f.invariants[name]
		broken := len(one.certain) + len(one.suspects)
		r.Invariants[i] = audit.Invariant{
			Name: name, OK: broken == 0, Checked: one.checked, Broken: broken, Violations: append([]string{}, one.words...),
			Unchecked: one.barred,
		}
		r.OK = r.OK && broken == 0
	}
	return r
}
