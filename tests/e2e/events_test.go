package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// events is an order's stream, as a client reads it.
type events struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// follow opens the stream of an order behind an event, "" for all.
func (s *stack) follow(t *testing.T, id, after string) *events {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url(gatewayPort, "/api/v1/orders/"+id+"/events"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the events of %s: %s, %s", id, res.Status, res.Header.Get("Content-Type"))
	}
	return &events{res.Body, bufio.NewScanner(res.Body)}
}

// next gives the next event as "id name data", without an id where it has none; "" when the stream is over.
func (e *events) next(t *testing.T) string {
	t.Helper()
	var fields []string
	for e.lines.Scan() {
		name, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch name {
		case "id", "event", "data":
			fields = append(fields, value)
		case "":
			if len(fields) > 0 {
				return strings.Join(fields, " ")
			}
		}
	}
	if err := e.lines.Err(); err != nil {
		t.Errorf("the stream broke off: %v", err)
	}
	return ""
}

// timeline gives an order's timeline as its events would tell it.
func (s *stack) timeline(t *testing.T, id string) []string {
	t.Helper()
	var shown struct{ Timeline []json.RawMessage }
	s.get(t, gatewayPort, "/api/v1/orders/"+id, &shown)
	told := make([]string, len(shown.Timeline))
	for i, raw := range shown.Timeline {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		told[i] = fmt.Sprintf("%d %s %s", e.Seq, e.Event, raw)
	}
	return told
}

func eventsAsTheyHappen(t *testing.T, s *stack) {
	id := s.place(t, wish{method: "pm_card_timeout"})
	stream := s.follow(t, id, "")
	first := stream.next(t)
	if o := s.show(t, id); o.ended() || !strings.HasPrefix(first, "1 OrderCreated {") {
		t.Errorf("the first event is %q, when the order is %s", first, o.Status)
	}
	told := []string{first}
	for e := stream.next(t); e != ""; e = stream.next(t) {
		told = append(told, e)
	}
	shown := s.timeline(t, id)
	end := `end {"orderId":"` + id + `","status":"CONFIRMED","reason":null}`
	if got, want := strings.Join(told, "\n"), strings.Join(append(shown, end), "\n"); got != want {
		t.Errorf("it tells\n%s\nwant\n%s", got, want)
	}
	var rest []string
	again := s.follow(t, id, "3")
	for e := again.next(t); e != ""; e = again.next(t) {
		rest = append(rest, e)
	}
	if got, want := strings.Join(rest, "\n"), strings.Join([]string{shown[3], end}, "\n"); got != want {
		t.Errorf("after the third event it tells\n%s\nwant\n%s", got, want)
	}
	if a, err := s.ask(http.MethodGet, "/api/v1/orders/ord_unknown/events", ""); err != nil || a.status != http.StatusNotFound || a.code() != "order_not_found" {
		t.Errorf("the events of an order that is not there: %v, %v", a, err)
	}
}

// endsWhileFollowed ends the system with a stream open, of an order that takes longer than a system may take to end.
func (s *stack) endsWhileFollowed(t *testing.T) {
	id := s.place(t, wish{method: "pm_card_late"})
	stream := s.follow(t, id, "")
	if first := stream.next(t); !strings.HasPrefix(first, "1 OrderCreated {") {
		t.Errorf("the first event is %q", first)
	}
	s.terminate(t)
	if rest := stream.next(t); rest != "" {
		t.Errorf("it tells %q of an order that is under way", rest)
	}
}
