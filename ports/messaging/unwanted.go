package messaging

import "millrace/app/messages"

// unwanted says of a record of a group's topic that the service has no handler for it, and counts it as
// skipped. More than a third of all deliveries are of that kind, since a topic has many readers. Saying so
// before the record has become a message, with a goroutine, a context and a span, saves most of what it costs.
//
// The verdict is the one that admit gives to a message: whatever is wrong or unknown is not unwanted.
func (c consumer) unwanted(g Group) func(value []byte) bool {
	handled := make(map[string]bool, len(g.Handlers))
	for _, h := range g.Handlers {
		handled[h.Message] = true
	}
	return func(value []byte) bool {
		name, ok := messages.TypeOf(value)
		if !ok || handled[name] {
			return false
		}
		e, err := messages.Open(value)
		if err != nil || handled[e.Type] {
			return false
		}
		if spec, known := messages.SpecOf(e.Type); !known || spec.Topic != g.Topic {
			return false
		}
		c.Observer.Handled(g.Name, OutcomeSkipped, 0)
		return true
	}
}
