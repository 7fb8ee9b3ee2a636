package sqlstore

import (
	"context"
	"slices"

	"millrace/sagas/engine"
	"millrace/sagas/operator"
)

// Receiver is a service that handles a type of message, and its consumer group.
type Receiver struct{ Service, Consumer string }

// Delivering tells the store who receives what: receivers by message type.
func (o *Operator) Delivering(receivers map[string][]Receiver) *Operator {
	o.receivers = receivers
	return o
}

// Receipts gives what the receivers' inboxes say of messages, by message id.
func (o *Operator) Receipts(ctx context.Context, again []engine.Again) (map[string][]operator.Receipt, error) {
	all := make(map[string][]operator.Receipt, len(again))
	for chunk := range slices.Chunk(again, atOnce) {
		inboxes, err := o.inboxes(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, a := range chunk {
			if all[a.ID] != nil {
				continue
			}
			for _, r := range o.receivers[a.Type] {
				said := operator.Receipt{Service: r.Service, Inbox: operator.InboxNone}
				if outcome, ok := inboxes[r.Service][[2]string{r.Consumer, a.ID}]; ok {
					said.Inbox = outcome
				}
				all[a.ID] = append(all[a.ID], said)
			}
		}
	}
	return all, nil
}

// inboxes reads what the services that receive any of these messages have of them: the outcome by consumer
// and message.
func (o *Operator) inboxes(ctx context.Context, again []engine.Again) (map[string]map[[2]string]string, error) {
	ids := make([]string, len(again))
	all := map[string]map[[2]string]string{}
	for n, a := range again {
		ids[n] = a.ID
		for _, r := range o.receivers[a.Type] {
			all[r.Service] = map[[2]string]string{}
		}
	}
	for service, outcomes := range all {
		rows, err := selectByKeys[struct {
			Consumer  string `db:"consumer"`
			MessageID string `db:"message_id"`
			Outcome   string `db:"outcome"`
		}](ctx, o.of[service].DB, "SELECT consumer, message_id, outcome FROM inbox", "message_id", ids)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			outcomes[[2]string{r.Consumer, r.MessageID}] = r.Outcome
		}
	}
	return all, nil
}
