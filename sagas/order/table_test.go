package order

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"millrace/app/messages"
)

// Every step of every version with every message there is, with every reason where the reason
// matters and every wait where that does: what Decide does is what the table says, and what the
// table does not say does nothing.
func TestTheTableAndDecideAgree(t *testing.T) {
	t.Parallel()
	for _, def := range definitions {
		table, used := def.Table(), map[int]bool{}
		for _, s := range everyState(def) {
			for _, in := range everyInput(s) {
				d := def.Decide(s, in)
				if d.State.Entry == s.Entry {
					if i := slices.IndexFunc(table, func(e Edge) bool { return e.From == s.Step && e.On == in.Message.Name() }); i >= 0 {
						t.Errorf("version %d: %s in %s does nothing, the table says %v", def.Version, in.Message.Name(), s.Step, table[i])
					}
					if d.State.Step != s.Step || len(d.Send) > 0 || d.Verdict == Applied {
						t.Errorf("version %d: %s in %s leads to %s and sends %v without entering a step", def.Version, in.Message.Name(), s.Step, d.State.Step, namesOf(d.Send))
					}
					continue
				}
				i := slices.IndexFunc(table, func(e Edge) bool {
					return e.From == s.Step && e.On == in.Message.Name() && e.To == d.State.Step
				})
				if i < 0 {
					t.Errorf("version %d: %s in %s leads to %s, the table does not", def.Version, in.Message.Name(), s.Step, d.State.Step)
					continue
				}
				used[i] = true
				if !slices.Equal(namesOf(d.Send), table[i].Sends) {
					t.Errorf("version %d: %s in %s sends %v, the table %v", def.Version, in.Message.Name(), s.Step, namesOf(d.Send), table[i].Sends)
				}
			}
		}
		if len(used) != len(table) {
			t.Errorf("version %d: Decide takes %d of the table's %d rows", def.Version, len(used), len(table))
		}
	}
}

// everyState is one state in each step, for every reason and every wait that it may have.
func everyState(def Definition) []State {
	var all []State
	for _, step := range Steps {
		for _, reason := range []string{"", messages.ReasonPaymentTimeout, messages.ReasonCancelledByUser} {
			if undoing := step == UndoingInventory || step == UndoingPayment; undoing != (reason != "") {
				continue // the way forward has no reason, an undo always has one
			}
			for waited := range def.InventoryWaits {
				s := Start()
				s.Step, s.Entry, s.Reason, s.Waited = step, 7, reason, waited
				all = append(all, s)
			}
		}
	}
	return all
}

func TestThePackageCommentShowsTheTable(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	line := "//\t%-18s  %-20s  %-16s  %s\n"
	fmt.Fprintf(&table, line, "at", "on", "send", "next")
	for _, e := range Table {
		sends := strings.Join(e.Sends, ", ")
		if sends == "" {
			sends = "-"
		}
		fmt.Fprintf(&table, line, e.From, e.On, sends, e.To)
	}
	if !strings.Contains(string(doc), table.String()) {
		t.Errorf("doc.go should hold this table:\n%s", table.String())
	}
}

func TestNothingLeadsOutOfATerminalStep(t *testing.T) {
	t.Parallel()
	for _, s := range Steps {
		leaves := slices.ContainsFunc(Table, func(e Edge) bool { return e.From == s })
		if s.Terminal() == leaves {
			t.Errorf("%s: terminal is %t, and the table leads out of it is %t", s, s.Terminal(), leaves)
		}
	}
}

// everyInput is one of each message of the catalogue, and both timers as s has them.
func everyInput(s State) []Input {
	var all []Input
	for _, spec := range messages.Catalogue {
		all = append(all, says(spec.New()))
	}
	return append(all, says(TimedOut{orderID, Timer{PaymentTimer, s.Entry}}), says(TimedOut{orderID, Timer{InventoryTimer, s.Entry}}))
}
