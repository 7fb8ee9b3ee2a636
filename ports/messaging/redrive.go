package messaging

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"millrace/app/messages"
	"millrace/domain/fault"
)

// Faults of what is sent again. Each is Invalid: it stays wrong.
var (
	ErrNotRedrive = fault.New(fault.Invalid, "not_a_redrive", "the record does not say which dead letter of this service it is")
	ErrNoHandler  = fault.New(fault.Invalid, "no_such_handler", "this build has no such handler for the message")
)

// addRedrive lets one group read what is sent again to this service. The failure policy around it is
// that of every other message.
func (c consumer) addRedrive(router *message.Router) error {
	g := c.service.RedriveGroup()
	subscriber, err := c.Subscriber(g.Name, func([]byte) bool { return false })
	if err != nil {
		return fmt.Errorf("consumer group %s: %w", g.Name, err)
	}
	c.groups[g.Name] = g
	router.AddConsumerHandler(g.Name, g.Topic, subscriber, func(msg *message.Message) error {
		d := deliveryOf(msg)
		if d.handler == nil {
			return ErrNoHandler.Because(fmt.Errorf("%s for %s", d.redrive.Handler, d.envelope.Type))
		}
		m, err := d.open()
		if err != nil {
			return err
		}
		return d.handler.Handle(msg.Context(), m)
	})
	return nil
}

// again makes of a record for this service's redrive topic the delivery that it once was: group,
// place and key are those of the first time.
func (c consumer) again(d *delivery, msg *message.Message) {
	r, ok := messages.RedriveOf(msg.Metadata)
	if !ok {
		d.broken = ErrNotRedrive
		return
	}
	d.redrive = &r
	g, ours := c.groups[r.Consumer]
	if !ours || g.redrive {
		d.broken = ErrNotRedrive.Because(fmt.Errorf("there is no consumer group %q", r.Consumer))
		return
	}
	d.group, d.topic, d.partition, d.offset, d.key = g, r.Topic, r.Partition, r.Offset, r.Key
}

// readdress holds a delivery to the handler and the inbox row that it is sent to.
func (d *delivery) readdress() {
	d.id = d.redrive.MessageID
	if d.handler != nil && d.redrive.Handler != d.handler.Name && d.redrive.Handler != d.group.Name {
		d.handler = nil
	}
}
