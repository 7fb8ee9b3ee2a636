//go:build failpoints

package failpoint

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The folder that FAILPOINTS names holds two files.
//
// armed is written, whole and renamed, by whoever attacks; a process looks at it every 20 ms. Each
// line is one order, and one that is gone is taken back:
//
//	id point who action after times     such as: 7 store/before-commit payment-service kill 3 1
//	clock who duration                  such as: clock payment-service 1h
//
// who may be * for everybody. The action is kill (SIGKILL to ourselves), panic, delay:DURATION or
// error:SQLSTATE; it happens from the after-th hit on, counted in this process since the line was
// seen, and times times in all, the processes before this one included.
//
// events is appended to, a line at a time, so that it is whole however a process ends:
//
//	reached point who pid               when a process first comes past a place
//	fired id point who pid nanoseconds  just before it happens
const (
	armedFile  = "armed"
	eventsFile = "events"
	lookEvery  = 20 * time.Millisecond
)

type order struct {
	id, point, who, action string
	after, times           int

	seen  int // hits since the line was seen
	fired int
}

type control struct {
	dir    string
	events *os.File

	active atomic.Bool // something is armed: without it a hit costs a look at a map
	mu     sync.Mutex
	text   []byte
	orders []*order
	shifts map[string]time.Duration
	past   sync.Map // places that were reached
}

var the = sync.OnceValue(func() *control {
	c := &control{dir: os.Getenv("FAILPOINTS")}
	if c.dir == "" {
		return c
	}
	var err error
	if c.events, err = os.OpenFile(filepath.Join(c.dir, eventsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "failpoints:", err)
		os.Exit(1)
	}
	c.look()
	go func() {
		for range time.Tick(lookEvery) {
			c.look()
		}
	}()
	return c
})

// look reads the orders again when they have changed.
func (c *control) look() {
	text, err := os.ReadFile(filepath.Join(c.dir, armedFile))
	if err != nil && !os.IsNotExist(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Equal(text, c.text) {
		return
	}
	before := map[string]*order{}
	for _, o := range c.orders {
		before[o.id] = o
	}
	c.text, c.orders, c.shifts = text, nil, map[string]time.Duration{}
	fired := c.firedBefore()
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "clock" {
			c.shifts[words[1]], _ = time.ParseDuration(words[2])
			continue
		}
		if len(words) != 6 {
			continue
		}
		o := before[words[0]]
		if o == nil {
			o = &order{id: words[0], point: words[1], who: words[2], action: words[3], fired: fired[words[0]]}
			o.after, _ = strconv.Atoi(words[4])
			o.times, _ = strconv.Atoi(words[5])
		}
		c.orders = append(c.orders, o)
	}
	c.active.Store(len(c.orders) > 0)
}

// firedBefore counts what has happened already, in whichever process.
func (c *control) firedBefore() map[string]int {
	n := map[string]int{}
	f, err := os.Open(filepath.Join(c.dir, eventsFile))
	if err != nil {
		return n
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "fired" {
			n[words[1]]++
		}
	}
	return n
}

func (c *control) hit(point, who string) error {
	if c.dir == "" {
		return nil
	}
	who = named(who)
	if _, known := c.past.LoadOrStore(point+"@"+who, true); !known {
		c.tell("reached %s %s %d", point, who, os.Getpid())
	}
	if !c.active.Load() {
		return nil
	}
	return c.act(c.due(point, who))
}

// due finds the action that this hit brings about, writes it down, and counts it.
func (c *control) due(point, who string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.orders {
		if o.point != point || o.who != who && o.who != "*" {
			continue
		}
		o.seen++
		if o.seen < o.after || o.fired >= o.times {
			continue
		}
		o.fired++
		c.tell("fired %s %s %s %d %d", o.id, point, who, os.Getpid(), time.Now().UnixNano())
		return o.action
	}
	return ""
}

func (c *control) act(action string) error {
	kind, detail, _ := strings.Cut(action, ":")
	switch kind {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it comes at once
	case "panic":
		panic("a failpoint panics, as it was told to")
	case "delay":
		d, _ := time.ParseDuration(detail)
		time.Sleep(d)
	case "error":
		return &pgconn.PgError{Severity: "ERROR", Code: detail, Message: "a failpoint fails, as it was told to"}
	}
	return nil
}

func (c *control) shift(who string) time.Duration {
	if c.dir == "" {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shifts[named(who)]
}

func (c *control) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(c.events, format+"\n", args...) // one write, which O_APPEND keeps whole
}
