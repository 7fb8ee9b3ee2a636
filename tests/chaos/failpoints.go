package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"millrace/adapters/failpoint"
	"millrace/app/messages"
)

// failpoints arms the places of the processes under attack, and reads what happened there. The two
// files are those of adapters/failpoint.
type failpoints struct {
	dir   string
	mu    sync.Mutex
	armed map[string]string // id to line
	last  int
}

func newFailpoints(dir string) *failpoints { return &failpoints{dir: dir, armed: map[string]string{}} }

// arm makes something happen at a place from the after-th hit on, times times.
func (f *failpoints) arm(point, who, action string, after, times int) (id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	id = strconv.Itoa(f.last)
	f.armed[id] = fmt.Sprintf("%s %s %s %s %d %d", id, point, who, action, after, times)
	return id, f.save()
}

// shift moves the clock of a service until it is taken back.
func (f *failpoints) shift(who, by string) (id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	id = strconv.Itoa(f.last)
	f.armed[id] = fmt.Sprintf("clock %s %s", who, by)
	return id, f.save()
}

func (f *failpoints) disarm(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.armed, id)
	return f.save()
}

// clear takes every order back.
func (f *failpoints) clear() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.armed)
	return f.save()
}

func (f *failpoints) save() error {
	var text strings.Builder
	for _, id := range slices.Sorted(maps.Keys(f.armed)) {
		text.WriteString(f.armed[id] + "\n")
	}
	path := filepath.Join(f.dir, "armed")
	if err := os.WriteFile(path+".new", []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// past is what has happened at the places so far.
type past struct {
	reached map[string]bool // "point who"
	fired   map[string]int  // by id
	places  map[string]int  // by point: how often something was made to happen there
	pids    map[int]bool    // processes that a failpoint has ended, or tried to
}

func (f *failpoints) past() past {
	p := past{map[string]bool{}, map[string]int{}, map[string]int{}, map[int]bool{}}
	file, err := os.Open(filepath.Join(f.dir, "events"))
	if err != nil {
		return p
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 4 && words[0] == "reached":
			p.reached[words[1]+" "+words[2]] = true
		case len(words) == 6 && words[0] == "fired":
			p.fired[words[1]]++
			p.places[words[2]]++
			pid, _ := strconv.Atoi(words[4])
			p.pids[pid] = true
		}
	}
	return p
}

// site is a place with who works there.
type site struct{ point, who string }

// failpointsToKill lists every place with everybody who comes past it, in a fixed order.
func failpointsToKill() []site {
	who := map[string][]string{
		failpoint.GatewayBefore:      {messages.APIGateway},
		failpoint.GatewayAfter:       {messages.APIGateway},
		failpoint.BeforeTransaction:  messages.Consumers,
		failpoint.AfterInbox:         messages.Consumers,
		failpoint.MidFlush:           messages.Consumers,
		failpoint.BeforeCommit:       messages.Consumers,
		failpoint.AfterCommit:        messages.Consumers,
		failpoint.AfterIntent:        {messages.PaymentService, messages.NotificationService},
		failpoint.BeforeAcknowledge:  messages.Consumers,
		failpoint.RelayBeforePublish: {"orders", "payments", "inventory"},
		failpoint.RelayAfterAnswer:   {"orders", "payments", "inventory"},
		failpoint.RelayMidBatch:      {"orders", "payments", "inventory"},
		failpoint.ProviderAnswered:   {messages.PaymentService},
		failpoint.MailTaken:          {messages.NotificationService},
	}
	var all []site
	for _, point := range failpoint.All {
		for _, w := range who[point] {
			all = append(all, site{point, w})
		}
	}
	return all
}
