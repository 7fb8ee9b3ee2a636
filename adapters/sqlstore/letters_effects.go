package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
)

// What can come of an act on letters in the outside world, before anything is done.

// EffectPreview is a service's word on what its handlers and acts would do in the outside world. Nothing of it
// is carried out. It is for one plan: what it has said of one message it knows when it is asked about the next.
// Where it panics, or fails for any other reason than a use case's no or a store that is away, nobody knows what
// would come of that one.
type EffectPreview struct {
	// Message gives the acts that a message would set off at a handler of the service. It fails when this build
	// has no handler of that name that takes it.
	Message func(ctx context.Context, handler string, m messages.Message) ([]intent.Effect, error)
	// Retried gives what an act that was refused would do if it were tried again.
	Retried func(ctx context.Context, in intent.Intent) ([]intent.Effect, error)
	// Settled gives the acts that a person's word on a refused act would set off.
	Settled func(ctx context.Context, in intent.Intent, outcome string) ([]intent.Effect, error)
}

// Previewing has what can come of letters said by the services whose acts they set off: previews makes their previews
// anew for every plan. Of all other services it is known that they do nothing outside.
func (l *Letters) Previewing(previews func() map[string]EffectPreview) *Letters {
	l.previews = previews
	return l
}

// Effects gives what can come of an act on letters. What a message would set off is found by the handler's
// own code over the service's state as it is, and counts where no such act was intended before.
func (l *Letters) Effects(ctx context.Context, action, outcome string, letters []deadletters.Letter) (map[string]deadletters.Effects, error) {
	var previews map[string]EffectPreview
	if l.previews != nil {
		previews = l.previews()
	}
	all := make(map[string]deadletters.Effects, len(letters))
	seen := map[string]bool{} // acts that are counted
	for of := range chunksOf(letters) {
		core, err := l.core(of[0].Service)
		if err != nil {
			return nil, err
		}
		p := &preview{core: core, action: action, outcome: outcome, seen: seen}
		p.by, p.acts = previews[of[0].Service]
		if err := p.read(ctx, of); err != nil {
			return nil, err
		}
		for _, letter := range of {
			if all[letter.ID], err = p.of(ctx, letter.ID); err != nil {
				return nil, fmt.Errorf("preview the effects of %s: %w", letter.ID, err)
			}
		}
	}
	return all, nil
}

// chunksOf gives letters in their order, those of one service at a time, as many as one statement is about.
func chunksOf(letters []deadletters.Letter) func(yield func([]deadletters.Letter) bool) {
	return func(yield func([]deadletters.Letter) bool) {
		for len(letters) > 0 {
			n := 1
			for n < min(len(letters), atOnce) && letters[n].Service == letters[0].Service {
				n++
			}
			if !yield(letters[:n]) {
				return
			}
			letters = letters[n:]
		}
	}
}

// preview works out what can come of some letters of one service, from what it has read of them.
type preview struct {
	core            *Core
	action, outcome string
	by              EffectPreview
	acts            bool // the service has acts of its own
	seen            map[string]bool

	rows   map[string]letterRecord   // by id
	behind map[string][]letterRecord // parked ones, by the letter whose redrive brings their turn
	done   map[[2]string]bool        // consumer and message, of what the inbox knows as handled
}

// read looks up the letters, what is parked behind them, and what the inbox says of all of them.
func (p *preview) read(ctx context.Context, letters []deadletters.Letter) error {
	p.rows, p.behind, p.done = map[string]letterRecord{}, map[string][]letterRecord{}, map[[2]string]bool{}
	var ids, orders []string
	for _, l := range letters {
		ids = append(ids, l.ID)
		if l.OrderID != "" {
			orders = append(orders, l.OrderID)
		}
	}
	rows, err := selectByKeys[letterRecord](ctx, p.core.DB, letterColumns, "id", ids)
	if err != nil {
		return err
	}
	var heard []string
	for _, r := range rows {
		p.rows[r.ID] = r
		heard = append(heard, r.MessageID)
	}
	queued, err := selectByKeys[letterRecord](ctx, p.core.DB, letterColumns, open+" AND order_id", orders)
	if err != nil {
		return err
	}
	slices.SortStableFunc(queued, inSequence)
	front := map[[2]string]string{}
	for _, r := range queued {
		key := [2]string{r.Consumer, r.OrderID}
		if r.State != deadletters.Parked {
			front[key] = r.ID
			continue
		}
		p.behind[front[key]] = append(p.behind[front[key]], r)
		heard = append(heard, r.MessageID)
	}
	inbox, err := selectByKeys[struct {
		Consumer  string `db:"consumer"`
		MessageID string `db:"message_id"`
	}](ctx, p.core.DB, "SELECT consumer, message_id FROM inbox", "outcome = 'done' AND message_id", heard)
	for _, r := range inbox {
		p.done[[2]string{r.Consumer, r.MessageID}] = true
	}
	return err
}

// inSequence compares letters as they come at their consumers.
func inSequence(a, b letterRecord) int {
	return cmp.Or(cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.OrderID, b.OrderID), cmp.Compare(a.Position, b.Position),
		a.FirstAt.Compare(b.FirstAt), cmp.Compare(a.ID, b.ID))
}

// of gives what can come of the act on one letter, and of what is parked behind it.
func (p *preview) of(ctx context.Context, letterID string) (deadletters.Effects, error) {
	e := deadletters.NoEffects()
	r, there := p.rows[letterID]
	if !there {
		return e, nil // it has gone since it was listed, and will be skipped
	}
	if r.ofIntent() {
		err := p.act(ctx, r, &e)
		return e, err
	}
	handed := p.behind[letterID]
	if p.action == deadletters.ActRedrive {
		handed = append([]letterRecord{r}, handed...)
	}
	for _, one := range handed {
		if err := p.message(ctx, one, &e); err != nil {
			return e, err
		}
	}
	return e, nil
}

// message adds what a message sets off that is handed to its handler.
func (p *preview) message(ctx context.Context, r letterRecord, e *deadletters.Effects) error {
	if p.done[[2]string{r.Consumer, r.MessageID}] {
		e.Deduplicated++
		return nil
	}
	if !p.acts {
		return nil
	}
	m := readable(r.Payload)
	if m == nil {
		e.Unreadable++
		return nil
	}
	handler := r.Handler
	if handler == r.Consumer { // it never got to one: whichever takes it
		handler = ""
	}
	return p.ask(ctx, e, true, func() ([]intent.Effect, error) { return p.by.Message(ctx, handler, m) })
}

// ask adds what the service says on one message or act; a fresh one is done by a use case, which may refuse it
// still. What it cannot say counts as unreadable, for that one alone: a row that this build cannot restore, a
// handler that it does not have, a panic. It fails when the service's store is away.
func (p *preview) ask(ctx context.Context, e *deadletters.Effects, fresh bool, say func() ([]intent.Effect, error)) error {
	effects, err := unpanicked(say)
	switch {
	case err == nil:
		return p.count(ctx, effects, e, fresh)
	case fault.KindOf(err) == fault.Unavailable, ctx.Err() != nil:
		return err
	case fresh && refuses(err):
		return nil
	}
	e.Unreadable++
	return nil
}

// unpanicked makes an error of a panic: letters that a panic made are there to be planned for.
func unpanicked(say func() ([]intent.Effect, error)) (effects []intent.Effect, err error) {
	defer func() {
		if p := recover(); p != nil {
			effects, err = nil, fmt.Errorf("it panicked: %v", p)
		}
	}()
	return say()
}

// readable gives the message of a record; nil where this build cannot read it.
func readable(payload []byte) messages.Message {
	e, err := messages.Open(payload)
	if err != nil {
		return nil
	}
	m, err := e.Message()
	if err != nil {
		return nil
	}
	return m
}

// act adds what a refused act does that is tried again, or what a person's word on it sets off.
func (p *preview) act(ctx context.Context, r letterRecord, e *deadletters.Effects) error {
	if !p.acts || p.action == deadletters.ActDiscard {
		return nil
	}
	rows, err := selectByKeys[stateOfIntent](ctx, p.core.DB, "SELECT "+intentColumns+", state FROM intents", "id", []string{r.MessageID})
	if err != nil || len(rows) == 0 {
		return err
	}
	if state := rows[0].State; state != "dead" && state != "open" {
		e.Deduplicated++
		return nil
	}
	in := rows[0].restore()
	if p.action == deadletters.ActSettle {
		return p.ask(ctx, e, true, func() ([]intent.Effect, error) { return p.by.Settled(ctx, in, p.outcome) })
	}
	return p.ask(ctx, e, false, func() ([]intent.Effect, error) { return p.by.Retried(ctx, in) })
}

type stateOfIntent struct {
	intentRecord
	State string `db:"state"`
}

// refuses says whether an error is a use case's no, and not that it could not be asked.
func refuses(err error) bool {
	kind := fault.KindOf(err)
	return err != nil && (kind == fault.Invalid || kind == fault.Conflict || kind == fault.NotFound)
}

// count adds acts that are not counted yet. Those that are new ones count only where they were not intended
// before: such an act is left as it is.
func (p *preview) count(ctx context.Context, effects []intent.Effect, e *deadletters.Effects, fresh bool) error {
	for _, one := range effects {
		if p.seen[one.ID] {
			continue
		}
		if fresh {
			before, err := selectByKeys[stateOfIntent](ctx, p.core.DB, "SELECT "+intentColumns+", state FROM intents", "id", []string{one.ID})
			if err != nil {
				return err
			}
			if len(before) > 0 {
				continue
			}
		}
		p.seen[one.ID] = true
		currency := one.Amount.Currency.String()
		switch one.Kind {
		case intent.Mail:
			e.Mails++
		case intent.Capture:
			e.Captures[currency] += one.Amount.Minor
		case intent.Refund:
			e.Refunds[currency] += one.Amount.Minor
		}
	}
	return nil
}
