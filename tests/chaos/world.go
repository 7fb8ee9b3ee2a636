package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"millrace/adapters/sqldb"
	"millrace/app/messages"
	"millrace/tests/freeport"
)

const loopback = "127.0.0.1"

func at(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// services in the order of their ports.
var services = []string{
	messages.APIGateway, messages.OrderService, messages.PaymentService,
	messages.InventoryService, messages.NotificationService, messages.Orchestrator,
}

// sagaTimeout is the saga's patience, short in an attack so that its time-outs can be provoked; on
// the real stack longer than Kafka's for a member that died.
func (o options) sagaTimeout() time.Duration {
	if o.Stack == realStack {
		return sessionTime + 2*time.Second
	}
	return 6 * time.Second
}

// world is the system under attack with all who deal with it.
type world struct {
	opts   options
	dir    string
	binary string
	out    io.Writer
	base   int // the gateway's port
	http   *http.Client

	settings []string // of every process under attack
	system   map[string]*process
	all      []*process // of system, each once
	client   *process
	answers  *bufio.Scanner // of the client
	talk     sync.Mutex     // with the client
	parties  []*process
	links    map[string]*link
	points   *failpoints
	mischief *mischief
	prober   *client
	kafka    string
	redis    string
	data     string // folder of the embedded stack
	servers  *servers
	disk     bool // the data folder is a small disk of its own
	dbs      map[string]*sqldb.DB

	mu         sync.Mutex
	chance     *rand.Rand
	expected   map[int]bool // processes that were killed on purpose
	violations []string
	hurts      []hurt
	junk       map[string]junk // by its mark
	closers    []func()
	phase      string
	began      time.Time
	wiped      time.Time // the broker, last
}

// hurt is a time in which something was broken.
type hurt struct {
	fault    string
	from, to time.Time
}

func newWorld(ctx context.Context, o options, out io.Writer) (*world, error) {
	dir, err := os.MkdirTemp("", "millrace-chaos-")
	if err != nil {
		return nil, err
	}
	w := &world{
		opts: o, dir: dir, out: out, binary: o.Binary, system: map[string]*process{}, links: map[string]*link{}, dbs: map[string]*sqldb.DB{},
		http: &http.Client{Timeout: 5 * time.Second}, chance: rand.New(rand.NewPCG(o.Seed, 1)), expected: map[int]bool{}, junk: map[string]junk{},
	}
	for _, folder := range []string{"failpoints", "logs", "mail", "home", "psp"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, err
		}
	}
	w.points = newFailpoints(filepath.Join(dir, "failpoints"))
	if w.binary == "" {
		w.binary = filepath.Join(dir, "millrace")
		build := exec.CommandContext(ctx, "go", "build", "-tags", "failpoints", "-o", w.binary, "millrace/cmd/millrace")
		if text, err := build.CombinedOutput(); err != nil {
			return w, fmt.Errorf("%s: %w\n%s", build, err, text)
		}
	}
	return w, nil
}

// close ends everything, newest first.
func (w *world) close() {
	w.mu.Lock()
	closers := w.closers
	w.closers = nil
	w.mu.Unlock()
	for _, do := range slices.Backward(closers) {
		do()
	}
}

func (w *world) later(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closers = append(w.closers, do)
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.out, format+"\n", args...)
}

// broken notes a promise that was broken.
func (w *world) broken(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	w.violations = append(w.violations, text)
	fmt.Fprintln(w.out, "  BROKEN:", text)
}

func (w *world) intn(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.chance.IntN(n)
}

// newProcess makes one program with a log of its own.
func (w *world) newProcess(name, path string, env []string, args ...string) *process {
	return &process{
		name: name, path: path, args: args, env: env, dir: filepath.Join(w.dir, "home"),
		log: filepath.Join(w.dir, "logs", name+".log"), died: w.died,
	}
}

// died hears of every process that ended though it was wanted.
func (w *world) died(p *process, pid int, how string) {
	w.mu.Lock()
	expected := w.expected[pid]
	w.mu.Unlock()
	if !expected && !w.points.past().pids[pid] {
		w.broken("%s ended by itself: %s\n%s", p.name, how, p.tail(15))
	}
}

// strike sends a signal that may end a process.
func (w *world) strike(p *process, s syscall.Signal) error {
	w.mu.Lock()
	w.expected[p.pid()] = true
	w.mu.Unlock()
	return p.signal(s)
}

// startParties starts those who deal with the system: provider, mail server and the links to them.
// The load client comes later.
func (w *world) startParties(ctx context.Context) error {
	base := freeport.Block(6)
	psp, sink, door := base, base+1, base+2
	provider := w.newProcess("provider", w.binary, nil, "psp", "--listen", at(psp), "--data", filepath.Join(w.dir, "psp"))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	mail := w.newProcess("mail", self, []string{roleSetting + "=" + roleSink}, at(sink), filepath.Join(w.dir, "mail"))
	w.parties = []*process{provider, mail}
	for _, p := range w.parties {
		if err := p.start(); err != nil {
			return err
		}
		w.later(func() { _ = p.end(syscall.SIGTERM, 5*time.Second) })
	}
	if err := w.await(ctx, 20*time.Second, "provider and mail server answer", func() bool { return open(psp) && open(sink) }); err != nil {
		return err
	}
	if w.mischief, err = newMischief(ctx, at(door), "http://"+at(psp)); err != nil {
		return err
	}
	if err := w.link("provider", base+3, at(door)); err != nil {
		return err
	}
	if err := w.link("mail", base+4, at(sink)); err != nil {
		return err
	}
	patience := w.opts.sagaTimeout().String()
	w.settings = append(w.settings, "PAYMENT_TIMEOUT="+patience, "INVENTORY_TIMEOUT="+patience, "PSP_TIMEOUT=1s", "LOG_LEVEL=warn",
		"FAILPOINTS="+w.points.dir, "PSP_URL=http://"+at(base+3),
		"SMTP_HOST="+loopback, "SMTP_PORT="+strconv.Itoa(base+4))
	return nil
}

// startClient starts the load, at rate 0.
func (w *world) startClient(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w.client = w.newProcess("client", self, []string{roleSetting + "=" + roleClient},
		"http://"+at(w.base), filepath.Join(w.dir, "client.jsonl"), strconv.FormatUint(w.opts.Seed, 10))
	w.client.piped = true
	if err := w.client.start(); err != nil {
		return err
	}
	w.later(func() { _ = w.client.end(syscall.SIGTERM, 5*time.Second) })
	w.answers = bufio.NewScanner(w.client.stdout)
	// Probes have users of their own, far from those of the load.
	w.prober, err = newClient(ctx, "http://"+at(w.base), filepath.Join(w.dir, "probes.jsonl"), w.opts.Seed)
	if err == nil {
		w.prober.next.Store(firstProbe)
	}
	return err
}

const firstProbe = 1_000_000_000

// tell gives the client an order; with wait it returns when that is done.
func (w *world) tell(wait bool, format string, args ...any) error {
	w.talk.Lock()
	defer w.talk.Unlock()
	if _, err := fmt.Fprintf(w.client.stdin, format+"\n", args...); err != nil {
		return fmt.Errorf("the load client is gone: %w", err)
	}
	if wait && !w.answers.Scan() {
		return errors.New("the load client did not answer")
	}
	return nil
}

// ready says whether every service says so.
func (w *world) ready() bool {
	return !slices.ContainsFunc(services, func(service string) bool { return !w.serves(service) })
}

// get asks a service, for as long as the client waits.
func (w *world) get(port int, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+at(port)+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return w.http.Do(r)
}

// serves says whether one service says that it is ready.
func (w *world) serves(service string) bool {
	answer, err := w.get(w.base+slices.Index(services, service), "/readyz")
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// recovered returns when every service is ready and an order that was placed after that has ended.
func (w *world) recovered(ctx context.Context, limit time.Duration) error {
	if err := w.await(ctx, limit, "every service is ready", w.ready); err != nil {
		return err
	}
	id := ""
	return w.await(ctx, limit, "an order flows through", func() bool {
		if id == "" {
			once := wishOf(w.opts.Seed, int(w.prober.next.Add(1)), probe)
			id, _ = w.prober.post(once)
			return false
		}
		answer, err := w.get(w.base, "/api/v1/orders/"+id)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		var o struct{ Status string }
		_ = json.NewDecoder(answer.Body).Decode(&o) // an answer that is none has no status
		return slices.Contains([]string{"CONFIRMED", "FAILED", "CANCELLED"}, o.Status)
	})
}

// await polls until holds does.
func (w *world) await(ctx context.Context, limit time.Duration, what string, holds func() bool) error {
	late := time.After(limit)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return fmt.Errorf("after %s it is still not so that %s", limit, what)
		}
	}
	return nil
}

// millrace runs a verb of the program on the state of the system, and gives what it wrote to stdout.
func (w *world) millrace(ctx context.Context, args ...string) (string, error) {
	if w.data != "" {
		args = append(args, "--data", w.data)
	}
	return w.run(ctx, args...)
}

func (w *world) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.binary, args...)
	settings := slices.DeleteFunc(slices.Clone(w.settings), func(s string) bool { return strings.HasPrefix(s, "FAILPOINTS=") })
	cmd.Dir, cmd.Env = filepath.Join(w.dir, "home"), append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir}, settings...)
	text, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("millrace %s: %w: %s", strings.Join(args, " "), err, cut(failed.Stderr))
	}
	return string(text), err
}

func open(port int) bool { return answers(at(port)) }

// answers says whether anybody takes connections at an address.
func answers(address string) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}
