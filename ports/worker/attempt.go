package worker

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"millrace/app/messages"
	"millrace/domain/fault"
	"millrace/domain/intent"
)

// The outcomes of an attempt, as Observer hears them.
const (
	outcomeDone      = "done"
	outcomeConflict  = "conflict"
	outcomePostponed = "postponed"
	outcomeBuried    = "buried"
)

// attempt carries an intent out once, in the trace of the message that led to it.
func (n *Intents) attempt(acts context.Context, in intent.Intent) {
	ctx := propagation.TraceContext{}.Extract(acts, propagation.MapCarrier{"traceparent": in.TraceParent})
	ctx = messages.WithCause(ctx, messages.Cause{Seed: in.ID, CausationID: in.Cause, CorrelationID: in.OrderID})
	ctx, span := n.tracer.Start(ctx, "intent "+in.Kind.String(), trace.WithSpanKind(trace.SpanKindInternal))
	defer span.End()

	started := time.Now()
	err := n.carryOut(ctx, in)
	took := time.Since(started)
	outcome := n.settle(ctx, in, err)

	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("messaging.message.conversation_id", in.OrderID),
			attribute.String("millrace.intent.id", in.ID),
			attribute.Int("millrace.intent.attempt", in.Attempts),
			attribute.String("millrace.intent.outcome", outcome))
		if outcome == outcomePostponed || outcome == outcomeBuried {
			span.RecordError(err)
			span.SetStatus(codes.Error, outcome)
		}
	}
	if n.opts.Observer != nil {
		n.opts.Observer.IntentAttempted(in.Kind.String(), outcome, took)
	}
}

// carryOut does the act, where this process holds its intent for long enough.
func (n *Intents) carryOut(ctx context.Context, in intent.Intent) error {
	if err := n.renewLease(ctx, in); err != nil {
		return err
	}
	return n.act(ctx, in)
}

func (n *Intents) renewLease(ctx context.Context, in intent.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.Deadline)
	defer cancel()
	return n.store.RenewLease(ctx, in, n.opts.Deadline)
}

// act runs the handler. Its deadline is what the intent is held for, so that nobody else starts meanwhile.
func (n *Intents) act(ctx context.Context, in intent.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.Deadline)
	defer cancel()
	return recovered(ctx, n.opts.Logger, "intent "+in.Kind.String(), func(ctx context.Context) error {
		return n.handlers[in.Kind](ctx, in)
	})
}

// settle is the policy: one line a kind of fault.
func (n *Intents) settle(ctx context.Context, in intent.Intent, err error) (outcome string) {
	if err == nil {
		return outcomeDone
	}
	log := n.opts.Logger.With("intent", in.ID, "attempt", in.Attempts, "code", fault.CodeOf(err))
	switch fault.KindOf(err) {
	case fault.Conflict: // somebody else settled it, or a claim will find it again
		log.DebugContext(ctx, "an intent was settled or claimed by somebody else", "error", err)
		return outcomeConflict
	case fault.Invalid, fault.NotFound: // it stays wrong: a person has to look
		log.ErrorContext(ctx, "an intent can never be carried out and is given up", "error", err)
		n.bury(ctx, in, err)
		return outcomeBuried
	default: // away, or a mistake of ours: the outcome is unknown, and the next attempt asks by key
		log.WarnContext(ctx, "an intent is tried again later", "error", err)
		wait := intent.Backoff(in.Attempts)
		n.postpone(ctx, in, wait+upTo(wait/4), err)
		return outcomePostponed
	}
}

func (n *Intents) bury(ctx context.Context, in intent.Intent, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.opts.Deadline)
	defer cancel()
	if err := n.store.Bury(ctx, in, cause); err != nil {
		n.opts.Logger.WarnContext(ctx, "an intent could not be given up; it is tried again when its lease is over", "intent", in.ID, "error", err)
	}
}
