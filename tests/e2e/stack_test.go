package e2e

import (
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/app/messages"
)

// Ports of a stack, counted from the gateway's, as `millrace up` lays them out.
const (
	gatewayPort = iota
	ordersPort
	paymentsPort
	inventoryPort
	notificationsPort
	orchestratorPort
	pspPort
	mailPort
	kafkaPort
	redisPort
)

// portOf is where each consumer of messages has its HTTP side.
var portOf = map[string]int{
	messages.OrderService: ordersPort, messages.PaymentService: paymentsPort, messages.InventoryService: inventoryPort,
	messages.NotificationService: notificationsPort, messages.Orchestrator: orchestratorPort,
}

// stack is a whole system under test. Its two makers are newEmbedded and newReal.
type stack struct {
	owner *testing.T // whose end ends the system
	base  int        // the gateway's port
	kafka string     // broker
	redis string
	data  string // folder of the embedded stack
	disk  string // that of its broker
	http  *http.Client
	env   []string // settings of every process
	build string   // of the program that `millrace up` runs, where it is not the one under test

	// launch starts every process with some settings more, which win.
	launch func(t *testing.T, settings ...string) []*child
	// database opens one of the stack's databases where they are no files.
	database func(t *testing.T, schema string) *sql.DB
	// letters gives the mails about an order.
	letters func(t *testing.T, orderID string) []letter
	// holdInventory keeps the inventory service from writing until release is called.
	holdInventory func(t *testing.T) (release func())
	// breakSagas lets no saga begin of an order for a product, until mend is called.
	breakSagas func(t *testing.T, sku string) (mend func())

	running []*child
	crashed bool // the system was killed: a mail may have come twice, under the same Message-ID
	// underWay are the orders whose letters nobody knew to be sent when the database crashed: they may too.
	underWay map[string]bool
	strange  strange
}

// letter is one mail, as the mailbox shows it.
type letter struct {
	MessageID  string `json:"messageId"`
	To         string `json:"to"`
	Subject    string `json:"subject"`
	OrderID    string `json:"orderId"`
	Deliveries int    `json:"deliveries"`
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 20 * time.Second, Transport: transport}
}

func (s *stack) url(port int, path string) string { return "http://" + at(s.base+port) + path }

// start starts every process and returns when all of them are ready.
func (s *stack) start(t *testing.T, settings ...string) {
	t.Helper()
	s.running = s.launch(t, settings...)
	await(t, 60*time.Second, "every service is ready", func() bool {
		for _, c := range s.running {
			if !c.alive() {
				t.Fatalf("%s ended at its start:\n%s", c.name, tail(c.stderr.String(), 20))
			}
		}
		for port := gatewayPort; port <= orchestratorPort; port++ {
			if s.status(port, "/readyz") != http.StatusOK {
				return false
			}
		}
		return true
	})
}

// kill ends every process as a crash would.
func (s *stack) kill() {
	for _, c := range s.running {
		_ = c.cmd.Process.Kill()
	}
	for _, c := range s.running {
		c.kill()
	}
	s.running, s.crashed = nil, true
}

// terminate asks every process to end; each must do so in time and well.
func (s *stack) terminate(t *testing.T) {
	t.Helper()
	for _, c := range s.running {
		c.terminate(t)
	}
	s.running = nil
}

// restart ends the system in order and starts it with other settings.
func (s *stack) restart(t *testing.T, settings ...string) {
	t.Helper()
	s.terminate(t)
	s.start(t, settings...)
}

// status is what a GET answers; 0 when nobody does.
func (s *stack) status(port int, path string) int {
	res, err := s.http.Get(s.url(port, path))
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

// books is what `millrace verify --json` says.
type books struct {
	OK         bool
	Invariants []struct {
		Name       string
		OK         bool
		Violations []string
	}
}

// verified runs `millrace verify`, which reads what HTTP does not show. What a killed process was doing is
// left alone until its lease is over, though the order may have ended long ago: so an act that is still to be
// done is no violation until then.
func (s *stack) verified(t *testing.T) {
	t.Helper()
	const lease, longestPause = 20 * time.Second, 15 * time.Second
	var b books
	for since := time.Now(); ; {
		b = s.verify(t)
		if !b.waits() || time.Since(since) > lease+longestPause {
			break
		}
	}
	for _, i := range b.Invariants {
		if !i.OK {
			t.Errorf("verify: %s is broken: %v", i.Name, i.Violations)
		}
	}
	if !b.OK || len(b.Invariants) == 0 {
		t.Errorf("verify: ok is %v of %d invariants", b.OK, len(b.Invariants))
	}
}

// verify gives the books as they are, and checks that the exit code says the same.
func (s *stack) verify(t *testing.T) (b books) {
	t.Helper()
	args := []string{"verify", "--settled", "--json"}
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	c := spawn(t, t, s.env, args...)
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		t.Fatalf("%s did not end", c.name)
	}
	if err := json.Unmarshal([]byte(c.stdout.String()), &b); err != nil {
		t.Fatalf("verify says %q: %v", c.stdout, err)
	}
	want := 0
	if !b.OK {
		want = 2
	}
	if got := c.cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("verify says ok: %v, and ended with %s, want exit code %d", b.OK, c.cmd.ProcessState, want)
	}
	return b
}

// waits says whether all that is wrong is that acts are still to be done. A letter that is still to be
// settled is told by two of the invariants.
func (b books) waits() bool {
	for _, i := range b.Invariants {
		for _, v := range i.Violations {
			pending := i.Name == "nothing_pending" && strings.Contains(v, ": to be done: open")
			letter := i.Name == "mail_per_terminal_order" && strings.HasSuffix(v, ": the letter was not sent; the intent to send it is open")
			if !pending && !letter {
				return false
			}
		}
	}
	return !b.OK
}
