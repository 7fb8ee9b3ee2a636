package order

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"millrace/app/messages"
)

// Every step with every message there is, and with every reason where the reason matters: what
// Decide does is what the table says, and what the table does not say does nothing.
func TestTheTableAndDecideAgree(t *testing.T) {
	t.Parallel()
	used := map[int]bool{}
	for _, from := range Steps {
		for _, reason := range []string{"", messages.ReasonPaymentTimeout, messages.ReasonCancelledByUser} {
			s := Start()
			s.Step, s.Entry, s.Reason = from, 7, reason
			if undoing := from == UndoingInventory || from == UndoingPayment; undoing != (reason != "") {
				continue // the way forward has no reason, an undo always has one
			}
			for _, in := range everyInput(s) {
				d := Decide(s, in)
				if d.State.Step == from {
					if i := slices.IndexFunc(Table, func(e Edge) bool { return e.From == from && e.On == in.Message.Name() }); i >= 0 {
						t.Errorf("%s in %s does nothing, the table says %v", in.Message.Name(), from, Table[i])
					}
					if len(d.Send) > 0 || d.Verdict == Applied {
						t.Errorf("%s in %s sends %v without a step", in.Message.Name(), from, namesOf(d.Send))
					}
					continue
				}
				i := slices.IndexFunc(Table, func(e Edge) bool {
					return e.From == from && e.On == in.Message.Name() && e.To == d.State.Step
				})
				if i < 0 {
					t.Errorf("%s in %s leads to %s, the table does not", in.Message.Name(), from, d.State.Step)
					continue
				}
				used[i] = true
				if !slices.Equal(namesOf(d.Send), Table[i].Sends) {
					t.Errorf("%s in %s sends %v, the table %v", in.Message.Name(), from, namesOf(d.Send), Table[i].Sends)
				}
			}
		}
	}
	if len(used) != len(Table) {
		t.Errorf("Decide takes %d of the table's %d rows", len(used), len(Table))
	}
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
