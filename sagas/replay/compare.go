package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"millrace/app/messages"
	saga "millrace/sagas/order"
)

// compare gives the differences between what an entry holds and what was decided now, as far as
// the match looks at them.
func compare(e Entry, m Made, o Options, last bool) []Divergence {
	c := comparison{e: e, ignore: o.Ignore}
	switch o.Match {
	case Terminal:
		if last {
			c.ends(m)
		}
	case Commands:
		c.sent(m.Sent)
		c.ends(m)
	default:
		c.sent(m.Sent)
		c.ends(m)
		c.state(m)
		c.timers("/timers/set", e.Timers.Set, m.Timers.Set)
		c.timers("/timers/cleared", e.Timers.Cleared, m.Timers.Cleared)
	}
	return c.found
}

// comparison gathers what differs in one entry.
type comparison struct {
	e      Entry
	ignore []string
	found  []Divergence
	ended  bool // the end differs, so the state need not say it again
}

func (c *comparison) add(class Class, severity Severity, path string, recorded, replayed json.RawMessage) {
	if !under(path, c.ignore) {
		c.found = append(c.found, Divergence{Seq: c.e.Seq, On: c.e.Type, Class: class, Severity: severity, Path: path, Recorded: recorded, Replayed: replayed})
	}
}

// sent compares the messages in their order. Where the numbers differ, the first message that has
// no counterpart is the one that is missing or too many.
func (c *comparison) sent(now []Sent) {
	then := c.e.Sent
	for i, j := 0, 0; i < len(then) || j < len(now); {
		switch {
		case j == len(now), i < len(then) && then[i].Type != now[j].Type && len(then)-i > len(now)-j:
			c.add(MissingMessage, gravity(then[i].Type), at(i), encode(then[i]), nil)
			i++
		case i == len(then), then[i].Type != now[j].Type && len(then)-i < len(now)-j:
			c.add(ExtraMessage, gravity(now[j].Type), at(i), nil, encode(now[j]))
			j++
		case then[i].Type != now[j].Type:
			c.add(OtherMessage, worse(gravity(then[i].Type), gravity(now[j].Type)), at(i)+"/type", encode(then[i].Type), encode(now[j].Type))
			i, j = i+1, j+1
		default:
			c.message(i, then[i], now[j])
			i, j = i+1, j+1
		}
	}
}

func at(i int) string { return fmt.Sprintf("/sent/%d", i) }

// message compares two messages of one type. An entry of a build that wrote no topics has none to
// compare.
func (c *comparison) message(i int, then, now Sent) {
	if then.Topic != "" && then.Topic != now.Topic {
		c.add(OtherMessage, gravity(then.Type), at(i)+"/topic", encode(then.Topic), encode(now.Topic))
	}
	if then.ID != now.ID {
		c.add(Payload, gravity(then.Type), at(i)+"/id", encode(then.ID), encode(now.ID))
	}
	if bytes.Equal(then.Data, now.Data) {
		return
	}
	for _, d := range differences(at(i)+"/data", decode(then.Data), decode(now.Data)) {
		severity := gravity(then.Type)
		switch {
		case aboutMoney(d.path):
			severity = Money
		case strings.HasSuffix(d.path, "/reason"):
			severity = Customer
		}
		c.add(Payload, severity, d.path, d.a, d.b)
	}
}

// end is what an order ends with.
type end struct {
	Step   saga.Step       `json:"step"`
	Status json.RawMessage `json:"status"`
	Reason string          `json:"reason,omitempty"`
}

// ends compares the end where one of the two is there.
func (c *comparison) ends(m Made) {
	if bytes.Equal(c.e.After, m.After) {
		return
	}
	var then, now end
	errThen, errNow := json.Unmarshal(c.e.After, &then), json.Unmarshal(m.After, &now)
	if errThen != nil || errNow != nil || !then.Step.Terminal() && !now.Step.Terminal() {
		return // a state that cannot be read is another state; see state
	}
	if then.Step == now.Step && bytes.Equal(then.Status, now.Status) && then.Reason == now.Reason {
		return
	}
	severity := Customer
	if (then.Step == saga.Confirmed) != (now.Step == saga.Confirmed) {
		severity = Money
	}
	c.add(TerminalOutcome, severity, "/after", encode(then), encode(now))
	c.ended = true
}

func (c *comparison) state(m Made) {
	if c.e.Outcome != m.Outcome {
		c.add(StateDiffers, Internal, "/outcome", encode(c.e.Outcome), encode(m.Outcome))
	}
	if bytes.Equal(c.e.After, m.After) {
		return
	}
	for _, d := range differences("/after", decode(c.e.After), decode(m.After)) {
		switch {
		case c.ended && (d.path == "/after/step" || d.path == "/after/status" || d.path == "/after/reason"):
		case aboutMoney(d.path):
			c.add(StateDiffers, Money, d.path, d.a, d.b)
		default:
			c.add(StateDiffers, Internal, d.path, d.a, d.b)
		}
	}
}

// timers compares as sets: no order was promised among them.
func (c *comparison) timers(path string, then, now []saga.Timer) {
	for _, t := range then {
		if !slices.Contains(now, t) {
			c.add(TimerDiffers, Customer, path, encode(t), nil)
		}
	}
	for _, t := range now {
		if !slices.Contains(then, t) {
			c.add(TimerDiffers, Customer, path, nil, encode(t))
		}
	}
}

// gravity says whom a message's absence would hurt.
func gravity(kind string) Severity {
	switch kind {
	case messages.RefundPayment{}.Name():
		return Money
	case messages.ReleaseInventory{}.Name():
		return Goods
	default:
		return Customer
	}
}

func worse(a, b Severity) Severity {
	if slices.Index(bySeverity, b) < slices.Index(bySeverity, a) {
		return b
	}
	return a
}

func aboutMoney(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return name == "total" || name == "amount" || name == "currency" || name == "price"
}

func encode(v any) json.RawMessage { return text(v) }
