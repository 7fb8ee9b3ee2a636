package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/plan"
	saga "millrace/sagas/order"
)

// ErrMoved: the saga, or the book that a step is to be skipped on, is not as it was when the act was planned.
var ErrMoved = fault.New(fault.Conflict, "saga_moved", "it has changed since the plan was made")

// ErrNoDefinition: this build has no code for the saga's definition version. A message waits for a build that has it
// (ErrDefinition); an act does not, for other sagas of its plan wait behind it.
var ErrNoDefinition = fault.New(fault.Conflict, "act_without_definition", "it is UNREADABLE: this build has no code for its definition")

// ErrLeaseHeld: another apply has the lease of the saga's order: it acts on the saga or on a dead letter of the order, and
// does not know yet what came of that.
var ErrLeaseHeld = fault.New(fault.Conflict, "act_under_way", "another apply has the saga in hand")

// ErrUnstated: the act would set a time-out whose length nobody has confirmed.
var ErrUnstated = fault.New(fault.Conflict, "timeout_unstated", "it would set a time-out that the plan does not state: plan again")

// OperatorWork is one transaction of ordering for an operator's act, as Work is for a message.
type OperatorWork interface {
	Operate(ctx context.Context, fn func(OperatorTx) error) error
}

// OperatorTx is what an act can see and stage, beside what a message can.
type OperatorTx interface {
	Tx
	// Books reads what the books of the participant that a step waits for say now.
	Books(ctx context.Context, orderID string, step saga.Step) (Books, error)
	// SendAgain stages messages of the order that were sent before, each under the id that it has: whoever
	// has handled it knows it.
	SendAgain(again []Again) error
	// Record acquires the lease of the order for the act's plan and stages the act's line of the audit. It fails with
	// ErrLeaseHeld while another plan has the lease.
	Record(ctx context.Context, r Record) error
}

// Again is a message that is sent again, and the service in whose outbox it lies.
type Again struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Topic   string `json:"topic"`
	Service string `json:"service"`
}

// Record is what the audit keeps of an act.
type Record struct {
	ID      string // the act's
	Act     saga.Act
	OrderID string
	Version int // of the saga, as it was planned
	By      plan.Attribution
	Detail  string // what was sent, and the time-outs that were set
}

// Command is one act on a saga that an operator has decided on.
type Command struct {
	ID      string // the act's: what is sent is derived from it, so that an act that is done again sends the same
	Act     saga.Act
	OrderID string
	Version int // of the saga, as it was planned
	Found   string
	Again   []Again
	From    int // of a migration: the definition's version that the saga has
	To      int // and the one that it is to have

	Timeouts Timeouts // that are set, as they were planned; 0 for one that is not
	By       plan.Attribution
}

// ActID is the id of an act on a saga as it was planned. The version moves with every act, so no two
// acts share an id.
func ActID(orderID string, act saga.Act, version int) string {
	return messages.DerivedID(orderID, "operator."+act.String(), version)
}

// Message is the act as the saga is told it.
func (c Command) Message() saga.Operated {
	m := saga.Operated{OrderID: c.OrderID, Act: c.Act, Actor: c.By.Actor, Why: c.By.Reason, Found: c.Found, From: c.From, To: c.To}
	for _, a := range c.Again {
		m.Again = append(m.Again, a.ID)
	}
	return m
}

// Operator carries out what an operator has planned, an act a transaction. It is not for messages.
type Operator struct {
	work  OperatorWork
	build string
	now   func() time.Time
}

// NewOperator makes it. Build names the running build in the journal.
func NewOperator(work OperatorWork, build string, now func() time.Time) *Operator {
	return &Operator{work, build, now}
}

// Operate takes an act to its saga: decision, state, timeline, timers, journal, outgoing messages and the
// line of the audit, or nothing of it. It fails with ErrMoved when the saga, or what a step is skipped on, is not as planned, with
// saga.ErrRefused, with ErrNoDefinition, with ErrLeaseHeld, with ErrUnstated, and with ErrNoOrder. None of these is an outage.
func (o *Operator) Operate(ctx context.Context, command Command) error {
	told := command.Message()
	cause := messages.Cause{
		Seed: command.ID, MessageID: command.ID, CausationID: command.ID, CorrelationID: command.OrderID,
		Handler: "saga_operator", Type: told.Name(),
	}
	carry := New(nil, command.Timeouts, nil, o.build, o.now)
	now := o.now().UTC().Truncate(time.Microsecond)
	err := o.work.Operate(messages.WithCause(ctx, cause), func(tx OperatorTx) error {
		i, err := find(ctx, tx, command.OrderID)
		if err != nil {
			return err
		}
		if i.Version != command.Version {
			return ErrMoved.Because(fmt.Errorf("its version is %d and was %d", i.Version, command.Version))
		}
		if command.Act == saga.ToVersion && i.Definition != command.From {
			return ErrMoved.Because(fmt.Errorf("its definition is %d and was %d", i.Definition, command.From))
		}
		by, has := saga.Of(i.Definition) // asked behind the version: one that a newer build has moved has moved
		if !has {
			return ErrNoDefinition.Because(fmt.Errorf("UNREADABLE: this build has no code for version %d of its definition", i.Definition))
		}
		if i.EnteredAt.IsZero() {
			i.EnteredAt = i.PlacedAt
		}
		d, err := saga.Operate(by.Decide, i.State, saga.Input{ID: command.ID, Message: told})
		if err != nil {
			return err
		}
		if err := command.allowedBy(ctx, tx, i.State.Step); err != nil {
			return err
		}
		for _, t := range d.SetTimers {
			if command.Timeouts.Of(t.Name) <= 0 {
				return ErrUnstated.Because(errors.New(t.Name))
			}
		}
		if err := tx.Record(ctx, command.record(d)); err != nil {
			return err
		}
		if err := tx.SendAgain(command.Again); err != nil {
			return err
		}
		if command.Act == saga.ToVersion {
			i.Definition = command.To
		}
		return carry.carryOut(tx, i, d, told, cause, now)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s of the saga of %s: %w", command.Act, command.OrderID, err)
	}
	return err
}

// allowedBy looks at the participant's books again, for an act that hangs on them: they may have moved
// since the plan, and the saga's version does not tell.
func (c Command) allowedBy(ctx context.Context, tx OperatorTx, step saga.Step) error {
	if c.Act != saga.RetryStep && c.Act != saga.SkipStep {
		return nil
	}
	now, err := tx.Books(ctx, c.OrderID, step)
	if err != nil {
		return err
	}
	if c.Act == saga.SkipStep && now.Answer != c.Found {
		return ErrMoved.Because(fmt.Errorf("the books of its participant say %s, and said %s", cmp.Or(now.Answer, "no answer"), c.Found))
	}
	return now.Refuse(c.Act)
}

// record is the act's line of the audit.
func (c Command) record(d saga.Decision) Record {
	r := Record{ID: c.ID, Act: c.Act, OrderID: c.OrderID, Version: c.Version, By: c.By, Detail: "sends nothing"}
	var sent []string
	for _, a := range c.Again {
		sent = append(sent, a.Type+" again")
	}
	for _, m := range d.Send {
		sent = append(sent, m.Name())
	}
	for n, one := range sent {
		if n == 0 {
			r.Detail = "sends " + one
			continue
		}
		r.Detail += ", " + one
	}
	for _, t := range d.SetTimers {
		r.Detail += fmt.Sprintf(", sets the %s time-out to %s", t.Name, c.Timeouts.Of(t.Name))
	}
	return r
}
