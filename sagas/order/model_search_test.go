package order

import (
	"cmp"
	"fmt"
	"strings"
)

// model is one small world to be searched whole: some orders for the same SKU, and what the
// network, the clock and the customers may do.
type model struct {
	decide   func(State, Input) Decision
	flaws    flaws
	orders   int   // 1 or 2
	stock    int   // pieces at the start
	repeats  int   // how often, in all, a delivery may leave its letter for another; below 0: always
	timeouts bool  // timers may run out
	cancels  bool  // customers may cancel
	migrates int   // how often an operator may take a saga to another version
	begins   uint8 // version that sagas begin with, where they are migrated
	migrate  func(s State, from, to int) (State, error)
	acts     int // how often, in all, an operator may act
	operate  func(func(State, Input) Decision, State, Input) (Decision, error)

	sagas sagas
	lanes map[lane]uint32
	known []lane
	moves map[situation][]move
}

// world is the state of a whole model. Orders are interchangeable, so the lower lane is first.
type world struct {
	lanes   [2]uint32 // indices into model.known
	stock   int8
	repeats int8
	acts    int8
}

// situation is what decides what one lane can do next.
type situation struct {
	lane    uint32
	inStock bool
}

// move is one thing that can happen in a lane.
type move struct {
	what   string
	to     uint32
	stock  int8 // change
	repeat bool // a letter was delivered and stays under way
	wish   bool
	act    bool // an operator's
	broken string
}

// result is what a search found.
type result struct {
	states, edges int
	broken        string   // the promise, or noPromise
	trace         []string // the shortest way to where it is broken
}

func (m *model) laneNumber(l lane) uint32 {
	n, met := m.lanes[l]
	if !met {
		n = uint32(len(m.known))
		m.lanes[l] = n
		m.known = append(m.known, l)
	}
	return n
}

// movesOf lists what can happen next in a lane. Each situation is worked out once.
func (m *model) movesOf(at situation) []move {
	if moves, met := m.moves[at]; met {
		return moves
	}
	l := m.known[at.lane]
	var moves []move
	may := func(mv move, to lane) {
		mv.broken = cmp.Or(mv.broken, m.brokenByLane(to))
		to = m.withoutSpent(to)
		if to != l || mv.stock != 0 || mv.broken != noPromise {
			mv.to = m.laneNumber(to)
			moves = append(moves, mv)
		}
	}
	add := func(what string, to lane, stock int, repeat, wish bool, broken string) {
		may(move{what: what, stock: int8(stock), repeat: repeat, wish: wish, broken: broken}, to)
	}
	for x := range letterKinds {
		if !l.net.has(x) {
			continue
		}
		took := l
		took.net.take(x)
		to, stock, broken := m.deliver(took, x, at.inStock)
		add(letterNames[x], to, stock, false, false, broken)
		if left := to; !left.net.has(x) {
			left.net.send(x)
			add(letterNames[x]+", left for another time", left, stock, true, false, broken)
		}
	}
	for _, d := range deeds {
		if d.can(m, l) {
			to := l
			d.do(&to)
			add(d.what, to, 0, false, d.wish, noPromise)
		}
	}
	m.actions(l, may)
	m.migrations(l, add)
	m.moves[at] = moves
	return moves
}

// withoutSpent drops what is under way to a saga that is over or being undone and can only be
// absorbed. The searches of one order deliver all of it and show that; with two orders it would
// multiply the worlds by those that differ in nothing that matters.
func (m *model) withoutSpent(l lane) lane {
	if m.orders == 1 {
		return l
	}
	switch step := m.sagas.states[l.saga].Step; {
	case step.Terminal():
		l.net.take(releasedToSaga, refundedToSaga)
		fallthrough
	case step == UndoingInventory, step == UndoingPayment:
		l.net.take(createdToSaga, cancelToSaga, succeededToSaga, failedToSaga, reservedToSaga, refusedToSaga,
			paymentTimeToSaga, inventoryTimeToSaga)
	}
	return l
}

func (m *model) deliver(l lane, x letter, inStock bool) (lane, int, string) {
	switch x {
	case createdToPayment, refundToPayment:
		return m.atPayment(l, x), 0, noPromise
	case succeededToInventory, releaseToInventory:
		to, stock := m.atInventory(l, x, inStock)
		return to, stock, noPromise
	default:
		to, broken := m.tell(l, x)
		return to, 0, broken
	}
}

// next gives every world that follows w by one move.
func (m *model) next(w world, visit func(i int, mv move, to world)) {
	for i := range m.orders {
		for _, mv := range m.movesOf(situation{w.lanes[i], w.stock > 0}) {
			if mv.repeat && w.repeats == 0 || mv.act && w.acts == 0 {
				continue
			}
			to := w
			to.lanes[i] = mv.to
			to.stock += mv.stock
			if mv.repeat && w.repeats > 0 {
				to.repeats--
			}
			if mv.act {
				to.acts--
			}
			if m.orders == 2 && to.lanes[0] > to.lanes[1] {
				to.lanes[0], to.lanes[1] = to.lanes[1], to.lanes[0]
			}
			visit(i, mv, to)
		}
	}
}

func (m *model) broken(w world) string {
	held := 0
	for i := range m.orders {
		if m.known[w.lanes[i]].inventory == inventoryHolds {
			held++
		}
	}
	if w.stock < 0 || int(w.stock)+held != m.stock {
		return stockConserved
	}
	return noPromise
}

func (m *model) ended(w world) bool {
	for i := range m.orders {
		if !m.sagas.states[m.known[w.lanes[i]].saga].Step.Terminal() {
			return false
		}
	}
	return true
}

// search visits every reachable world, breadth first, and stops at the first broken promise.
func (m *model) search() result {
	m.sagas.number, m.lanes, m.moves = map[string]uint16{}, map[lane]uint32{}, map[situation][]move{}
	placed := lane{saga: m.sagas.numberOf(Start()), version: m.begins}
	placed.net.send(createdToSaga, createdToPayment)
	first := m.laneNumber(placed)
	start := world{stock: int8(m.stock), repeats: int8(m.repeats), acts: int8(m.acts)}
	for i := range m.orders {
		start.lanes[i] = first
	}

	number := map[world]int32{start: 0}
	worlds, parents := []world{start}, []int32{0}
	var froms, tos []int32 // edges that somebody has to take
	var r result
	for at := int32(0); int(at) < len(worlds) && r.broken == noPromise; at++ {
		m.next(worlds[at], func(i int, mv move, to world) {
			if r.broken != noPromise {
				return
			}
			r.edges++
			n, met := number[to]
			if !met {
				n = int32(len(worlds))
				number[to] = n
				worlds, parents = append(worlds, to), append(parents, at)
			}
			if !mv.wish {
				froms, tos = append(froms, at), append(tos, n)
			}
			if r.broken = cmp.Or(mv.broken, m.broken(to)); r.broken != noPromise {
				r.trace = append(m.trace(worlds, parents, at), m.describe(i, mv))
			}
		})
	}
	r.states = len(worlds)
	if r.broken == noPromise {
		if stuck := m.stuck(worlds, froms, tos); stuck >= 0 {
			r.broken, r.trace = endReachable, m.trace(worlds, parents, stuck)
		}
	}
	return r
}

// stuck gives the first world from which no end can be reached, or -1: it walks the edges back
// from every end.
func (m *model) stuck(worlds []world, froms, tos []int32) int32 {
	begin := make([]int32, len(worlds)+1)
	for _, to := range tos {
		begin[to+1]++
	}
	for i := range worlds {
		begin[i+1] += begin[i]
	}
	into, fill := make([]int32, len(tos)), append([]int32(nil), begin...)
	for e, to := range tos {
		into[fill[to]] = froms[e]
		fill[to]++
	}
	reaches := make([]bool, len(worlds))
	var queue []int32
	for i, w := range worlds {
		if m.ended(w) {
			reaches[i] = true
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range into[begin[at]:begin[at+1]] {
			if !reaches[from] {
				reaches[from] = true
				queue = append(queue, from)
			}
		}
	}
	for i, ok := range reaches {
		if !ok {
			return int32(i)
		}
	}
	return -1
}

// trace tells how a world was first reached.
func (m *model) trace(worlds []world, parents []int32, at int32) []string {
	if at == 0 {
		return nil
	}
	told := m.trace(worlds, parents, parents[at])
	found := ""
	m.next(worlds[parents[at]], func(i int, mv move, to world) {
		if found == "" && to == worlds[at] {
			found = m.describe(i, mv)
		}
	})
	return append(told, found)
}

func (m *model) describe(i int, mv move) string {
	text := mv.what
	if m.orders > 1 {
		text = fmt.Sprintf("order %d: %s", i+1, text)
	}
	return text + " [" + m.sagas.states[m.known[mv.to].saga].Step.String() + "]"
}

func (r result) String() string {
	return fmt.Sprintf("%s states, %s edges", thousands(r.states), thousands(r.edges))
}

func (r result) story() string { return "\n  " + strings.Join(r.trace, "\n  ") }

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
