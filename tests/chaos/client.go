package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client places orders and never gives one up that may have been accepted: it asks again, with the
// same key, until it knows. It works on its own time, whether anybody answers or not.
//
// It takes lines: "rate 12.5" (orders a second, 0 for a pause), "batch N FATE" (so many at once),
// "finish SECONDS" (place nothing new, learn what is unknown, end). It answers "done" to the last two.
type client struct {
	url     string
	seed    uint64
	journal *ledger
	http    *http.Client

	next    atomic.Int64
	open    chan struct{} // orders that are not known yet; full when nobody answers
	orders  sync.WaitGroup
	patient context.Context // ends when the client has to end
}

// maxOpen bounds how much piles up while the system is away.
const maxOpen = 200

func newClient(ctx context.Context, url, journal string, seed uint64) (*client, error) {
	l, err := openLedger(journal)
	if err != nil {
		return nil, err
	}
	return &client{
		url: url, seed: seed, journal: l, patient: ctx, open: make(chan struct{}, maxOpen),
		http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: maxOpen}},
	}, nil
}

func runClient(ctx context.Context, url, journal string, seed uint64, in io.Reader, out io.Writer) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	c, err := newClient(ctx, url, journal, seed)
	if err != nil {
		return err
	}
	rates := make(chan float64, 1)
	pacing, stop := context.WithCancel(ctx)
	defer stop()
	go c.pace(pacing, rates)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text() + " 0 0")
		number, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		switch words[0] {
		case "rate":
			rates <- number
		case "batch":
			var batch sync.WaitGroup
			for range int(number) {
				batch.Go(func() { c.place(wishOf(c.seed, int(c.next.Add(1)), words[2])) })
			}
			batch.Wait()
			fmt.Fprintln(out, "done")
		case "finish":
			stop()
			late := time.AfterFunc(time.Duration(number*float64(time.Second)), end)
			c.orders.Wait()
			late.Stop()
			fmt.Fprintln(out, "done")
			return nil
		}
	}
	return nil
}

// pace places orders at the latest rate it was told.
func (c *client) pace(ctx context.Context, rates <-chan float64) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case rate := <-rates:
			if tick.Reset(time.Hour); rate > 0 {
				tick.Reset(time.Duration(float64(time.Second) / rate))
			}
		case <-tick.C:
			select {
			case c.open <- struct{}{}:
				c.orders.Go(func() {
					defer func() { <-c.open }()
					c.place(wishOf(c.seed, int(c.next.Add(1)), ""))
				})
			default: // as many wait as a caller would let wait
			}
		}
	}
}

// place posts an order until its outcome is known, and cancels it when that is its fate.
func (c *client) place(w wish) {
	if w.fate.twice {
		var second sync.WaitGroup
		second.Go(func() { c.insist(w) })
		defer second.Wait()
	}
	if id := c.insist(w); id != "" && w.cancel > 0 && pause(c.patient, w.cancel) {
		c.cancel(w, id)
	}
}

func (c *client) insist(w wish) string {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		id, known := c.post(w)
		if known {
			return id
		}
		if !pause(c.patient, wait) {
			return ""
		}
	}
}

// post sends an order once. Known is false where anything may have come of it.
func (c *client) post(w wish) (id string, known bool) {
	body, _ := json.Marshal(map[string]any{ // it can always be written
		"userId": w.user, "items": w.items, "currency": "LKR", "paymentMethod": w.fate.method,
	})
	from := time.Now()
	c.note(entry{N: w.n, Op: opInvoke, Fate: w.fate.name, User: w.user})
	status, answer, err := c.send(http.MethodPost, "/api/v1/orders", w.key(), body)
	e := entry{N: w.n, Fate: w.fate.name, User: w.user, Status: status, Took: time.Since(from).Microseconds()}
	var accepted struct{ OrderID string }
	switch {
	case err != nil:
		e.Op, e.Error = opUnknown, err.Error()
	case status == http.StatusAccepted && json.Unmarshal(answer, &accepted) == nil && accepted.OrderID != "":
		e.Op, e.Order = opOK, accepted.OrderID
	case status >= 500, status == http.StatusTooManyRequests, bytes.Contains(answer, []byte("idempotency_in_progress")):
		e.Op, e.Error = opUnknown, cut(answer)
	default:
		e.Op, e.Error = opFail, cut(answer)
	}
	c.note(e)
	return e.Order, e.Op != opUnknown
}

func (c *client) cancel(w wish, id string) {
	for range 20 {
		status, answer, err := c.send(http.MethodPost, "/api/v1/orders/"+id+"/cancel", "", nil)
		e := entry{N: w.n, Op: opCancel, Fate: w.fate.name, Order: id, Status: status}
		if err != nil {
			e.Error = err.Error()
		} else if status != http.StatusAccepted {
			e.Error = cut(answer)
		}
		c.note(e)
		if err == nil && status < 500 || !pause(c.patient, 300*time.Millisecond) {
			return
		}
	}
}

func (c *client) send(method, path, key string, body []byte) (int, []byte, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	return answer.StatusCode, text, err
}

// note writes a line, or ends the process: a client that forgets proves nothing.
func (c *client) note(e entry) {
	e.At = time.Now().UnixMicro()
	if err := c.journal.write(e); err != nil {
		panic(err)
	}
}

func cut(text []byte) string { return string(text[:min(len(text), 300)]) }

// pause says whether it was for the whole time.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
