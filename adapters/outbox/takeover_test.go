package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/adapters/outbox"
	"millrace/adapters/sqldb"
)

const (
	childDSN    = "OUTBOX_TEST_CHILD_DSN"
	childSchema = "OUTBOX_TEST_CHILD_SCHEMA"
	childTakes  = 25 // messages; with the next ones in flight its broker falls silent
)

// TestRelayChild is no test: it is the relay that the next test kills. It prints what its broker
// has taken.
func TestRelayChild(t *testing.T) {
	dsn := os.Getenv(childDSN)
	if dsn == "" {
		t.SkipNow()
	}
	db, err := sqldb.OpenPostgresDSN(dsn, os.Getenv(childSchema), 4)
	must(t, err)
	relay, err := outbox.NewRelay(outbox.Config{DB: db, Publisher: &printing{}, Logger: quiet, Window: 8})
	must(t, err)
	must(t, relay.Run(t.Context()))
}

// printing is the child's broker.
type printing struct {
	mu    sync.Mutex
	taken int
}

func (p *printing) Publish(_ string, msgs ...*message.Message) error {
	p.mu.Lock()
	if p.taken == childTakes {
		p.mu.Unlock()
		fmt.Println("silent")
		<-msgs[0].Context().Done()
		return msgs[0].Context().Err()
	}
	defer p.mu.Unlock()
	p.taken++
	fmt.Println("taken", msgs[0].Metadata["correlationId"], string(msgs[0].Payload))
	return nil
}

func (p *printing) Close() error { return nil }

func TestAnotherProcessTakesOverWithinSecondsOfAKill(t *testing.T) {
	t.Parallel()
	const aggregates, each, within = 20, 5, 20 * time.Second
	db := postgres(t)
	var records []outbox.Record
	for i := range each {
		for a := range aggregates {
			records = append(records, record(fmt.Sprintf("ord_%d", a), fmt.Sprint(i)))
		}
	}
	write(t, db, records...)

	kill, lines := relayProcess(t, db)
	first := <-lines // the other process leads
	s := newStage()
	start(t, db, s, func(c *outbox.Config) { c.Poll = 100 * time.Millisecond })
	by := map[string][]string{}
	for line := first; line != "silent"; line = <-lines {
		if line == "" {
			t.Fatal("the other relay ended by itself")
		}
		word := strings.Fields(line)
		by[word[1]] = append(by[word[1]], word[2])
	}
	if len(s.texts()) != 0 {
		t.Fatal("two relays of one database sent at the same time")
	}

	kill()
	killed := time.Now()
	s.awaitTaken(t, 1)
	if took := time.Since(killed); took > within {
		t.Errorf("it took the other relay %s to take over, more than %s", took, within)
	}
	s.await(t, "nothing is left", func() bool { s.look(); return status(t, db).Pending == 0 })
	for aggregate, texts := range s.texts() {
		by[aggregate] = append(by[aggregate], texts...)
	}
	for a := range aggregates {
		if got := by[fmt.Sprintf("ord_%d", a)]; !inOrder(got, each) {
			t.Errorf("ord_%d arrived as %v", a, got)
		}
	}
}

// inOrder says whether the numbers from 0 to n-1 arrived in order, where the end of what came may
// have come again.
func inOrder(texts []string, n int) bool {
	next := 0
	for _, text := range texts {
		switch text {
		case fmt.Sprint(next):
			next++
		default:
			var again int
			if _, err := fmt.Sscan(text, &again); err != nil || again > next {
				return false
			}
			next = again + 1
		}
	}
	return next == n
}

// relayProcess starts a relay in a process of its own, and gives the lines that it prints.
func relayProcess(t *testing.T, db *sqldb.DB) (kill func(), lines <-chan string) {
	t.Helper()
	child := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^TestRelayChild$", "-test.timeout=2m")
	child.Env = append(os.Environ(), childDSN+"="+db.DSN, childSchema+"="+db.Name)
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	kill = sync.OnceFunc(func() {
		_ = child.Process.Kill() // SIGKILL: it has no time for anything
		_ = child.Wait()         // it says that it was killed
	})
	t.Cleanup(kill)
	printed := make(chan string, 1000)
	go func() {
		defer close(printed)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if text := scan.Text(); text == "silent" || strings.HasPrefix(text, "taken ") {
				printed <- text
			}
		}
	}()
	return kill, printed
}
