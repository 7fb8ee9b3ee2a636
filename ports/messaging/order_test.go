package messaging

import (
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The order decides what is retried, kept and seen: retry outside the poison queue, for example,
// would silently give every message a single attempt.
func TestThePolicyStandsInItsOrder(t *testing.T) {
	t.Parallel()
	chain, err := consumer{Config: Config{Policy: Policy{}.withDefaults()}, service: Service{Name: "s"}}.middleware()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range chain {
		name := runtime.FuncForPC(reflect.ValueOf(m).Pointer()).Name()
		name = strings.TrimSuffix(name[strings.LastIndex(name, "/")+1:], "-fm")
		names = append(names, name)
	}
	want := []string{
		"messaging.consumer.receive", "messaging.consumer.trace", "messaging.consumer.measure", "messaging.consumer.fence",
		"middleware.poisonQueue.Middleware", "messaging.consumer.lost", "middleware.Retry.Middleware", "messaging.consumer.pause", "messaging.consumer.attempt",
		"middleware.Timeout.func1", "middleware.Recoverer", "messaging.consumer.admit",
	}
	for i, name := range names { // the compiler names closures as it inlines them
		if strings.Contains(name, "Timeout") {
			names[i] = "middleware.Timeout.func1"
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("the policy is\n%v\nnot\n%v", names, want)
	}
}

func TestBoundedAttemptsEndBeforeARebalanceGivesUpWaiting(t *testing.T) {
	t.Parallel()
	p := Policy{}.withDefaults()
	worst := time.Duration(p.Attempts) * p.AttemptTimeout
	delay := p.FirstDelay
	for range p.Attempts - 1 {
		worst += time.Duration(float64(delay) * (1 + p.Jitter))
		delay = min(2*delay, p.LongestDelay)
	}
	if worst >= time.Minute {
		t.Errorf("five failing attempts may take %s, and a rebalance waits a minute", worst)
	}
}
