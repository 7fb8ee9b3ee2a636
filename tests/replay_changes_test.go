package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sourceChange is something that somebody may do to the saga, made in a copy of its source.
type sourceChange struct {
	name  string
	file  string
	edits []string // what stands there once, and what stands there instead, in turn
	says  []string // of the check of the corpus, each in a line of its own
	only  string   // what every line is about; empty where many bundles are hit
}

// What replay says when the saga's own source is changed: not a stand-in for Decide, but the
// production function, compiled with the mistake in it and given the corpus.
var sourceChanges = []sourceChange{
	{
		name: "two commands change places", file: "sagas/order/decision.go",
		edits: []string{
			"&messages.ReleaseInventory{OrderID: t.order, Reason: t.State.Reason}", "&messages.Other{OrderID: t.order, Reason: t.State.Reason}",
			"&messages.RefundPayment{OrderID: t.order, Reason: t.State.Reason}", "&messages.ReleaseInventory{OrderID: t.order, Reason: t.State.Reason}",
			"&messages.Other{OrderID: t.order, Reason: t.State.Reason}", "&messages.RefundPayment{OrderID: t.order, Reason: t.State.Reason}",
		},
		says: []string{
			`cancelledbeforepayment.ndjson: ord_cancelledbeforepayment DIVERGED: entry 2 on OrderCancelRequested: other_message (money) at /sent/0/type: recorded "ReleaseInventory", replayed "RefundPayment"`,
			`outofstock.ndjson: ord_outofstock DIVERGED: entry 3 on InventoryFailed: other_message (money) at /sent/0/type: recorded "RefundPayment", replayed "ReleaseInventory"`,
		},
	},
	{
		name: "the clock is read", file: "sagas/order/decide.go",
		edits: []string{
			"import (\n", "import (\n\t\"time\"\n",
			"	case row{AwaitingPayment, paymentSucceeded}:\n", "	case row{AwaitingPayment, paymentSucceeded}:\n\t\ts.UserID = time.Now().String()\n",
		},
		says: []string{`confirmed.ndjson: ord_confirmed DIVERGED: entry 2 on PaymentSucceeded: not_deterministic (money) at /after/userId: recorded "`},
	},
	{
		name: "another amount is told", file: "sagas/order/decision.go",
		edits: []string{"		Total:    t.State.Total,\n", "		Total:    t.State.Total + 1,\n"},
		says:  []string{`confirmed.ndjson: ord_confirmed DIVERGED: entry 3 on InventoryReserved: payload (money) at /sent/0/data/total: recorded 2400, replayed 2401`},
	},
	{
		name: "a message loses a member that old ones have", file: "app/messages/messages.go",
		edits: []string{"`json:\"authCode\"`", "`json:\"code\"`"},
		says:  []string{`confirmed.ndjson: ord_confirmed UNREPLAYABLE: entry 2 on PaymentSucceeded: unknown_history (unknown) at /payload: today's PaymentSucceeded does not keep /payload/authCode`},
	},
	{
		name: "a version is taken out of the code", file: "sagas/order/versions.go",
		edits: []string{"	{Version: 1, InventoryWaits: 1},\n", ""},
		says: []string{
			`confirmed.ndjson: ord_confirmed UNREPLAYABLE: entry 1 on OrderCreated: no_definition (unknown) at /definition: this build has no code for version 1`,
			`staletimer.ndjson: ord_staletimer UNREPLAYABLE: entry 1 on OrderCreated: no_definition (unknown) at /definition: this build has no code for version 1`,
		},
		only: "this build has no code for version 1",
	},
	{
		name: "a version is changed instead of another being made", file: "sagas/order/versions.go",
		edits: []string{"{Version: 1, InventoryWaits: 1}", "{Version: 1, InventoryWaits: 2}"},
		says: []string{
			`inventorytimeout.ndjson: ord_inventorytimeout DIVERGED: entry 3 on InventoryTimedOut: missing_message (goods) at /sent/0: recorded {`,
		},
		only: " DIVERGED: entry 3 on InventoryTimedOut: ",
	},
}

func TestReplayNamesWhatAChangeOfTheSagasSourceDoes(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sourceChanges { // one after the other: each compiles
		said := c.checkCorpus(t, root)
		for _, line := range c.says {
			if !strings.Contains("\n"+said, "\n"+line) {
				t.Errorf("%s: the corpus does not say\n%s\nbut\n%s", c.name, line, said)
			}
		}
		for line := range strings.Lines(said) {
			if !strings.Contains(line, c.only) {
				t.Errorf("%s: the corpus also says\n%s", c.name, line)
			}
		}
	}
}

// spoken is a line of the corpus's check.
var spoken = regexp.MustCompile(`(?m)^ +corpus_test\.go:\d+: (.*\.ndjson: .*)$`)

// checkCorpus runs the corpus's check on a source with the change, and gives what it says of
// histories, a line each.
func (c sourceChange) checkCorpus(t *testing.T, root string) string {
	t.Helper()
	source := filepath.Join(root, filepath.FromSlash(c.file))
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	for i := 0; i < len(c.edits); i += 2 {
		if n := strings.Count(changed, c.edits[i]); n != 1 {
			t.Fatalf("%s: what it changes stands in %s %d times: %q", c.name, c.file, n, c.edits[i])
		}
		changed = strings.Replace(changed, c.edits[i], c.edits[i+1], 1)
	}
	dir := t.TempDir()
	copied, overlay := filepath.Join(dir, filepath.Base(source)), filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {source: copied}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{copied: []byte(changed), overlay: replaced} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "./sagas/replay", "-count=1", "-run", "^TestTodaysCodeDecidesTheCorpusAsItWasDecided$")
	check.Dir = root
	out, err := check.CombinedOutput()
	if err == nil {
		t.Errorf("%s: the corpus does not see it", c.name)
	}
	var said strings.Builder
	for _, line := range spoken.FindAllStringSubmatch(string(out), -1) {
		said.WriteString(line[1] + "\n")
	}
	if said.Len() == 0 {
		t.Errorf("%s: the check says of no history\n%s", c.name, out)
	}
	return said.String()
}
