package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func measured(t *testing.T) *report {
	t.Helper()
	r := newReport(t.Context(), plan{})
	for _, v := range []float64{900, 1000, 1200} {
		r.sample("steady", "millrace", "orders/s", v)
	}
	r.sample("steady", "watermill", "orders/s", 100)
	r.point("throughput", "millrace", 16, 300)
	r.point("throughput", "millrace", 1000, 1000)
	r.keep()
	return r
}

func TestTheTableGivesMedianRangeRatioAndGoal(t *testing.T) {
	t.Parallel()
	r := measured(t)
	r.sample("steady", "river", "orders/s", 400)
	r.sample("processor", "millrace", "ms/order", 1.25)
	r.sample("memory", "millrace", "MB", 299)
	r.keep()
	got := r.table()
	for _, want := range []string{
		"| steady, at most 1,000 orders under way, against stock Watermill tuned | 1000 orders/s (900 to 1200) | 100 orders/s | 10.00 | at least 10: met |\n",
		"| steady, against River tuned | 1000 orders/s (900 to 1200) | 400 orders/s | 2.50 | at least 3.5: **missed** |\n",
		"| steady, against PostgreSQL alone, one CTE a transaction | 1000 orders/s (900 to 1200) | not measured |  |  |\n",
		"| processor time of the processes | 1.25 ms/order |  |  | at most 1: **missed** |\n",
		"| the same, against River tuned | 1.25 ms/order | not measured |  |  |\n",
		"| largest process, after steady load and burst | 299 MB |  |  | at most 300: met |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %s in\n%s", want, got)
		}
	}
}

func TestAFastWrongAnswerIsNoResult(t *testing.T) {
	t.Parallel()
	r := measured(t)
	r.sample("steady", "millrace", "orders/s", 1e6)
	r.fail("millrace", errors.New("12 orders are lost"))
	r.keep()
	if got := r.table(); strings.Contains(got, "1000000") || !strings.Contains(got, "FAILED: millrace: 12 orders are lost") {
		t.Errorf("got\n%s", got)
	}
}

func TestThePageKeepsWhatStandsAroundTheTable(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+begins+"old\n"+ends+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := measured(t).intoPage(page); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, "before\n"+begins+"| measure |") || !strings.HasSuffix(got, ends+"after\n") || strings.Contains(got, "old\n") {
		t.Errorf("got\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(page), "bench-throughput.svg")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(page, []byte("no place\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := measured(t).intoPage(page); err == nil {
		t.Error("a page without a place was written")
	}
}

func TestAPlotIsXMLWithAPointForEveryMeasurement(t *testing.T) {
	t.Parallel()
	plots := measured(t).plots()
	if len(plots) != 1 {
		t.Fatalf("%d plots, want that of throughput alone", len(plots))
	}
	points := 0
	d := xml.NewDecoder(strings.NewReader(string(plots["bench-throughput.svg"])))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			points++
		}
	}
	if points != 2 {
		t.Errorf("%d points, want 2", points)
	}
}

func TestTheCommandIsWhatOneHasToType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		quick bool
		args  string
		want  string
	}{
		{false, "", "make bench"},
		{true, "-quick", "make bench-quick"},
		{false, "-only steady -rounds 5", "make bench BENCH='-only steady -rounds 5'"},
		{true, "-quick -keep", "make bench-quick BENCH='-keep'"},
	} {
		if got := command(plan{quick: c.quick}, strings.Fields(c.args)); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}
