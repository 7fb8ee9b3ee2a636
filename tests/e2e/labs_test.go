package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func openLab(t *testing.T, s *stack, name string) *runbook {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("../../docs/labs", name))
	if err != nil {
		t.Fatal(err)
	}
	return openText(t, s, name, string(page))
}

func TestEveryLabWithAConversationIsPlayed(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("labs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var played []string
	for _, call := range regexp.MustCompile(`openLab\(t, [a-z]+, "([^"]+)"\)`).FindAllStringSubmatch(string(source), -1) {
		played = append(played, call[1])
	}
	pages, err := filepath.Glob("../../docs/labs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d labs: %v", len(pages), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if consoleBlock.Match(text) && !slices.Contains(played, filepath.Base(page)) {
			t.Errorf("nobody plays %s", page)
		}
	}
}

func TestTheLabsOfOneOrderHappenAsTheyStandThere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	follow := openLab(t, s, "1-follow-an-order.md")
	follow.play(t)
	follow.play(t)
	await(t, soon, "all that was told is on Kafka", func() bool { return s.unsent(t) == 0 })
	follow.play(t)

	undo := openLab(t, s, "2-undo.md")
	undo.play(t)
	undo.play(t)
	s.awaitOrder(t, undo.order, soon, "is being paid", func(o order) bool { return o.Status == "PROCESSING" })
	undo.play(t)
	undo.play(t)
	s.verified(t)
}

func TestTheLabsOfDisastersHappenAsTheyStandThere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	s.killUnderLoad(t)
	s.start(t)
	s.verified(t)
	killed := openLab(t, s, "3-kill-it.md")
	killed.loose = true
	killed.play(t)

	s.killUnderLoad(t)
	if err := os.RemoveAll(s.disk); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	lost := openLab(t, s, "4-lose-the-broker.md")
	lost.loose = true
	lost.play(t)
	s.verified(t)
	lost.play(t)
}

// killUnderLoad kills everything while orders are on their way.
func (s *stack) killUnderLoad(t *testing.T) {
	t.Helper()
	before := len(s.orders(t, ""))
	load := spawn(t, t, nil, "bench", "--orders", "5000", "--concurrency", "32", "--url", s.url(gatewayPort, ""))
	await(t, time.Minute, "orders come in", func() bool { return len(s.orders(t, "")) >= before+200 })
	s.kill()
	load.kill()
}

func TestTheLabOfTheBrokenSagaEndsAsItStandsThere(t *testing.T) {
	skipShort(t)
	t.Parallel()
	page, err := os.ReadFile("../../docs/labs/5-break-the-saga.md")
	if err != nil {
		t.Fatal(err)
	}
	_, found, _ := strings.Cut(string(page), "\n```\nbroken: ")
	found, _, _ = strings.Cut("broken: "+found, "\n```\n")
	search := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-overlay", changed(t, string(page)),
		"-run", "TestEveryOrderOfEventsKeepsEveryPromise", "millrace/sagas/order")
	out, err := search.CombinedOutput()
	if err == nil {
		t.Error("the search does not see the mistake")
	}
	said := regexp.MustCompile(`(?m)^ +(\w+\.go:\d+: )?`).ReplaceAllString(string(out), "")
	if want := strings.ReplaceAll(found, "\n  ", "\n"); len(found) < 100 || !strings.Contains(said, want) {
		t.Errorf("the page shows\n%s\nand the search\n%s", found, out)
	}
}
