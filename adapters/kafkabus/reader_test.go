package kafkabus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
)

// desk is a reader with a session and a partition that are the test's.
type desk struct {
	sub     *subscription
	out     chan *message.Message
	records chan *sarama.ConsumerMessage
	end     context.CancelFunc // of the session
	close   context.CancelFunc // of the subscription, after the grace time
	ended   chan struct{}

	mu     sync.Mutex
	marked int64
	paused bool
}

// unwanted is what nobody of these tests wants.
func unwanted(value []byte) bool { return string(value) == "unwanted" }

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{out: make(chan *message.Message), records: make(chan *sarama.ConsumerMessage), ended: make(chan struct{})}
	live, stop := context.WithCancel(t.Context())
	session, end := context.WithCancel(live)
	d.end, d.close = end, stop
	d.sub = &subscription{topic: "t", out: d.out, live: live, unwanted: unwanted, stopping: make(chan struct{}), idle: make(chan struct{}, 1)}
	paused := func(is bool) func() {
		return func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.paused = is
		}
	}
	r := newReader(session, d.sub, d.records, source{
		mark: func(offset int64) {
			if session.Err() != nil {
				t.Error("marked when the session had ended")
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.marked = offset
		},
		pause: paused(true), resume: paused(false),
	})
	go func() {
		defer close(d.ended)
		r.run()
	}()
	t.Cleanup(stop)
	return d
}

func (d *desk) put(offset int64, key string, value []byte) {
	record := &sarama.ConsumerMessage{Topic: "t", Offset: offset, Value: value}
	if key != "" {
		record.Key = []byte(key)
	}
	d.records <- record
}

// at says what is marked and whether fetching is paused, when everything has come to rest.
func (d *desk) at() (marked int64, paused bool) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.marked, d.paused
}

// quiet fails when a message comes although everything is at rest.
func (d *desk) quiet(t *testing.T, why string) {
	t.Helper()
	synctest.Wait()
	select {
	case msg := <-d.out:
		t.Errorf("%s: %s came", why, msg.UUID)
	default:
	}
}

func offsetOf(msg *message.Message) int64 {
	_, _, offset, _, _ := Origin(msg)
	return offset
}

func TestARecordThatNobodyWantsIsPassedOverAndCommittedInItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.put(3, "a", []byte("unwanted"))
		if marked, _ := d.at(); marked != 4 {
			t.Errorf("marked %d when nothing was in hand", marked)
		}
		d.put(4, "a", []byte("wanted"))
		d.put(5, "a", []byte("unwanted"))
		d.put(6, "b", []byte("wanted too"))
		first, second := <-d.out, <-d.out
		if offsetOf(first) != 4 || offsetOf(second) != 6 {
			t.Errorf("came %d and %d", offsetOf(first), offsetOf(second))
		}
		second.Ack()
		if marked, _ := d.at(); marked != 4 {
			t.Errorf("marked %d before the wanted one was acknowledged", marked)
		}
		first.Ack()
		if marked, _ := d.at(); marked != 7 {
			t.Errorf("marked %d in the end", marked)
		}
		d.quiet(t, "everything was handed out")
	})
}

func TestARefusedMessageComesAgainAfterThePauseAndOnlyItsKeyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.put(0, "a", []byte("first"))
		d.put(1, "a", []byte("second"))
		d.put(2, "b", []byte("other"))
		first := <-d.out
		first.Metadata.Set("left", "by the receiver")
		other := <-d.out
		d.quiet(t, "one of each key is in hand")
		first.Nack()
		at := time.Now()
		other.Ack()
		if marked, _ := d.at(); marked != 0 {
			t.Errorf("marked %d with the first one refused", marked)
		}
		again := <-d.out
		if time.Since(at) != nackPause || offsetOf(again) != 0 || again.UUID != first.UUID || string(again.Payload) != "first" {
			t.Errorf("after %s came %d %q", time.Since(at), offsetOf(again), again.Payload)
		}
		if again.Metadata.Get("left") != "" {
			t.Error("it came with what its receiver had written on it")
		}
		if again.Context().Err() != nil || first.Context().Err() == nil {
			t.Error("the context of the first delivery lives, or that of the second does not")
		}
		again.Ack()
		second := <-d.out
		if offsetOf(second) != 1 {
			t.Errorf("then came %d", offsetOf(second))
		}
		second.Ack()
		if marked, _ := d.at(); marked != 3 {
			t.Errorf("in the end %d is marked", marked)
		}
	})
}

// Closing waits for what is in hand. A message that somebody has just received may not be missed there.
func TestAMessageThatIsOfferedIsInHandUntilItIsTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		inHand := func() int64 {
			synctest.Wait()
			return d.sub.inHand.Load()
		}
		d.put(1, "a", nil)
		d.put(2, "b", nil)
		if n := inHand(); n != 1 {
			t.Errorf("%d are in hand where one is offered", n)
		}
		first := <-d.out
		if n := inHand(); n != 2 {
			t.Errorf("%d are in hand where one was received and one is offered", n)
		}
		close(d.sub.stopping)
		if n := inHand(); n != 1 {
			t.Errorf("%d are in hand where nothing is offered any more", n)
		}
		d.quiet(t, "it is stopping")
		first.Ack()
		if n := inHand(); n != 0 {
			t.Errorf("%d are in hand in the end", n)
		}
	})
}

func TestNoMoreMessagesAreHandedOutThanTheWindowHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		for n := range int64(windowLimit + 1) {
			d.put(n, "", nil) // each a key of its own
		}
		first := <-d.out
		for range windowLimit - 1 {
			<-d.out
		}
		d.quiet(t, "as many are in hand as may be")
		first.Ack()
		if offset := offsetOf(<-d.out); offset != windowLimit {
			t.Errorf("with one acknowledged came %d", offset)
		}
	})
}

func TestFetchingPausesWhileTooMuchWaitsAndGoesOnAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		for n := range int64(windowBacklog + 1) {
			d.put(n, "same", nil)
		}
		first := <-d.out
		if _, paused := d.at(); !paused {
			t.Fatal("with all waiting that may, fetching goes on")
		}
		for n := range int64(300) { // what was fetched by then is taken all the same
			d.put(windowBacklog+1+n, "same", nil)
		}
		first.Ack()
		for n := int64(1); n <= windowBacklog+300; n++ {
			msg := <-d.out
			if offsetOf(msg) != n {
				t.Fatalf("%d came, want %d", offsetOf(msg), n)
			}
			msg.Ack()
		}
		if marked, paused := d.at(); paused || marked != windowBacklog+301 {
			t.Errorf("in the end fetching is paused: %v, and %d is marked", paused, marked)
		}
	})
}

func TestLargeRecordsPauseFetchingByTheirSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		large := make([]byte, MaxRecordBytes-100)
		for n := range int64(3) {
			d.put(n, fmt.Sprint(n), large)
		}
		if _, paused := d.at(); !paused {
			t.Error("with 12 MiB held, fetching goes on")
		}
		for range 3 {
			(<-d.out).Ack()
		}
		if _, paused := d.at(); paused {
			t.Error("with nothing held, fetching is paused")
		}
	})
}

func TestWhatIsHeldIsACopyOfWhatWasFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		fetched := []byte("keyvalue")
		d.records <- &sarama.ConsumerMessage{Topic: "t", Key: fetched[:3:3], Value: fetched[3:]}
		msg := <-d.out
		copy(fetched, "????????")
		if _, _, _, key, _ := Origin(msg); string(key) != "key" || string(msg.Payload) != "value" {
			t.Errorf("key %q, value %q", key, msg.Payload)
		}
	})
}

func TestALostPartitionIsLetGoAndWhatIsSaidAfterwardsIsVoid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		for n := range int64(4) {
			d.put(n, fmt.Sprint(n), nil)
		}
		d.put(4, "0", nil)
		acked, nacked, third, fourth := <-d.out, <-d.out, <-d.out, <-d.out
		third.Ack()
		d.end()
		d.quiet(t, "the session has ended")
		for _, msg := range []*message.Message{acked, nacked, fourth} {
			if msg.Context().Err() == nil {
				t.Errorf("%d is alive", offsetOf(msg))
			}
		}
		select {
		case <-d.ended:
			t.Fatal("the partition was let go with messages in hand")
		default:
		}
		acked.Ack()
		nacked.Nack()
		time.Sleep(10 * nackPause)
		d.quiet(t, "refused by a session that is over")
		fourth.Ack()
		<-d.ended
		if marked, _ := d.at(); marked != 0 {
			t.Errorf("%d is marked", marked)
		}
	})
}

func TestAMessageThatIsNeverSettledHoldsALostPartitionAMinuteAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.put(0, "a", nil)
		<-d.out
		at := time.Now()
		d.end()
		<-d.ended
		if waited := time.Since(at); waited != rebalanceTimeout || d.sub.inHand.Load() != 0 {
			t.Errorf("waited %s, %d are counted in hand", waited, d.sub.inHand.Load())
		}
	})
}

func TestClosingWaitsForWhatIsInHandAndCountsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.put(0, "a", nil)
		d.put(1, "a", nil)
		d.put(2, "b", nil)
		first, other := <-d.out, <-d.out
		close(d.sub.stopping)
		begin := time.Now()
		waited := make(chan time.Duration)
		go func() {
			d.sub.settle(closeGrace)
			waited <- time.Since(begin)
			d.close()
		}()
		time.Sleep(time.Second)
		if first.Context().Err() != nil {
			t.Error("a message in hand ended before the grace time")
		}
		first.Ack()
		d.quiet(t, "the subscriber is closing")
		if marked, _ := d.at(); marked != 1 {
			t.Errorf("acknowledged within the grace time, and %d is marked", marked)
		}
		if took := <-waited; took != closeGrace {
			t.Errorf("with a message in hand closing waited %s", took)
		}
		<-d.ended
		if other.Context().Err() == nil {
			t.Error("a message outlives its subscriber")
		}
	})
}

func TestAPartitionThatEndsIsBegunAnewWhenNothingIsInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.put(0, "a", nil)
		d.put(1, "a", nil)
		msg := <-d.out
		close(d.records)
		d.quiet(t, "the partition has to be begun anew")
		msg.Ack()
		<-d.ended
		if marked, _ := d.at(); marked != 1 {
			t.Errorf("%d is marked", marked)
		}
	})
}

// Many receivers that acknowledge and refuse at random, and take their time: every key in order,
// one at a time, everything in the end, and a slow key stops nobody.
func TestEveryKeyKeepsItsOrderUnderRandomAnswers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 1))
			d := newDesk(t)
			const total, keys = 3000, 40
			go func() {
				for n := range int64(total) {
					d.put(n, fmt.Sprint(n*7%keys), nil)
				}
			}()
			var (
				mu     sync.Mutex
				busy   = map[string]bool{}
				last   = map[string]int64{}
				done   int
				finish = make(chan struct{})
			)
			receive := func(msg *message.Message, refuse bool, takes time.Duration) {
				_, _, offset, key, _ := Origin(msg)
				mu.Lock()
				if before, seen := last[string(key)]; busy[string(key)] || seen && before >= offset {
					t.Errorf("seed %d: %d of key %s came while %v in hand and after %d", seed, offset, key, busy[string(key)], before)
				}
				busy[string(key)] = true
				mu.Unlock()
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				busy[string(key)] = false
				if refuse {
					msg.Nack()
					return
				}
				last[string(key)] = offset
				if done++; done == total {
					close(finish)
				}
				msg.Ack()
			}
			for {
				select {
				case msg := <-d.out:
					go receive(msg, dice.IntN(10) == 0, time.Duration(dice.IntN(20))*time.Millisecond)
					continue
				case <-finish:
				}
				break
			}
			if marked, paused := d.at(); marked != total || paused {
				t.Errorf("seed %d: %d is marked, paused %v", seed, marked, paused)
			}
		})
	}
}
