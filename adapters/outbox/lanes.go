package outbox

import (
	"slices"
	"time"
)

// lanes holds the rows that the relay knows, and orders them: one after another within an
// aggregate, side by side across aggregates. It knows no clock, no database and no broker, and is
// used by one goroutine.
type lanes struct {
	held  map[int64]*row // every row from its reading until it is marked
	lanes map[string]*lane
	ready []*lane // those whose first row may be handed out, longest waiting first
}

// lane is the rows of one aggregate that Kafka does not have yet.
type lane struct {
	rows  []*row
	state laneState
	turn  int // counts its parkings, so that a late end of one is not taken for the end of another
}

type laneState int

const (
	laneReady  laneState = iota
	laneFlying           // its first row is handed out
	laneParked           // its first row was refused and waits for another try
	laneGone             // forgotten
)

func newLanes() *lanes {
	return &lanes{held: map[int64]*row{}, lanes: map[string]*lane{}}
}

// add takes a row in, at its place by seq among those of its aggregate that were not handed out.
func (s *lanes) add(r *row) {
	s.held[r.seq] = r
	l, ok := s.lanes[r.aggregate]
	if !ok {
		l = &lane{state: laneReady, rows: []*row{r}}
		s.lanes[r.aggregate] = l
		s.ready = append(s.ready, l)
		return
	}
	at := len(l.rows)
	for at > 0 && l.rows[at-1].seq > r.seq && (at > 1 || l.state == laneReady) {
		at--
	}
	l.rows = slices.Insert(l.rows, at, r)
}

// peek gives the row that is to be handed out next, or nil.
func (s *lanes) peek() *row {
	if len(s.ready) == 0 {
		return nil
	}
	return s.ready[0].rows[0]
}

// take says that the row of peek was handed out.
func (s *lanes) take() {
	s.ready[0].state = laneFlying
	s.ready[0] = nil
	s.ready = s.ready[1:]
}

// done lets the next row of the aggregate go. The row stays held until drop.
func (s *lanes) done(r *row) {
	l := s.lanes[r.aggregate]
	l.rows[0] = nil
	l.rows = l.rows[1:]
	if len(l.rows) == 0 {
		delete(s.lanes, r.aggregate)
		return
	}
	l.state = laneReady
	s.ready = append(s.ready, l)
}

// abandon forgets the row, which was in flight and refused, and all behind it.
func (s *lanes) abandon(r *row) {
	l := s.lanes[r.aggregate]
	for _, r := range l.rows {
		delete(s.held, r.seq)
	}
	l.state = laneGone
	delete(s.lanes, r.aggregate)
}

// drop forgets rows that are marked or gone.
func (s *lanes) drop(seqs ...int64) {
	for _, seq := range seqs {
		delete(s.held, seq)
	}
}

// parking names one stay of a lane.
type parking struct {
	lane *lane
	turn int
}

// park keeps the row's aggregate back until release is given the result.
func (s *lanes) park(r *row) parking {
	l := s.lanes[r.aggregate]
	l.state = laneParked
	l.turn++
	return parking{l, l.turn}
}

// release lets a parked lane go on, unless that has happened already.
func (s *lanes) release(p parking) {
	if p.lane.state == laneParked && p.lane.turn == p.turn {
		p.lane.state = laneReady
		s.ready = append(s.ready, p.lane)
	}
}

// releaseAll lets every parked lane go on.
func (s *lanes) releaseAll() {
	for _, l := range s.lanes {
		if l.state == laneParked {
			l.state = laneReady
			s.ready = append(s.ready, l)
		}
	}
}

// forget drops every row that is not in flight or waiting to be marked: somebody else sends them.
func (s *lanes) forget() {
	for aggregate, l := range s.lanes {
		keep := 0
		if l.state == laneFlying {
			keep = 1
		}
		for _, r := range l.rows[keep:] {
			delete(s.held, r.seq)
		}
		l.rows = l.rows[:keep]
		if keep == 0 {
			l.state = laneGone
			delete(s.lanes, aggregate)
		}
	}
	s.ready = nil
}

// seqs lists the rows held.
func (s *lanes) seqs() []int64 {
	all := make([]int64, 0, len(s.held))
	for seq := range s.held {
		all = append(all, seq)
	}
	return all
}

// oldest is when the oldest row held was written.
func (s *lanes) oldest() time.Time {
	var first time.Time
	for _, r := range s.held {
		if first.IsZero() || r.createdAt.Before(first) {
			first = r.createdAt
		}
	}
	return first
}
