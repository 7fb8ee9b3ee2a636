package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// lastHandler is the handler that is done with an order last: the orchestrator has decided the end
// before OrderCompleted is sent, and whoever else reads it fills read models, beside the order's way.
const lastHandler = "notify_customer"

// often is how often counters are read while a load is on: each time costs a millisecond of processor time, which
// is then missing where the orders are.
const often = 50 * time.Millisecond

// notificationPort is where the notification service listens, counted from the gateway's port.
const notificationPort = 4

// handled tells how many OrderCompleted have been handled, by the metrics of the services that do.
type handled struct {
	http *http.Client
	urls []string // of all processes of the notification service
	from float64  // what they had counted before the load, duplicates left out

	runs float64   // of the handler, as last seen
	done int       // orders since then
	at   time.Time // when that was first seen
	lost bool      // a process has begun to count anew: nothing can be told any more
}

// watchHandled reads the counters before a load. It fails when they are not to be had.
func watchHandled(ctx context.Context, client *http.Client, urls []string) (*handled, error) {
	if len(urls) == 0 {
		return nil, errors.New("no address")
	}
	h := &handled{http: client, urls: urls}
	runs, duplicates, err := h.count(ctx)
	if err != nil {
		return nil, err
	}
	h.runs, h.from = runs, runs-duplicates
	return h, nil
}

// look reads the counters and gives how many have been handled since the beginning.
func (h *handled) look(ctx context.Context, now func() time.Time) int {
	runs, duplicates, err := h.count(ctx)
	if err != nil {
		return h.done
	}
	h.lost = h.lost || runs < h.runs
	h.runs = runs
	if done := int(runs - duplicates - h.from); done > h.done {
		h.done, h.at = done, now()
	}
	return h.done
}

// await returns when OrderCompleted of so many orders has been handled since the beginning, with the
// moment at which the last of them was seen. When nothing has moved for as long as the patience
// lasts, it gives how many are missing. Where the counters are lost it gives none: nobody knows.
func (h *handled) await(ctx context.Context, orders int, patience time.Duration, now func() time.Time) (at time.Time, missing int) {
	began := now()
	for {
		if done := h.look(ctx, now); done >= orders || h.lost {
			return h.at, 0
		}
		since := began
		if h.at.After(began) {
			since = h.at
		}
		if now().Sub(since) > patience || !pause(ctx, often) {
			return h.at, orders - h.done
		}
	}
}

// count sums up how often the handler was done, and how often with a message for the second time.
func (h *handled) count(ctx context.Context) (runs, duplicates float64, err error) {
	for _, at := range h.urls {
		r, d, err := h.one(ctx, strings.TrimSuffix(at, "/")+"/metrics")
		if err != nil {
			return 0, 0, err
		}
		runs, duplicates = runs+r, duplicates+d
	}
	return runs, duplicates, nil
}

func (h *handled) one(ctx context.Context, at string) (runs, duplicates float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", at, err)
	}
	answer, err := h.http.Do(request)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", at, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("read %s: HTTP %d", at, answer.StatusCode)
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		line := lines.Text()
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil || !strings.Contains(line, `handler="`+lastHandler+`"`) {
			continue
		}
		switch {
		case strings.HasPrefix(line, "messages_handled_total{") && strings.Contains(line, `outcome="done"`):
			runs += value
		case strings.HasPrefix(line, "messages_duplicate_total{"):
			duplicates += value
		}
	}
	return runs, duplicates, lines.Err()
}

// notificationAt gives the address of the notification service beside a gateway, where both have
// the ports that `up` and `serve` choose by themselves.
func notificationAt(gateway string) []string {
	u, err := url.Parse(gateway)
	if err != nil {
		return nil
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return nil
	}
	return []string{u.Scheme + "://" + net.JoinHostPort(u.Hostname(), strconv.Itoa(port+notificationPort))}
}
