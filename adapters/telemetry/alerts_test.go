package telemetry_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"millrace/adapters/telemetry"
)

// rules is a Prometheus rule file, as far as we use it.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

var (
	grouping  = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
	word      = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*`)
	duration  = regexp.MustCompile(`\[[0-9]+[smhd]\]`)
	shown     = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	functions = []string{"max", "sum", "increase"}
	fromJob   = []string{"job", "instance"} // that Prometheus adds itself
)

func TestAlertsAskForMetricsAndLabelsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/observability/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true) // a misspelt key is an alert that never fires
	var all rules
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	m := telemetry.NewMetrics("order-service")
	tellAll(m)
	there := shape(scrape(t, m))

	asked := map[string]bool{}
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			by := labelsOf(r.Expr)
			metrics := metricsOf(r.Expr)
			for _, name := range metrics {
				asked[name] = true
				has := strings.Fields(there[name])
				if len(has) == 0 {
					t.Errorf("%s asks for %s, which nobody shows", r.Alert, name)
					continue
				}
				for _, label := range by {
					if !slices.Contains(fromJob, label) && !slices.Contains(has[1:], label) {
						t.Errorf("%s groups by %s, which %s does not have", r.Alert, label, name)
					}
				}
			}
			for _, l := range shown.FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
				if !slices.Contains(by, l[1]) {
					t.Errorf("%s shows the label %s, and groups by %v", r.Alert, l[1], by)
				}
			}
			if len(metrics) == 0 || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%q is not whole: %+v", r.Alert, r)
			}
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: for: %v", r.Alert, err)
			}
			wantRunbook(t, r.Alert, r.Annotations["runbook"])
		}
	}
	for _, name := range []string{"outbox_oldest_seconds", "outbox_dead_waiting", "sagas_stuck", "dead_letters_waiting", "consumer_lag", "circuit_state"} {
		if !asked[name] {
			t.Errorf("no alert asks for %s", name)
		}
	}
}

func labelsOf(expr string) []string {
	var labels []string
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, word.FindAllString(g[1], -1)...)
	}
	return labels
}

func metricsOf(expr string) []string {
	expr = duration.ReplaceAllString(grouping.ReplaceAllString(expr, ""), "")
	var metrics []string
	for _, w := range word.FindAllString(expr, -1) {
		if !slices.Contains(functions, w) {
			metrics = append(metrics, w)
		}
	}
	return metrics
}

// wantRunbook wants a page and its section: an alert that leads nowhere helps nobody at night.
func wantRunbook(t *testing.T, alert, runbook string) {
	t.Helper()
	page, section, _ := strings.Cut(runbook, "#")
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Errorf("%s: %v", alert, err)
		return
	}
	for line := range strings.Lines(string(text)) {
		heading, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		heading = strings.TrimLeft(heading, "# ")
		if ok && strings.ReplaceAll(strings.ToLower(heading), " ", "-") == section {
			return
		}
	}
	t.Errorf("%s: %s has no section %s", alert, page, section)
}
