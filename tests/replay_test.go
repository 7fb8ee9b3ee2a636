package tests

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/app/messages"
)

// diffBlock and consoleBlock are the fenced blocks of a page.
var (
	diffBlock    = regexp.MustCompile("(?s)```diff\n(.*?)```")
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
)

// lastHour makes a data folder beside which the page's words about a live database are said: an order of two hours
// ago, and two of this one, of which one ran out of stock.
func lastHour(t *testing.T) string {
	t.Helper()
	dir, now := t.TempDir(), time.Now().Add(-2*time.Hour)
	o := newOrdering(t, filepath.Join(dir, ".millrace", "db", "orders.db"), func() time.Time { return now })
	one := []messages.Quantity{{SKU: "SKU-123", Qty: 1}}
	begun := func() string {
		id := o.placed(1)
		o.hears(id, &messages.OrderCreated{
			OrderID: id, UserID: "usr_001", Items: []messages.Item{{SKU: "SKU-123", Qty: 1, Price: 1200}}, Currency: "LKR", Total: 1200, PaymentMethod: "pm_card_ok",
		}, &messages.PaymentSucceeded{OrderID: id, PaymentID: "pay_" + id, Amount: 1200, Currency: "LKR", Provider: "simulator", AuthCode: "A1", Items: one})
		return id
	}
	refused := func(id string) {
		o.hears(id, &messages.InventoryFailed{OrderID: id, Reason: messages.ReasonOutOfStock, Missing: []messages.Shortage{{SKU: "SKU-123", Wanted: 1}}}, &messages.PaymentRefunded{
			OrderID: id, Amount: 1200, Currency: "LKR", Outcome: messages.OutcomeRefunded,
		})
	}
	refused(begun())
	now = time.Now()
	id := begun()
	o.hears(id, &messages.InventoryReserved{OrderID: id, Reservations: one, Warehouse: "WH-1"})
	refused(begun())
	o.must(o.db.Close())
	return dir
}

// The page's example is played: its change is made to a copy of Decide, two binaries are built, and
// each command says what the page says.
func TestTheExampleOfTheReplayPageHappensAsItStandsThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin, live := t.TempDir(), lastHour(t)
	build(t, filepath.Join(bin, "millrace"))
	build(t, filepath.Join(bin, "branch", "millrace"), "-overlay", changed(t, root, string(page)))

	blocks := consoleBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 8 {
		t.Fatalf("the page has %d conversations: it has lost some", len(blocks))
	}
	for _, block := range blocks {
		code := 0
		for _, exchange := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(exchange, "\n")
			want = strings.TrimSuffix(want, "\n")
			if line == "echo $?" {
				if strconv.Itoa(code) != want {
					t.Errorf("the command before it ends with %d, the page says %s", code, want)
				}
				continue
			}
			from := root
			if strings.Contains(line, " --query ") {
				from = live
			}
			var got string
			if got, code = said(t, from, bin, strings.Fields(line)); got != want {
				t.Errorf("$ %s says\n%s\nand the page\n%s", line, got, want)
			}
		}
	}
}

func build(t *testing.T, to string, flags ...string) {
	t.Helper()
	args := append(append([]string{"build"}, flags...), "-o", to, "../cmd/millrace")
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// changed makes an overlay in which the page's change is made.
func changed(t *testing.T, root, page string) string {
	t.Helper()
	diff := diffBlock.FindStringSubmatch(page)
	if diff == nil {
		t.Fatal("the page shows no change")
	}
	var before, after strings.Builder
	for _, line := range strings.SplitAfter(strings.TrimSuffix(diff[1], "\n"), "\n") {
		if line[0] != '+' {
			before.WriteString(line[1:])
		}
		if line[0] != '-' {
			after.WriteString(line[1:])
		}
	}
	source := filepath.Join(root, "sagas", "order", "decide.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), before.String()); n != 1 {
		t.Fatalf("what the page changes stands in decide.go %d times", n)
	}
	copied := filepath.Join(t.TempDir(), "decide.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: copied}})
	if err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(filepath.Dir(copied), "overlay.json")
	for path, content := range map[string]string{copied: strings.Replace(string(text), before.String(), after.String(), 1), written: string(overlay)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return written
}

// said runs a command of the page in a folder and gives its stdout and exit code.
func said(t *testing.T, from, bin string, words []string) (string, int) {
	t.Helper()
	for i, w := range words {
		if w == "millrace" || w == "branch/millrace" {
			words[i] = filepath.Join(bin, w)
		}
	}
	c := exec.CommandContext(t.Context(), words[0], words[1:]...)
	c.Dir, c.Env = from, []string{"HOME=" + bin, "PATH=" + os.Getenv("PATH")}
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n"), c.ProcessState.ExitCode()
}
