package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
	planSHA      = regexp.MustCompile(`[0-9a-f]{64}`)
	aQuoted      = regexp.MustCompile(`'[^']*'|\S+`)
	anOrder      = regexp.MustCompile(`ord_[0-9a-z]{26}`)
	aCount       = regexp.MustCompile(`\d+`)
)

// differing is what is another thing in every run, and what stands for it.
var differing = []struct {
	what *regexp.Regexp
	as   string
}{
	{planSHA, "SHA"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f-]{21}`), "ID"},
	{anOrder, "ORDER"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "TRACE"},
	{regexp.MustCompile(`\+\d+ ms`), "LATER"},
	{regexp.MustCompile(`\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b`), "AGE"},
	{regexp.MustCompile(` {2,}`), "  "},
}

// masked is a text without what differs. What became of items is told as soon as it is known, in any order.
func masked(text string) string {
	for _, d := range differing {
		text = d.what.ReplaceAllString(text, d.as)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && strings.HasPrefix(lines[to], "VERIFIED") {
			to++
		}
		slices.Sort(lines[from:to])
		from = max(from, to-1)
	}
	return strings.Join(lines, "\n")
}

// runbook is a symptom of docs/operations.md, or a lab, being played.
type runbook struct {
	stack  *stack
	dir    string
	blocks []string
	text   string // of the whole symptom
	sha    string // of the last plan
	order  string // that was spoken of last: the page's orders stand for it
	loose  bool   // counts are others in every run
	branch string // the build that stands there as branch/millrace
}

func openRunbook(t *testing.T, s *stack, symptom string) *runbook {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n### "+symptom+"\n")
	if !found {
		t.Fatalf("the page has no symptom %q", symptom)
	}
	return openText(t, s, symptom, strings.Split(strings.Split(section, "\n### ")[0], "\n## ")[0])
}

// openText finds the conversations of a text. All of them must be played before the test is over.
func openText(t *testing.T, s *stack, name, text string) *runbook {
	t.Helper()
	r := &runbook{stack: s, dir: t.TempDir(), text: text}
	for _, b := range consoleBlock.FindAllStringSubmatch(text, -1) {
		r.blocks = append(r.blocks, b[1])
	}
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() && len(r.blocks) > 0 {
			t.Errorf("of %q %d conversations were not played:\n%s", name, len(r.blocks), strings.Join(r.blocks, "\n"))
		}
	})
	return r
}

// playedElsewhere are the parts of the page whose one conversation another test plays, and which.
var playedElsewhere = map[string]string{"Read models": "../readmodels_test.go"}

// Every conversation of the page stands under a symptom that is opened here, whose conversations are then all
// played, or in a part that another test plays.
func TestNoConversationOfTheRunbookIsLeftUnplayed(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("runbook_test.go")
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string]bool{}
	for _, call := range regexp.MustCompile(`openRunbook\(t, s, "([^"]+)"\)`).FindAllStringSubmatch(string(source), -1) {
		opened[call[1]] = true
	}
	blocks := 0
	for _, section := range regexp.MustCompile(`(?m)^##+ `).Split(string(page), -1) {
		heading, text, _ := strings.Cut(section, "\n")
		n := len(consoleBlock.FindAllString(text, -1))
		blocks += n
		if n == 0 || opened[heading] {
			continue
		}
		by, err := os.ReadFile(playedElsewhere[heading])
		if err != nil || n != 1 || !strings.Contains(string(by), "operations.md") || !strings.Contains(string(by), heading) {
			t.Errorf("nobody plays the %d conversations of %q", n, heading)
		}
	}
	if all := strings.Count(string(page), "```console\n"); blocks != all || all < 10 {
		t.Errorf("of %d conversations %d are under a heading", all, blocks)
	}
}

// play runs the next conversation of the symptom, and compares what is said.
func (r *runbook) play(t *testing.T) {
	t.Helper()
	if len(r.blocks) == 0 {
		t.Fatal("the page has lost a conversation")
	}
	var said strings.Builder
	exchanges := strings.Split("\n"+strings.TrimSuffix(r.blocks[0], "\n"), "\n$ ")[1:]
	for i, exchange := range exchanges {
		line, code, _ := strings.Cut(exchange, "\n")
		if line == askForCode { // it was checked with the command before it
			said.WriteString("$ " + line + "\n" + code + "\n")
			continue
		}
		want := 0
		if i+1 < len(exchanges) && strings.HasPrefix(exchanges[i+1], askForCode+"\n") {
			want, _ = strconv.Atoi(strings.TrimPrefix(exchanges[i+1], askForCode+"\n"))
		}
		said.WriteString("$ " + line + "\n" + r.run(t, line, want))
	}
	if got, want := said.String(), r.blocks[0]; r.masked(got) != r.masked(want) {
		t.Errorf("the page says\n%s\nand the system\n%s", want, got)
	}
	r.blocks = r.blocks[1:]
}

func (r *runbook) masked(text string) string {
	text = masked(text)
	if r.loose {
		text = strings.ReplaceAll(aCount.ReplaceAllString(text, "N"), "  ", " ")
	}
	return text
}

// askForCode is how a conversation shows the exit code of the command before.
const askForCode = "echo $?"

// run gives what a command writes that must end with a code, with what it writes for people behind its data.
func (r *runbook) run(t *testing.T, line string, code int) string {
	t.Helper()
	command, file, redirected := strings.Cut(line, " > ")
	command = strings.ReplaceAll(planSHA.ReplaceAllString(command, r.sha), "older=15m", "older=1ms")
	if r.order != "" {
		command = anOrder.ReplaceAllString(command, r.order)
	}
	var args []string
	for _, word := range aQuoted.FindAllString(command, -1)[1:] {
		if word = strings.Trim(word, "'"); word == "plan.json" {
			word = filepath.Join(r.dir, word)
		}
		args = append(args, word)
	}
	settings := append([]string{"INVENTORY_TIMEOUT=10m", "PAYMENT_TIMEOUT=10m"}, r.stack.env...)
	program := binary
	if strings.HasPrefix(command, "branch/") {
		program = r.branch
	}
	where := []string{"--data", r.stack.data}
	if args[0] == "order" {
		where = []string{"--url", r.stack.url(gatewayPort, "")}
	}
	c := spawnBuild(program, t, t, settings, append(args, where...)...)
	c.ends(t, 2*time.Minute, code)
	if id := anOrder.FindString(c.stdout.String()); id != "" {
		r.order = id
	}
	if !redirected {
		return c.stdout.String() + c.stderr.String()
	}
	var plan struct{ SHA256 string }
	if err := json.Unmarshal([]byte(c.stdout.String()), &plan); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	r.sha = plan.SHA256
	if err := os.WriteFile(filepath.Join(r.dir, file), []byte(c.stdout.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return c.stderr.String()
}

func TestTheRunbookForWhatStandsStillHappensAsItStandsThere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, patient...)
	release := s.holdInventory(t)
	for range 3 {
		s.place(t, wish{})
	}
	await(t, time.Minute, "all are paid, and their messages are on Kafka", func() bool {
		return s.inState(t, "awaiting_inventory") == 3 && s.unsent(t) == 0
	})
	s.kill()
	if err := os.RemoveAll(filepath.Join(s.data, "kafka")); err != nil {
		t.Fatal(err)
	}
	release()
	s.start(t, patient...)

	stuck := openRunbook(t, s, "Orders stuck in PAID")
	stuck.play(t)
	stuck.play(t)

	mend := s.breakSagas(t, "SKU-099")
	id := s.place(t, wish{sku: "SKU-099"})
	await(t, soon, "three messages of the order are dead letters", func() bool { return len(s.deadOf(t, "order="+id)) == 3 })
	refused := openRunbook(t, s, "Dead letters grow")
	refused.play(t)
	mend()
	refused.play(t)
	s.verified(t)
}

// A build that forgets the refund is asked about last hour's orders, is deployed all the same, and is rolled back.
func TestTheRunbookForABadDeployHappensAsItStandsThere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	ahead := openRunbook(t, s, "A deploy is ahead: is it safe for the orders in flight?")
	ahead.branch = branchBuild(t, ahead.text)
	s.start(t)
	for _, w := range []wish{{}, {sku: "SKU-NONE"}} {
		s.awaitEnd(t, s.place(t, w), soon)
	}
	ahead.play(t)

	s.terminate(t)
	s.build = ahead.branch
	s.start(t)
	for range 2 {
		s.place(t, wish{sku: "SKU-NONE"})
	}
	await(t, time.Minute, "nobody refunds two orders", func() bool { return s.inState(t, "undoing_payment") == 2 })
	s.terminate(t)
	s.build = ""
	s.start(t)

	touched := openRunbook(t, s, "A bad deploy: what did it touch?")
	touched.play(t)
	touched.play(t)
	touched.play(t)
	for _, o := range s.orders(t, "") {
		if o.Items[0].SKU == "SKU-NONE" && (o.Status != "FAILED" || o.Reason != "out_of_stock") {
			t.Errorf("%s is %s for %q", o.OrderID, o.Status, o.Reason)
		}
	}
	s.balanced(t)
	s.verified(t)
}

func TestTheRunbookForAProviderThatWasDownHappensAsItStandsThere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s, around := newSurrounded(t)
	s.start(t, patient...)
	around.psp.away(t)
	for range 2 {
		s.place(t, wish{})
	}
	await(t, time.Minute, "both wait for their payment", func() bool { return s.inState(t, "awaiting_payment") == 2 })
	down := openRunbook(t, s, "The provider was down for an hour")
	down.play(t)
	around.psp.back(t)
	await(t, time.Minute, "both are confirmed", func() bool { return s.inState(t, "confirmed") == 2 })
	down.play(t)
}
