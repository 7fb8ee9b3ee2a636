package kafkabus

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func entry(offset int64, weight int) *held {
	return &held{offset: offset, weight: weight, draft: draft{id: fmt.Sprint(offset)}}
}

// keyOf draws one of three keys, or none.
func keyOf(t *rapid.T) []byte {
	n := rapid.IntRange(0, 3).Draw(t, "key")
	if n == 3 {
		return nil
	}
	return fmt.Append(nil, n)
}

// Whatever is acknowledged or refused in whatever order: a record is handed out when every earlier
// one of its key is acknowledged and not before, never more than the limit at once, what is said to
// be committable is acknowledged from the first on without a gap, and in the end it is everything.
func TestAWindowKeepsTheOrderOfEveryKeyAndCommitsWithoutAGap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWindow()
		w.limit = 3
		var (
			offset, committed int64
			keys              = map[int64]string{} // of every record that is not acknowledged
			inHand, refused   []*held
			all               []int64 // offsets, which have gaps
			handOut           = func() bool {
				h := w.peek()
				if h == nil {
					return false
				}
				for other, key := range keys {
					if other < h.offset && key == keys[h.offset] {
						t.Fatalf("%d went before %d of the same key", h.offset, other)
					}
				}
				for _, other := range slices.Concat(inHand, refused) {
					if other == h {
						t.Fatalf("%d went twice", h.offset)
					}
				}
				w.take()
				if inHand = append(inHand, h); len(inHand) > w.limit {
					t.Fatalf("%d are in hand", len(inHand))
				}
				return true
			}
			draw = func(t *rapid.T, from *[]*held) *held {
				if len(*from) == 0 {
					return nil
				}
				at := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
				h := (*from)[at]
				*from = slices.Delete(*from, at, at+1)
				return h
			}
			commit = func() {
				if upTo, moved := w.committable(); moved {
					if upTo <= committed {
						t.Fatalf("committed %d after %d", upTo, committed)
					}
					committed = upTo
				}
				for _, other := range all {
					if _, open := keys[other]; open && other < committed {
						t.Fatalf("%d is committed, and %d is not acknowledged", committed, other)
					}
				}
			}
			acknowledge = func(h *held) {
				delete(keys, h.offset)
				w.acknowledge(h)
				commit()
			}
		)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				offset += rapid.Int64Range(1, 3).Draw(t, "gap")
				key := keyOf(t)
				keys[offset] = string(key)
				if key == nil {
					keys[offset] = fmt.Sprint("none ", offset)
				}
				all = append(all, offset)
				w.add(entry(offset, 1), key)
			},
			"pass": func(t *rapid.T) {
				offset += rapid.Int64Range(1, 3).Draw(t, "gap")
				all = append(all, offset)
				w.pass(offset)
				commit()
			},
			"hand out": func(*rapid.T) { handOut() },
			"acknowledge": func(t *rapid.T) {
				if h := draw(t, &inHand); h != nil {
					acknowledge(h)
				}
			},
			"refuse": func(t *rapid.T) {
				if h := draw(t, &inHand); h != nil {
					w.refuse(h)
					refused = append(refused, h)
				}
			},
			"the pause is over": func(t *rapid.T) {
				if h := draw(t, &refused); h != nil {
					w.again(h)
				}
			},
			"": func(t *rapid.T) { // what may go can go
				if len(keys) > 0 && len(inHand) == 0 && len(refused) == 0 && w.peek() == nil {
					t.Fatalf("%d records wait and none may be handed out", len(keys))
				}
			},
		})
		for _, h := range refused {
			w.again(h)
		}
		refused = nil
		for len(keys) > 0 {
			handOut()
			acknowledge(inHand[0])
			inHand = inHand[1:]
		}
		if len(all) > 0 && committed != offset+1 {
			t.Fatalf("at the end %d is committed, and %d was the last record", committed, offset)
		}
		if w.open != 0 || w.inHand != 0 || w.weight != 0 || len(w.lanes) != 0 || len(w.order) != 0 || w.peek() != nil {
			t.Fatalf("the empty window holds %+v", w)
		}
	})
}

func TestNotMoreThanTheLimitIsInHand(t *testing.T) {
	t.Parallel()
	w := newWindow()
	for n := range int64(windowLimit + 1) {
		w.add(entry(n, 1), fmt.Append(nil, n))
	}
	var last *held
	for n := range windowLimit {
		if last = w.peek(); last == nil {
			t.Fatalf("only %d were handed out", n)
		}
		w.take()
	}
	if h := w.peek(); h != nil {
		t.Fatalf("with %d in hand %d went too", windowLimit, h.offset)
	}
	w.acknowledge(last)
	if h := w.peek(); h == nil || h.offset != windowLimit {
		t.Errorf("with one acknowledged, next is %v", h)
	}
}

func TestARecordThatIsRefusedForEverHoldsTheOffsetAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWindow()
	w.add(entry(0, 1), []byte("poison"))
	w.add(entry(1, 1), []byte("poison"))
	poison := w.peek()
	w.take()
	w.refuse(poison)
	for n := int64(2); n < 10*windowLimit; n++ {
		w.add(entry(n, 1), fmt.Append(nil, n))
		h := w.peek()
		if h == nil || h.offset != n {
			t.Fatalf("%d does not go: %v does", n, h)
		}
		w.take()
		w.acknowledge(h)
		if upTo, moved := w.committable(); moved {
			t.Fatalf("%d was said to be committable, and 0 is not acknowledged", upTo)
		}
		w.again(poison)
		if h := w.peek(); h != poison {
			t.Fatalf("again goes %v", h)
		}
		w.take()
		w.refuse(poison)
	}
	w.again(poison)
	w.take()
	w.acknowledge(poison)
	if upTo, moved := w.committable(); !moved || upTo != 1 {
		t.Errorf("committable is %d", upTo)
	}
	h := w.peek()
	w.take()
	w.acknowledge(h)
	if upTo, _ := w.committable(); upTo != 10*windowLimit {
		t.Errorf("in the end committable is %d", upTo)
	}
}

func TestAWindowIsFullByNumberByBytesAndByHowFarItIsAhead(t *testing.T) {
	t.Parallel()
	for bound, fill := range map[string]struct {
		records, weight int
		acknowledge     bool // all but the first
	}{
		"number": {records: windowBacklog + windowLimit, weight: 1},
		"bytes":  {records: 2, weight: windowBytes / 2},
		"ahead":  {records: windowAhead, weight: 1, acknowledge: true},
	} {
		w := newWindow()
		var inHand []*held
		for n := range fill.records {
			if w.full() {
				t.Errorf("%s: full with %d records", bound, n)
				break
			}
			w.add(entry(int64(n), fill.weight), fmt.Append(nil, n))
			if h := w.peek(); h != nil {
				w.take()
				if fill.acknowledge && n > 0 {
					w.acknowledge(h)
				} else {
					inHand = append(inHand, h)
				}
			}
		}
		if !w.full() || w.slack() {
			t.Errorf("%s: full %v, slack %v", bound, w.full(), w.slack())
		}
		for len(inHand) > 0 {
			w.acknowledge(inHand[0])
			inHand = inHand[1:]
			if h := w.peek(); h != nil {
				w.take()
				inHand = append(inHand, h)
			}
		}
		if w.full() || !w.slack() {
			t.Errorf("%s, when all are acknowledged: full %v, slack %v", bound, w.full(), w.slack())
		}
	}
}
