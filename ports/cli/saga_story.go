package cli

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/app/audit"
	"millrace/app/messages"
	saga "millrace/sagas/order"
	"millrace/sagas/replay"
)

// story is a history with what follows from it: who said what, what an entry changed, which commands were
// answered, and what may come next.
type story struct {
	audit.History
	Journal []chapter `json:"journal"`
	Left    []way     `json:"left"` // empty when the saga has ended
}

type chapter struct {
	audit.Entry
	By      string              `json:"by"`      // the service that sent the message, or timer; empty for a message that is not known
	Changes []replay.Difference `json:"changes"` // of the saga's state
	Sent    []sending           `json:"sent"`
}

type sending struct {
	audit.Sent
	AnsweredBy int `json:"answeredBy,omitempty"` // entry; only commands are answered
}

// way is one of those that lead on from where the saga is.
type way struct {
	On    string    `json:"on"`
	By    string    `json:"by"`
	Due   time.Time `json:"due,omitzero"` // of a timer
	Sends []string  `json:"sends"`
	To    string    `json:"to"`
}

// timer stands where a service's name would, for what no service says.
const timer = "timer"

// answers are the messages that answer commands.
var answers = map[string]string{
	messages.RefundPayment{}.Name():    messages.PaymentRefunded{}.Name(),
	messages.ReleaseInventory{}.Name(): messages.InventoryReleased{}.Name(),
}

// senders say who speaks on a topic that the saga hears.
var senders = map[string]string{
	messages.OrderEvents: messages.OrderService, messages.PaymentEvents: messages.PaymentService, messages.InventoryEvents: messages.InventoryService,
}

// senderOf says who says such a message; nothing of one that this build does not know.
func senderOf(kind string) string {
	spec, known := messages.SpecOf(kind)
	if !known && strings.HasSuffix(kind, "TimedOut") {
		return timer
	}
	return senders[spec.Topic]
}

func storyOf(h audit.History) story {
	s := story{History: h, Journal: make([]chapter, len(h.Journal)), Left: waysOn(h)}
	for i, e := range h.Journal {
		s.Journal[i] = chapterOf(e, h.Journal[i+1:])
	}
	return s
}

func chapterOf(e audit.Entry, later []audit.Entry) chapter {
	c := chapter{Entry: e, By: senderOf(e.Type), Changes: replay.Differences(e.Before, e.After), Sent: make([]sending, len(e.Sent))}
	for n, m := range e.Sent {
		c.Sent[n] = sending{Sent: m}
		for _, l := range later {
			if l.Outcome != replay.Failed && l.Type == answers[m.Type] {
				c.Sent[n].AnsweredBy = l.Seq
				break
			}
		}
	}
	return c
}

// waysOn gives the rows of the table of the saga's own version that begin where it is; none of a version that
// this build does not have. Where two differ by the saga's reason it is the one that has its reason, and where
// they differ by how often it has waited, the one that is next.
func waysOn(h audit.History) []way {
	all := []way{}
	definition, known := saga.Of(h.Saga.Definition)
	if !known {
		return all
	}
	var inside saga.State
	_ = json.Unmarshal(h.Inside, &inside) // one that cannot be read has not waited, for all we know
	table, waits := definition.Table(), inside.Waited+1 < definition.InventoryWaits
	for _, e := range table {
		again := slices.ContainsFunc(table, func(o saga.Edge) bool { return o.From == e.From && o.On == e.On && o.To == e.From })
		if again && (e.To == e.From) != waits {
			continue
		}
		cancels, cancelled := e.To == saga.Cancelled, h.Saga.Reason == messages.ReasonCancelledByUser
		if e.From.String() != h.Saga.State || e.From == saga.UndoingPayment && cancels != cancelled {
			continue
		}
		w := way{On: e.On, By: senderOf(e.On), Sends: append([]string{}, e.Sends...), To: e.To.String()}
		for _, t := range h.Timers {
			if w.By == timer && (saga.TimedOut{Timer: saga.Timer{Name: t.Name}}).Name() == e.On {
				w.Due = t.Due
			}
		}
		all = append(all, w)
	}
	return all
}

// changed is what an entry changed, for people. The step is shown beside it, and its number says nothing.
func (c chapter) changed() string {
	var all []string
	for _, d := range c.Changes {
		if d.Path == "/step" || d.Path == "/entry" {
			continue
		}
		all = append(all, strings.TrimPrefix(d.Path, "/")+" "+bare(d.Before)+"→"+bare(d.After))
	}
	return strings.Join(all, ", ")
}

// bare is a JSON value for people: a text without its quotes, and nothing for none.
func bare(value []byte) string {
	text := string(value)
	if text == "null" {
		return ""
	}
	if len(text) > 1 && text[0] == '"' && !strings.ContainsRune(text, '\\') {
		text = text[1 : len(text)-1]
	}
	return short(text, 40)
}

// sentWords is what was sent, with the entry that answers it, or a question mark where none does.
func (c chapter) sentWords() string {
	all := make([]string, len(c.Sent))
	for i, m := range c.Sent {
		all[i] = m.Type
		if _, asks := answers[m.Type]; !asks {
			continue
		}
		if m.AnsweredBy > 0 {
			all[i] += " (" + strconv.Itoa(m.AnsweredBy) + ")"
		} else {
			all[i] += " (?)"
		}
	}
	return strings.Join(all, ", ")
}

func (c chapter) timerWords() string {
	var all []string
	for _, t := range c.Set {
		all = append(all, "+"+t)
	}
	for _, t := range c.Cleared {
		all = append(all, "-"+t)
	}
	return strings.Join(all, " ")
}

func (c chapter) stateWords() string {
	if c.To == c.From {
		return c.From
	}
	return c.From + " → " + c.To
}

func (w way) words() []cell {
	due, sends := "", ""
	if !w.Due.IsZero() {
		due = "due " + moment(w.Due)
	}
	if len(w.Sends) > 0 {
		sends = "sends " + strings.Join(w.Sends, ", ")
	}
	return []cell{word("left").in(faint), word("%s", w.On), word("of %s", w.By), word("→ %s", w.To), word("%s", strings.TrimSpace(due+" "+sends))}
}

// waiting are the dead letters that somebody has to deal with before the order can go on.
func (s story) waiting() []audit.Letter {
	return slices.DeleteFunc(slices.Clone(s.Letters), func(l audit.Letter) bool {
		return l.State != "waiting" && l.State != "parked" && l.State != "redriving"
	})
}

// sentTypes is what was sent; whether it is answered is not known yet when it is shown.
func (c chapter) sentTypes() string {
	all := make([]string, len(c.Sent))
	for i, m := range c.Sent {
		all[i] = m.Type
	}
	return strings.Join(all, ", ")
}

func outcomeColour(outcome string) colour {
	if outcome == replay.Failed {
		return red
	}
	return plain
}
