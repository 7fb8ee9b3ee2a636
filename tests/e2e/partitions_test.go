package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"millrace/app/messages"
)

// More partitions for topics that live, the way docs/topology.md describes it: an order's messages lie in
// another partition afterwards, so nothing may be under way meanwhile.
func TestTopicsGetMorePartitionsWhileNothingIsUnderWay(t *testing.T) {
	skipShort(t)
	t.Parallel()
	const few, many = 3, 8
	s, _ := newSurrounded(t)
	partitions := func(n int) string { return "KAFKA_PARTITIONS=" + strconv.Itoa(n) }
	doctor := func(n int) string {
		t.Helper()
		c := spawn(t, t, slices.Concat(s.env, []string{partitions(n)}), "doctor", "--data", s.data)
		c.ends(t, 30*time.Second, 0)
		return c.stdout.String()
	}
	s.start(t, partitions(few))
	s.ordersEnd(t, 5)
	s.verified(t) // nothing is under way
	s.terminate(t)

	admin := kadm.NewClient(s.client(t))
	grown, err := admin.UpdatePartitions(t.Context(), many, messages.Topics()...)
	if err != nil || grown.Error() != nil {
		t.Fatal(err, grown.Error())
	}
	if told := doctor(few); !strings.Contains(told, "setting KAFKA_PARTITIONS") {
		t.Errorf("doctor says nothing of another number of partitions:\n%s", told)
	}
	if told := doctor(many); strings.Contains(told, "setting KAFKA_PARTITIONS") {
		t.Errorf("doctor is not content with the new number:\n%s", told)
	}

	s.start(t, partitions(many))
	s.ordersEnd(t, 40)
	ends, err := admin.ListEndOffsets(t.Context(), messages.OrderEvents)
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Partition >= few && o.Offset > 0 {
			used++
		}
	})
	if used == 0 {
		t.Error("the new partitions are empty")
	}
	s.settled(t)
	s.terminate(t)
}

// ordersEnd places orders, and waits until all of them are confirmed.
func (s *stack) ordersEnd(t *testing.T, n int) {
	t.Helper()
	var ids []string
	for range n {
		ids = append(ids, s.place(t, wish{}))
	}
	for _, id := range ids {
		if o := s.awaitEnd(t, id, soon); o.Status != "CONFIRMED" {
			t.Errorf("%s ended %s %q", id, o.Status, o.Reason)
		}
	}
}
