package e2e

import (
	"testing"
	"time"
)

// scenario is one thing that a user relies on, tried beside all others on one shared stack.
type scenario struct {
	name string
	run  func(t *testing.T, s *stack)
}

var scenarios = []scenario{
	{"an order runs from the POST to the e-mail", happyPath},
	{"an order's events come as they happen", eventsAsTheyHappen},
	{"every fate of a payment ends as the contract says", paymentFates},
	{"what is sold out is paid back", soldOut},
	{"the last pieces are sold once", lastPieces},
	{"a cancel at any moment leaves nothing behind", cancelling},
	{"one key is one order", idempotency},
	{"a message delivered again has one effect", redelivery},
	{"unknown types are acknowledged and counted", unknownTypes},
	{"every service tells how it is", health},
	{"an operator undoes an order, and its customer is told once", operatorUndoes},
}

// sideBySide tries all of them at once.
func (s *stack) sideBySide(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			sc.run(t, s)
		})
	}
}

func TestTheEmbeddedStack(t *testing.T) {
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	late := ""
	if !testing.Short() {
		late = s.place(t, wish{method: "pm_card_late"})
	}
	t.Run("side by side", s.sideBySide)
	t.Run("a second instance is refused", func(t *testing.T) { secondInstance(t, s) })
	if late != "" {
		t.Run("a provider that answers late ends in a refund", func(t *testing.T) { latePayment(t, s, late) })
	}
	t.Run("the books balance", s.settled)
	t.Run("it ends when it is told to, and its streams with it", s.endsWhileFollowed)
}

// A real stack is one at a time, because its topics have fixed names. So what takes servers away
// comes after what runs side by side, on the same stack.
func TestTheRealStack(t *testing.T) {
	on := testServers(t)
	t.Parallel()
	s, around := newReal(t, on)
	s.start(t)
	late := s.place(t, wish{method: "pm_card_late"}) // through everything that comes
	t.Run("side by side", s.sideBySide)
	t.Run("without Redis the answers are the same", func(t *testing.T) { redisAway(t, s, around) })
	t.Run("mail waits for its server", func(t *testing.T) { mailAway(t, s, around) })
	t.Run("payments wait for their provider", func(t *testing.T) { providerAway(t, s, around) })
	t.Run("without PostgreSQL nothing is half done", func(t *testing.T) { postgresAway(t, s, around) })
	t.Run("time-outs undo what was done", func(t *testing.T) { timeouts(t, s) })
	t.Run("no accepted order is lost when everything is killed", func(t *testing.T) { killedUnderLoad(t, s) })
	t.Run("a provider that answers late ends in a refund", func(t *testing.T) { latePayment(t, s, late) })
	t.Run("the books balance", s.settled)
	t.Run("garbage becomes dead letters and stops nobody", func(t *testing.T) { garbage(t, s) })
	t.Run("the books balance after garbage", s.balanced)
	t.Run("dead letters go on in their sequence", func(t *testing.T) { deadLettersGoOn(t, s) })
	t.Run("it ends when it is told to, and its streams with it", s.endsWhileFollowed)
}

func TestGarbageBecomesDeadLettersAndStopsNobody(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	garbage(t, s)
	s.balanced(t)
	s.terminate(t)
}

func TestNoAcceptedOrderIsLostWhenTheProcessIsKilled(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	killedUnderLoad(t, s)
	s.settled(t)
	s.terminate(t)
}

func TestTimeoutsUndoWhatWasDone(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t)
	timeouts(t, s)
	s.settled(t)
	s.terminate(t)
}

func TestServersComeAndGo(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s, around := newSurrounded(t)
	s.start(t)
	t.Run("without Redis the answers are the same", func(t *testing.T) { redisAway(t, s, around) })
	t.Run("mail waits for its server", func(t *testing.T) { mailAway(t, s, around) })
	t.Run("payments wait for their provider", func(t *testing.T) { providerAway(t, s, around) })
	t.Run("orders wait for Kafka", func(t *testing.T) { kafkaAway(t, s, around) })
	s.settled(t)
	s.terminate(t)
}

// On servers of its own, because it kills them.
func TestRealServersComeAndGo(t *testing.T) {
	testServers(t)
	t.Parallel()
	on, infra := ownServers(t)
	s, around := newReal(t, on)
	s.env = append(s.env, "KAFKA_PARTITIONS=3") // a broker that was killed looks through all of them
	around.kafka = part{away: func(t *testing.T) { infra(t, "kill", "kafka") }, back: func(t *testing.T) { infra(t, "start", "kafka") }}
	s.start(t)
	t.Run("orders wait for Kafka", func(t *testing.T) { kafkaAway(t, s, around) })
	t.Run("PostgreSQL crashes under load", func(t *testing.T) {
		l := startLoad(s, 4)
		await(t, time.Minute, "the load runs", func() bool { return l.accepted.Load() >= 50 })
		killed := part{back: around.postgres.back, away: func(t *testing.T) {
			infra(t, "kill", "postgres")
			around.postgres.away(t)
		}}
		whileAway(t, killed, func() { // nobody gets in until it is known which letters were under way
			infra(t, "start", "postgres")
			s.underWay = openLetters(t, s.database(t, "notifications"))
		})
		seen := l.accepted.Load()
		await(t, time.Minute, "orders are accepted again", func() bool { return l.accepted.Load() >= seen+50 })
		s.allEnd(t, l.end())
	})
	s.settled(t)
	s.terminate(t)
}

func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out of the short pass")
	}
}
