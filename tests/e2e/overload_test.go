package e2e

import (
	"encoding/json"
	"flag"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// overload is how long three times the capacity is offered. From a minute on, on a machine that has
// nothing else to do, the figures are held against their targets; in a shorter run, among other tests,
// only against a collapse.
var overload = flag.Duration("overload", 10*time.Second, "how long three times the capacity is offered")

const (
	places  = 300   // orders under way at most
	callers = "128" // in the overload
	steady  = 1000  // orders that the capacity is measured with, or the system is warmed up with
)

// benched is what `millrace bench --json` prints.
type benched struct {
	Orders, Accepted, Refused, Completed, Failed int
	AcceptedPerSecond, CompletedPerSecond        float64
	Accept                                       struct{ P50, P99 float64 }
}

// bench runs `millrace bench` to its end, which must be a good one.
func (s *stack) bench(t *testing.T, limit time.Duration, args ...string) benched {
	t.Helper()
	c := spawn(t, t, nil, append([]string{"bench", "--json", "--url", s.url(gatewayPort, "")}, args...)...)
	c.ends(t, limit, 0)
	var b benched
	if err := json.Unmarshal([]byte(c.stdout.String()), &b); err != nil {
		t.Fatalf("bench says %q: %v\n%s", c.stdout, err, c.stderr)
	}
	return b
}

func TestAboveItsCapacityTheSystemShedsAtTheDoor(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, "MAX_OPEN_ORDERS="+strconv.Itoa(places))
	aboveCapacity(t, s)
	t.Run("a database that stands still causes no rebalance", func(t *testing.T) { databaseStandsStill(t, s) })
	s.terminate(t)
}

func TestTheRealStackUnderMoreLoadThanItCarries(t *testing.T) {
	on := testServers(t)
	t.Parallel()
	s, around := newReal(t, on)
	s.start(t, "MAX_OPEN_ORDERS="+strconv.Itoa(places))
	t.Run("it sheds at the door", func(t *testing.T) { aboveCapacity(t, s) })
	t.Run("a slow database causes no rebalance", func(t *testing.T) { slowDatabase(t, s, around) })
	t.Run("a database that stands still causes no rebalance", func(t *testing.T) { databaseStandsStill(t, s) })
	s.terminate(t)
}

// aboveCapacity measures what the system works off with a steady number of orders under way, and then
// offers three times as much. What is accepted must be about what can be worked off, be answered soon,
// and end well; the rest is refused at once, and whoever looks or cancels is answered all the while.
func aboveCapacity(t *testing.T, s *stack) {
	before := len(s.orders(t, ""))
	capacity := func(orders int) benched {
		return s.bench(t, 3*time.Minute, "--orders", strconv.Itoa(orders), "--concurrency", "32", "--max-open", "200")
	}
	calm := capacity(steady)
	if *overload >= time.Minute { // the first was to warm up
		calm = capacity(int(20 * calm.CompletedPerSecond))
	}
	if calm.Failed != 0 || calm.Completed < calm.Orders/2 {
		t.Fatalf("with two hundred orders under way: %+v", calm)
	}
	rate := 3 * calm.CompletedPerSecond
	hot, shed := s.offer(t, rate)
	for tries := 1; !shed && *overload < time.Minute && tries < 4; tries++ { // what ran beside the measurement has ended
		rate *= 2
		hot, shed = s.offer(t, rate)
	}
	if !shed {
		t.Fatalf("nothing was refused of %.1f orders a second, with %.1f worked off before", rate, calm.CompletedPerSecond)
	}
	t.Logf("%.1f orders a second can be worked off; of %.1f offered for %s, %.1f a second were accepted (p50 %.0f ms, p99 %.0f ms), %d of %d refused",
		calm.CompletedPerSecond, rate, *overload, hot.AcceptedPerSecond, hot.Accept.P50, hot.Accept.P99, hot.Refused, hot.Orders)
	if hot.Refused == 0 || hot.Failed != 0 || hot.Completed != hot.Accepted || hot.Accepted+hot.Refused != hot.Orders {
		t.Errorf("not every order was either refused or confirmed: %+v", hot)
	}
	least, most, slowest := 0.5, math.Inf(1), 10_000.0
	if *overload >= time.Minute {
		least, most, slowest = 0.8, 1.2, 2_000
	}
	if of := hot.AcceptedPerSecond / calm.CompletedPerSecond; of < least || of > most {
		t.Errorf("accepted was %.2f of what can be worked off", of)
	}
	if hot.Accept.P99 > slowest {
		t.Errorf("of the accepted orders one in a hundred waited for more than %.0f ms", hot.Accept.P99)
	}
	sent := len(s.orders(t, "")) - before
	await(t, time.Minute, "every mail was sent", func() bool { return s.metric(t, notificationsPort, "intent_attempts_total") >= sent })
	s.verified(t)
}

// offer lets orders come at a rate, and looks at the system from outside as soon as one is refused, if
// any is.
func (s *stack) offer(t *testing.T, rate float64) (hot benched, shed bool) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		hot = s.bench(t, *overload+3*time.Minute, "--orders", strconv.Itoa(int(rate*overload.Seconds())), "--concurrency", callers,
			"--rate", strconv.FormatFloat(rate, 'f', 1, 64))
	}()
	var refused answer
	await(t, *overload+4*time.Minute, "an order is refused or all have been offered", func() bool {
		select {
		case <-done:
			return true
		default:
		}
		_, a, err := s.try(wish{})
		refused, shed = a, err == nil && a.status == http.StatusServiceUnavailable
		return shed
	})
	if shed {
		s.whileItSheds(t, refused)
	}
	<-done
	return hot, shed
}

// whileItSheds looks at the system from outside in the middle of the overload.
func (s *stack) whileItSheds(t *testing.T, refused answer) {
	t.Helper()
	wait, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 30 || refused.code() != "overloaded" ||
		!strings.HasPrefix(refused.header.Get("Content-Type"), "application/problem+json") {
		t.Errorf("it is refused with %v, Retry-After %q", refused, refused.header.Get("Retry-After"))
	}
	var open string
	for _, path := range []string{"/api/v1/orders?status=PENDING&limit=1", "/api/v1/orders?limit=1", "/api/v1/stock/SKU-001"} {
		if a, err := s.ask(http.MethodGet, path, ""); err != nil || a.status != http.StatusOK {
			t.Errorf("GET %s: %v, %v", path, a, err)
		}
	}
	await(t, time.Minute, "an order is accepted", func() bool {
		open, _, _ = s.try(wish{method: "pm_card_slow"})
		return open != ""
	})
	if a := s.cancel(t, open); a.status != http.StatusAccepted {
		t.Errorf("cancel: %v", a)
	}
}

// sessionTime is after how long without a sign of life Kafka gives a consumer up.
const sessionTime = 10 * time.Second

// slowDatabase lets every answer of PostgreSQL take half a second longer, for longer than a session of
// a consumer group may be silent.
func slowDatabase(t *testing.T, s *stack, around parts) {
	s.withoutRebalance(t, func() {
		around.postgres.slow(500 * time.Millisecond)
		t.Cleanup(func() { around.postgres.slow(0) })
		s.standFor(t, sessionTime+5*time.Second)
		around.postgres.slow(0)
	})
}

// databaseStandsStill lets the inventory service write nothing, for as long.
func databaseStandsStill(t *testing.T, s *stack) {
	s.withoutRebalance(t, func() {
		release := s.holdInventory(t)
		s.standFor(t, sessionTime+5*time.Second)
		release()
	})
}

// standFor returns after a while in which every service must say that it lives.
func (s *stack) standFor(t *testing.T, while time.Duration) {
	t.Helper()
	over := time.Now().Add(while)
	await(t, while+time.Minute, "it has stood for long enough", func() bool {
		for port := gatewayPort; port <= orchestratorPort; port++ {
			if got := s.status(port, "/livez"); got != http.StatusOK {
				t.Fatalf("the service at N+%d does not live: %d", port, got)
			}
		}
		return time.Now().After(over)
	})
}

// withoutRebalance makes trouble under load. No consumer group may be shared out anew meanwhile, and
// when the trouble is over every accepted order ends.
func (s *stack) withoutRebalance(t *testing.T, trouble func()) {
	t.Helper()
	count := func(metric string) int {
		sum := 0
		for _, port := range portOf {
			sum += s.metric(t, port, metric)
		}
		return sum
	}
	before, dead := count("consumer_sessions_total"), count("dead_letters_total")
	if before == 0 {
		t.Fatal("no consumer group has begun")
	}
	l := startLoad(s, 8)
	trouble()
	seen := l.accepted.Load()
	await(t, time.Minute, "orders are accepted again", func() bool { return l.accepted.Load() >= seen+30 })
	ids := l.end()
	s.allEnd(t, ids)
	t.Logf("all of %d accepted orders have ended", len(ids))
	if after := count("consumer_sessions_total"); after != before {
		t.Errorf("consumer groups began %d sessions more", after-before)
	}
	if after := count("dead_letters_total"); after != dead {
		t.Errorf("it left %d dead letters", after-dead)
	}
}
