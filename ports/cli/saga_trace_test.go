package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"millrace/ports/cli"
)

func TestATraceIsLinkedToWhereTracesAreLookedAt(t *testing.T) {
	t.Parallel()
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for viewer, link := range map[string]string{
		"http://jaeger:16686/trace":           "http://jaeger:16686/trace/" + id,
		"http://jaeger:16686/trace/":          "http://jaeger:16686/trace/" + id,
		"http://grafana/explore?q={traceId}&": "http://grafana/explore?q=" + id + "&",
		"":                                    "search for it where your traces are, or set TRACE_URL for a link",
	} {
		var out bytes.Buffer
		d := fakeDeps()
		d.Stdout, d.Stderr = &out, &out
		d.Config = func() ([]cli.Setting, error) { return []cli.Setting{{Name: "TRACE_URL", Value: viewer}}, nil }
		if code := cli.Run(t.Context(), []string{"saga", "show", "ord_open"}, d); code != 0 || !strings.Contains(out.String(), "trace       "+id+"  "+link+"\n") {
			t.Errorf("with %q it ends with %d and shows\n%s", viewer, code, out.String())
		}
	}
}
