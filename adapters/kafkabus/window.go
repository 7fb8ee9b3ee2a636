package kafkabus

const (
	windowLimit   = 64      // messages of one partition in hand at most
	windowBacklog = 256     // and those that wait for their turn, before fetching pauses
	windowBytes   = 8 << 20 // of both together, before fetching pauses
	windowAhead   = 1 << 16 // records from the first that is not acknowledged to the last, before fetching pauses
)

// window orders the records of one partition: one after another for each key, side by side for
// different keys, and it knows up to which offset everything is acknowledged. It knows no clock, no
// broker and no message's meaning, and is used by one goroutine.
//
// It takes in whatever it is given; full and slack say when to stop giving and when to go on.
type window struct {
	limit, backlog, bytes, ahead int

	order []*held          // from the first that is not acknowledged, in the order of the partition
	lanes map[string]*lane // of the keys that have a record here
	ready []*held          // may be handed out, longest waiting first

	inHand int   // handed out, and neither acknowledged nor refused
	open   int   // not acknowledged
	weight int   // bytes of those
	upTo   int64 // everything below this offset is acknowledged
	moved  bool  // upTo is not yet told
}

// held is a record from its reading until it is acknowledged, and everything before it.
type held struct {
	offset int64
	weight int
	lane   *lane
	done   bool

	draft draft // what every delivery is made of; empty when it is acknowledged
	place place
}

// lane is the records of one key that are not acknowledged. The first of them is ready, in hand, or
// refused and waiting for another try; the others wait for it.
type lane struct {
	key  string
	own  bool // of a record without a key, which waits for nobody
	line []*held
}

func newWindow() *window {
	return &window{
		limit: windowLimit, backlog: windowBacklog, bytes: windowBytes, ahead: windowAhead,
		lanes: map[string]*lane{},
	}
}

// add takes in the partition's next record. One without a key (nil) counts as a key of its own.
func (w *window) add(h *held, key []byte) {
	w.order = append(w.order, h)
	w.open++
	w.weight += h.weight
	l := w.lanes[string(key)]
	switch {
	case key == nil:
		l = &lane{own: true}
	case l == nil:
		l = &lane{key: string(key)}
		w.lanes[l.key] = l
	}
	h.lane = l
	l.line = append(l.line, h)
	if len(l.line) == 1 {
		w.ready = append(w.ready, h)
	}
}

// peek gives the record that is to be handed out next; nil when none may be.
func (w *window) peek() *held {
	if w.inHand >= w.limit || len(w.ready) == 0 {
		return nil
	}
	return w.ready[0]
}

// take says that the record of peek was handed out.
func (w *window) take() {
	w.ready[0] = nil
	w.ready = w.ready[1:]
	w.inHand++
}

// acknowledge says that a record in hand is done with. The next one of its key may go.
func (w *window) acknowledge(h *held) {
	w.inHand--
	w.open--
	w.weight -= h.weight
	l := h.lane
	l.line[0] = nil
	l.line = l.line[1:]
	switch {
	case len(l.line) > 0:
		w.ready = append(w.ready, l.line[0])
	case !l.own:
		delete(w.lanes, l.key)
	}
	h.done, h.draft, h.lane, h.place = true, draft{}, nil, place{}
	w.advance()
}

// pass takes in the partition's next record as one that is acknowledged.
func (w *window) pass(offset int64) {
	if len(w.order) == 0 {
		w.upTo, w.moved = offset+1, true
		return
	}
	w.order = append(w.order, &held{offset: offset, done: true})
}

// advance moves upTo over everything that is acknowledged.
func (w *window) advance() {
	for len(w.order) > 0 && w.order[0].done {
		w.upTo, w.moved = w.order[0].offset+1, true
		w.order[0] = nil
		w.order = w.order[1:]
	}
}

// refuse says that a record in hand is to be delivered again, when again is called. Those of its
// key wait behind it.
func (w *window) refuse(*held) { w.inHand-- }

// again lets a refused record be handed out.
func (w *window) again(h *held) { w.ready = append(w.ready, h) }

// committable gives the offset below which everything is acknowledged, once each time it has moved.
func (w *window) committable() (int64, bool) {
	moved := w.moved
	w.moved = false
	return w.upTo, moved
}

// full says that no more should be read until there is slack.
func (w *window) full() bool {
	return w.open-w.inHand >= w.backlog || w.weight >= w.bytes || len(w.order) >= w.ahead
}

// slack says that there is room for a good many.
func (w *window) slack() bool {
	return w.open-w.inHand <= w.backlog/2 && w.weight <= w.bytes/2 && len(w.order) <= w.ahead/2
}
