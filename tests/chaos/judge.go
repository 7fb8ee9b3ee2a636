package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace/adapters/psp/simulator"
	"millrace/app/analytics"
	"millrace/migrations"
)

// placed is what the client's journal says of one order.
type placed struct {
	n        int
	fate     string
	user     string
	ids      []string // under which it was accepted; one, or it was doubled
	refused  []string // why it was refused
	first    time.Time
	accepted time.Time
}

// stored is an order as the system has it.
type stored struct {
	ID       string    `db:"id"`
	User     string    `db:"user_id"`
	Status   string    `db:"status"`
	Reason   string    `db:"reason"`
	Total    int64     `db:"total"`
	Currency string    `db:"currency"`
	Created  time.Time `db:"created_at"`
	Updated  time.Time `db:"updated_at"`
}

// books are all that is compared: what the parties outside know, and what the system has.
type books struct {
	journal []placed
	orders  map[string]stored
	captures,
	refunds map[string][]simulator.Entry
	letters  []letter
	reserved map[string]int64 // by SKU: what the shelf says
	sold     map[string]int64 // by SKU: what the confirmed orders have
	hurts    []hurt
	grace    time.Duration // for which what was held up is late
}

// judge compares all books, and lets the program check its own.
func (w *world) judge(ctx context.Context, r *report) {
	w.judgeDeadLetters(ctx, r)
	b, err := w.read(ctx, r)
	if err != nil {
		w.broken("the books cannot be read: %v", err)
		return
	}
	for _, v := range b.compare(r) {
		w.broken("%s", v)
	}
	w.judgeEdges(ctx, r)
	w.verify(ctx, r)
}

func (w *world) read(ctx context.Context, r *report) (*books, error) {
	b := &books{
		orders: map[string]stored{}, captures: map[string][]simulator.Entry{}, refunds: map[string][]simulator.Entry{},
		reserved: map[string]int64{}, sold: map[string]int64{}, grace: w.opts.sagaTimeout(),
	}
	w.mu.Lock()
	b.hurts = slices.Clone(w.hurts)
	w.mu.Unlock()
	var entries []entry
	for _, name := range []string{"client.jsonl", "probes.jsonl"} {
		some, err := readLedger[entry](filepath.Join(w.dir, name))
		if err != nil {
			return nil, err
		}
		entries = append(entries, some...)
	}
	b.journal = told(entries)
	r.measurePosts(entries, b.hurts)

	var all []stored
	db := w.dbs["orders"].Read
	if err := db.SelectContext(ctx, &all, "SELECT id, user_id, status, reason, total, currency, created_at, updated_at FROM orders"); err != nil {
		return nil, err
	}
	for _, o := range all {
		b.orders[o.ID] = o
	}
	money, err := simulator.ReadLedger(filepath.Join(w.dir, "psp"), time.Now())
	if err != nil {
		return nil, err
	}
	for _, m := range money.Captures {
		b.captures[m.OrderID] = append(b.captures[m.OrderID], m)
	}
	for _, m := range money.Refunds {
		b.refunds[m.OrderID] = append(b.refunds[m.OrderID], m)
	}
	if b.letters, err = readLedger[letter](filepath.Join(w.dir, "mail", lettersFile)); err != nil {
		return nil, err
	}
	type level struct {
		SKU string `db:"sku"`
		N   int64  `db:"n"`
	}
	var shelf, sold []level
	if err := w.dbs["inventory"].Read.SelectContext(ctx, &shelf, "SELECT sku, reserved AS n FROM stock"); err != nil {
		return nil, err
	}
	if err := db.SelectContext(ctx, &sold, "SELECT i.sku, sum(i.qty) AS n FROM order_items i JOIN orders o ON o.id = i.order_id WHERE o.status = 'CONFIRMED' GROUP BY i.sku"); err != nil {
		return nil, err
	}
	for _, l := range shelf {
		b.reserved[l.SKU] = l.N
	}
	for _, l := range sold {
		b.sold[l.SKU] = l.N
	}
	return b, nil
}

// told gathers the journal's lines by order.
func told(entries []entry) []placed {
	all := map[int]*placed{}
	for _, e := range entries {
		p := all[e.N]
		if p == nil {
			p = &placed{n: e.N, fate: e.Fate, first: e.when()}
			all[e.N] = p
		}
		p.user = cmp.Or(p.user, e.User)
		switch e.Op {
		case opOK:
			if !slices.Contains(p.ids, e.Order) {
				p.ids = append(p.ids, e.Order)
			}
			if p.accepted.IsZero() {
				p.accepted = e.when()
			}
		case opFail:
			p.refused = append(p.refused, fmt.Sprintf("%d %s", e.Status, e.Error))
		}
	}
	return slices.SortedFunc(func(yield func(placed) bool) {
		for _, p := range all {
			if !yield(*p) {
				return
			}
		}
	}, func(x, y placed) int { return cmp.Compare(x.n, y.n) })
}

// compare gives every difference between the books, a sentence each.
func (b *books) compare(r *report) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	b.comparePromises(r, say)
	b.compareMoney(r, say)
	b.compareStock(r, say)
	b.compareMail(r, say)
	return wrong
}

type sayer func(format string, args ...any)

// comparePromises: every order that was accepted is there, once, and has an end that was meant for
// it; nothing is there that nobody ordered.
func (b *books) comparePromises(r *report, say sayer) {
	ofUser := map[string][]stored{}
	for _, o := range b.orders {
		ofUser[o.User] = append(ofUser[o.User], o)
	}
	for _, p := range b.journal {
		r.Orders.Sent++
		there := ofUser[p.user]
		delete(ofUser, p.user)
		for _, why := range p.refused {
			say("order %d (%s) was refused: %s", p.n, p.fate, why)
		}
		if len(there) > 1 || len(p.ids) > 1 {
			r.Duplicates.Effects++
			say("order %d (%s) was placed once, answered as %v, and is there %d times", p.n, p.fate, p.ids, len(there))
		}
		switch {
		case len(p.ids) > 0:
			r.Orders.Acknowledged++
		case len(there) == 0:
			r.Orders.Unanswered++
			continue
		default:
			r.Orders.Unanswered++
		}
		for _, id := range p.ids {
			if _, ok := b.orders[id]; !ok {
				r.Lost++
				say("LOST: order %d (%s) was accepted as %s, and there is no such order", p.n, p.fate, id)
			}
		}
		for _, o := range there {
			b.compareEnd(p, o, r, say)
		}
	}
	for _, orders := range ofUser {
		for _, o := range orders {
			r.Duplicates.Effects++
			say("%s of %s was ordered by nobody", o.ID, o.User)
		}
	}
}

func (b *books) compareEnd(p placed, o stored, r *report, say sayer) {
	e := end{o.Status, o.Reason}
	if !slices.Contains([]string{"CONFIRMED", "FAILED", "CANCELLED"}, o.Status) {
		r.Lost++
		say("LOST: order %d (%s), %s, has not ended: it is %s", p.n, p.fate, o.ID, o.Status)
		return
	}
	r.Orders.Terminal++
	r.Orders.Ends[strings.TrimSpace(o.Status+" "+o.Reason)]++
	f := fateNamed(p.fate)
	until := o.Updated
	if until.Before(p.first) { // by a clock that was off
		until = time.Now()
	}
	disturbed := b.disturbed(p.first, until)
	if !f.allows(e, disturbed) {
		say("order %d was meant to be %s: %s ended %s %q", p.n, p.fate, o.ID, o.Status, o.Reason)
	} else if !f.allows(e, false) {
		r.Orders.Forgiven++
	}
}

// disturbed says whether anything was broken in a time. Some grace belongs to it: what was held up
// is late for a while.
func (b *books) disturbed(from, to time.Time) bool {
	return slices.ContainsFunc(b.hurts, func(h hurt) bool {
		return h.from.Before(to) && h.to.Add(b.grace).After(from)
	})
}

// compareMoney: a confirmed order is paid once, any other one is not or has its money back.
func (b *books) compareMoney(r *report, say sayer) {
	for id := range maps.Keys(b.captures) {
		if _, ok := b.orders[id]; !ok {
			say("the provider has a capture for %s, which is no order", id)
		}
	}
	for id, o := range b.orders {
		var taken, back, due int64
		for _, m := range b.captures[id] {
			taken += m.Amount
		}
		for _, m := range b.refunds[id] {
			back += m.Amount
		}
		if o.Status == "CONFIRMED" {
			due = o.Total
		}
		if len(b.captures[id]) > 1 || len(b.refunds[id]) > 1 {
			r.Duplicates.Effects++
			say("%s has %d captures and %d refunds", id, len(b.captures[id]), len(b.refunds[id]))
		}
		if taken-back != due {
			r.MoneyDifference += max(taken-back-due, due-taken+back)
			say("%s is %s %q: %d was taken and %d given back, due is %d", id, o.Status, o.Reason, taken, back, due)
		}
	}
}

// compareStock: what is reserved is what was sold.
func (b *books) compareStock(r *report, say sayer) {
	for sku, n := range b.reserved {
		if d := n - b.sold[sku]; d != 0 {
			r.StockDifference += max(d, -d)
			say("%d of %s are reserved, and %d were sold", n, sku, b.sold[sku])
		}
	}
	if n := b.sold["SKU-LOW"]; n > 3 {
		say("there were 3 of SKU-LOW, and %d were sold", n)
	}
}

// compareMail: every end was told in one letter, which may have come again under the same
// Message-ID, and nobody got one about anything else.
func (b *books) compareMail(r *report, say sayer) {
	came := map[string]map[string]int{}
	for _, l := range b.letters {
		if l.Code != 250 {
			continue
		}
		if came[l.Order] == nil {
			came[l.Order] = map[string]int{}
		}
		came[l.Order][l.MessageID]++
		if o, ok := b.orders[l.Order]; !ok || l.To != o.User+"@example.com" {
			say("there is a letter to %s about %s, which is %s's", l.To, l.Order, o.User)
		}
	}
	for id := range b.orders {
		if len(came[id]) == 0 {
			r.Lost++
			say("LOST: nobody was told about the end of %s", id)
		}
		if len(came[id]) > 1 {
			r.Duplicates.Effects++
			say("%s has letters with %d Message-IDs", id, len(came[id]))
		}
		for _, n := range came[id] {
			r.Duplicates.Mails += n - 1
		}
	}
}

// measurePosts tells how long single answered POSTs took, calm and hurt, and how long the way to
// the 202 was.
func (r *report) measurePosts(entries []entry, hurts []hurt) {
	var calm, hurting, whole []float64
	first := map[int]int64{}
	for _, e := range entries {
		if e.Op == opInvoke && first[e.N] == 0 {
			first[e.N] = e.At
		}
		if e.Op != opOK && (e.Op != opUnknown || e.Status == 0) {
			continue
		}
		began := e.when().Add(-time.Duration(e.Took) * time.Microsecond)
		during := slices.ContainsFunc(hurts, func(h hurt) bool { return h.from.Before(e.when()) && h.to.After(began) })
		took := float64(e.Took) / 1000
		if !during {
			calm = append(calm, took)
			continue
		}
		hurting = append(hurting, took)
		if e.Op == opOK {
			whole = append(whole, float64(e.At-first[e.N])/1000)
		}
	}
	r.Post.CalmP99, r.Post.P50, r.Post.P99, r.Post.Whole99 = quantile(calm, .99), quantile(hurting, .5), quantile(hurting, .99), quantile(whole, .99)
}

func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// verify lets the program check its own books.
func (w *world) verify(ctx context.Context, r *report) {
	ctx, cancel := context.WithTimeout(ctx, verifyWithin)
	defer cancel()
	text, err := w.millrace(ctx, "verify", "--settled", "--json")
	var said struct {
		OK         bool
		Invariants []struct {
			Name       string
			OK         bool
			Broken     int
			Violations []string
		}
	}
	if bad := json.Unmarshal([]byte(text), &said); bad != nil {
		w.broken("verify says %q: %v, %v", cut([]byte(text)), bad, err)
		return
	}
	r.Verify = json.RawMessage(text)
	for _, i := range said.Invariants {
		if !i.OK {
			w.broken("verify: %s, %d times: %s", i.Name, i.Broken, strings.Join(i.Violations, "; "))
		}
	}
	if !said.OK && err == nil {
		w.broken("verify is not content, and ends as if it were")
	}
	w.compareModels(ctx)
}

// compareModels lets the program compare its read models with the journal: every order that has ended is in
// them, once, and as it ended.
func (w *world) compareModels(ctx context.Context) {
	for _, model := range analytics.Models {
		text, err := w.millrace(ctx, "projection", "rebuild", model, "--check", "--json")
		var said analytics.Rebuilt
		if bad := json.Unmarshal([]byte(text), &said); bad != nil || err != nil || !said.Identical {
			w.broken("the read model %s is not what the journal says: %s, %v", model, cut([]byte(text)), err)
		}
	}
}

// judgeDeadLetters: what consumers refused is the garbage that was injected, all of it and nothing
// else. After that it is settled, as a person would.
func (w *world) judgeDeadLetters(ctx context.Context, r *report) {
	w.mu.Lock()
	want := map[string]bool{} // "mark consumer"
	for mark, j := range w.junk {
		for _, consumer := range j.refusedBy {
			want[mark+" "+consumer] = true
		}
	}
	w.mu.Unlock()
	r.DeadLetters.Injected = len(want)
	for _, schema := range migrations.Schemas {
		kept, err := w.deadLetters(ctx, schema)
		if err != nil {
			w.broken("dead letters of %s: %v", schema, err)
		}
		for _, d := range kept {
			r.DeadLetters.Kept++
			if !want[d.mark()+" "+d.Consumer] {
				w.broken("%s has a dead letter that nobody injected, or a second one: %s of %s from %s, %s: %s", d.Consumer, d.Type, d.OrderID, d.Topic, d.Reason, d.Error)
			}
			delete(want, d.mark()+" "+d.Consumer)
		}
		if n, err := w.count(ctx, schema, "SELECT count(*) FROM outbox_dead"); err != nil || n > 0 {
			w.broken("%d messages of %s can never be sent, %v", n, schema, err)
		}
	}
	for missing := range want {
		w.broken("LOST: injected garbage %s is in no dead letter", missing)
		r.Lost++
	}
	if err := w.discardDeadLetters(ctx); err != nil {
		w.broken("dead letters cannot be discarded: %v", err)
	}
}
