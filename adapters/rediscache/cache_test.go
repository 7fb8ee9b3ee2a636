package rediscache_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"millrace/adapters/rediscache"
	"millrace/app/messages"
	"millrace/app/order"
	"millrace/domain/fault"
)

var _ order.Replies = (*rediscache.Cache)(nil)

func open(t *testing.T, c rediscache.Config) *rediscache.Cache {
	t.Helper()
	c.Timeout = max(c.Timeout, 75*time.Millisecond)
	cache, err := rediscache.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return cache
}

// patient is for a Redis that works, on a machine that may be slow.
func patient(t *testing.T, r *miniredis.Miniredis) *rediscache.Cache {
	return open(t, rediscache.Config{Addr: r.Addr(), Timeout: 10 * time.Second})
}

// written makes a cache, lets use write into it, and waits until Redis has it.
func written(t *testing.T, r *miniredis.Miniredis, use func(*rediscache.Cache)) {
	t.Helper()
	cache := patient(t, r)
	use(cache)
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
}

var reply = order.Reply{
	Key: order.Key{UserID: "usr_001", Key: "a:key with \"quotes\""}, RequestHash: "abc", Status: 202,
	Body: []byte("{\"orderId\":\"ord_1\"}\n\x00\xff"), OrderID: "ord_1",
}

func TestAReplyComesBackByteForByteForADay(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	written(t, r, func(c *rediscache.Cache) { c.Put(t.Context(), reply) })

	got, ok := patient(t, r).Get(t.Context(), reply.Key)
	if !ok || !reflect.DeepEqual(*got, reply) {
		t.Errorf("got %+v, %t", got, ok)
	}
	if ttl := r.TTL(`idem:usr_001:a:key with "quotes"`); ttl != 24*time.Hour {
		t.Errorf("kept for %s", ttl)
	}
}

func TestAReplyIsItsUsersAlone(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	written(t, r, func(c *rediscache.Cache) { c.Put(t.Context(), reply) })
	if _, ok := patient(t, r).Get(t.Context(), order.Key{UserID: "usr_002", Key: reply.Key.Key}); ok {
		t.Error("another user got the reply")
	}
}

func TestADamagedReplyIsNoReply(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	c := patient(t, r)
	for _, value := range []string{"", "{", "null", "{}", `{"requestHash":1}`} {
		if err := r.Set("idem:usr_001:k", value); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.Get(t.Context(), order.Key{UserID: "usr_001", Key: "k"}); ok {
			t.Errorf("%q became %+v", value, got)
		}
	}
}

func TestAMarkIsSeenByItsConsumerAloneForItsTime(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	written(t, r, func(c *rediscache.Cache) { mark(c, "payment", "evt_1") })
	c := patient(t, r)
	if !seen(t.Context(), c, "payment", "evt_1") {
		t.Error("the mark is not seen")
	}
	if seen(t.Context(), c, "inventory", "evt_1") || seen(t.Context(), c, "payment", "evt_2") {
		t.Error("a mark is seen that nobody made")
	}
	r.FastForward(24 * time.Hour)
	if seen(t.Context(), c, "payment", "evt_1") {
		t.Error("the mark outlives its time")
	}
}

func TestAFlushedCacheHasForgottenAndTakesNewMarks(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	c := patient(t, r)
	mark(c, "payment", "evt_1")
	r.FlushAll()
	written(t, r, func(c *rediscache.Cache) { mark(c, "payment", "evt_2") })
	if !seen(t.Context(), c, "payment", "evt_2") {
		t.Error("no mark after a flush")
	}
}

// lines collects log records.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Level.String()+" "+r.Message)
	return nil
}

func TestRedisAwayGivesTheSameAnswersQuicklyAndOneLogLine(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"refused": refusing(t), "silent": silent(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lines{Handler: slog.DiscardHandler}
			c := open(t, rediscache.Config{Addr: addr, Pause: time.Minute, Logger: slog.New(log)})
			began := time.Now()
			for i := range 10_000 {
				id := fmt.Sprint("evt_", i)
				if seen(t.Context(), c, "payment", id) {
					t.Fatal("a mark was seen in no Redis")
				}
				if _, ok := c.Get(t.Context(), reply.Key); ok {
					t.Fatal("a reply was found in no Redis")
				}
				mark(c, "payment", id)
				c.Put(t.Context(), reply)
			}
			if took := time.Since(began); took > 5*time.Second { // 1,500 s, if each call waited
				t.Errorf("40,000 calls took %s", took)
			}
			if fault.KindOf(c.Ready(t.Context())) != fault.Unavailable {
				t.Error("Ready does not say that Redis is away")
			}
			log.mu.Lock()
			defer log.mu.Unlock()
			if len(log.all) != 1 || !strings.HasPrefix(log.all[0], "WARN Redis is away") {
				t.Errorf("logged %q", log.all)
			}
		})
	}
}

func TestRedisThatComesBackIsUsedAgain(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	var mu sync.Mutex
	var states []string
	closed := make(chan struct{})
	c := open(t, rediscache.Config{Addr: r.Addr(), Timeout: 5 * time.Second, Pause: time.Millisecond, OnState: func(state string) {
		mu.Lock()
		defer mu.Unlock()
		if states = append(states, state); state == "closed" {
			close(closed)
		}
	}})
	r.SetError("LOADING Redis is loading the dataset in memory")
	for range 3 {
		seen(t.Context(), c, "payment", "evt_1")
	}
	r.SetError("")
	if err := r.Set("dedupe:payment:evt_1", "1"); err != nil {
		t.Fatal(err)
	}
	for !seen(t.Context(), c, "payment", "evt_1") {
		if t.Context().Err() != nil {
			t.Fatal("Redis is back and not used")
		}
	}
	<-closed
	mu.Lock()
	defer mu.Unlock()
	if states[0] != "open" || !slices.Contains(states, "half-open") {
		t.Errorf("states %v", states)
	}
}

func TestACallerThatLeavesDoesNotCountAgainstRedis(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	if err := r.Set("dedupe:payment:evt_1", "1"); err != nil {
		t.Fatal(err)
	}
	c := patient(t, r)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		seen(gone, c, "payment", "evt_1")
	}
	if !seen(t.Context(), c, "payment", "evt_1") {
		t.Error("the circuit opened because callers left")
	}
}

func TestAWrongPasswordIsRedisAway(t *testing.T) {
	t.Parallel()
	r := miniredis.RunT(t)
	r.RequireAuth("right")
	if err := open(t, rediscache.Config{Addr: r.Addr(), Password: "wrong", Timeout: 5 * time.Second}).Ready(t.Context()); err == nil {
		t.Error("a wrong password is ready")
	}
	if err := open(t, rediscache.Config{Addr: r.Addr(), Password: "right", Timeout: 5 * time.Second}).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	r := miniredis.RunT(t)
	before := goleak.IgnoreCurrent()
	written(t, r, func(c *rediscache.Cache) { mark(c, "payment", "evt_1") })
	late := patient(t, r)
	if err := late.Close(); err != nil {
		t.Error(err)
	}
	mark(late, "payment", "evt_2") // as work does that ends after its service
	if seen(t.Context(), late, "payment", "evt_1") {
		t.Error("a closed cache answers")
	}
	r.Close()
	goleak.VerifyNone(t, before)
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// silent is an address that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String() // the kernel accepts into the backlog
}

func mark(c *rediscache.Cache, consumer, messageID string) {
	c.Mark([]messages.Cause{{Consumer: consumer, MessageID: messageID}})
}

func seen(ctx context.Context, c *rediscache.Cache, consumer, messageID string) bool {
	return c.Seen(ctx, []messages.Cause{{Consumer: consumer, MessageID: messageID}})[0]
}

func TestMoreQuestionsThanConnectionsDoNotWaitAndAreNoOutage(t *testing.T) {
	t.Parallel()
	slow, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and does not answer
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	opened := make(chan string, 100)
	c := open(t, rediscache.Config{
		Addr: slow.Addr().String(), Timeout: time.Hour, OnState: func(state string) { opened <- state },
	})
	const questions = 2000
	answered := make(chan bool, questions)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for n := range questions {
		go func() { answered <- seen(ctx, c, "g", fmt.Sprint(n)) }()
	}
	connections := 10 * runtime.GOMAXPROCS(0)
	for n := range questions - connections {
		select {
		case known := <-answered:
			if known {
				t.Error("a message was seen by nobody")
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%d questions were answered, the others wait", n)
		}
	}
	select {
	case state := <-opened:
		t.Errorf("Redis was taken to be away: %s", state)
	default:
	}
}
