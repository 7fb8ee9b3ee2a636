package order

import (
	"reflect"
	"slices"
	"testing"

	"millrace/app/messages"
	orders "millrace/domain/order"
)

var (
	created   = says(&messages.OrderCreated{OrderID: orderID, UserID: "usr_1", Currency: "LKR", Total: 2400})
	paid      = says(&messages.PaymentSucceeded{OrderID: orderID})
	declined  = says(&messages.PaymentFailed{OrderID: orderID, Reason: messages.ReasonPaymentDeclined})
	refunded  = says(&messages.PaymentRefunded{OrderID: orderID})
	reserved  = says(&messages.InventoryReserved{OrderID: orderID})
	shelfBare = says(&messages.InventoryFailed{OrderID: orderID, Reason: messages.ReasonOutOfStock})
	barred    = says(&messages.InventoryFailed{OrderID: orderID, Reason: messages.ReasonBarred})
	released  = says(&messages.InventoryReleased{OrderID: orderID})
	cancel    = says(&messages.OrderCancelRequested{OrderID: orderID})
	payLate   = says(TimedOut{orderID, Timer{PaymentTimer, 1}})
	stockLate = says(TimedOut{orderID, Timer{InventoryTimer, 2}})
	stockGone = says(TimedOut{orderID, Timer{InventoryTimer, 3}}) // the second time-out
)

func TestAnOrderEndsAsItsMessagesSay(t *testing.T) {
	t.Parallel()
	release := func(reason string) messages.Message {
		return &messages.ReleaseInventory{OrderID: orderID, Reason: reason}
	}
	refund := func(reason string) messages.Message {
		return &messages.RefundPayment{OrderID: orderID, Reason: reason}
	}
	completed := func(status orders.Status, reason string) messages.Message {
		return &messages.OrderCompleted{OrderID: orderID, UserID: "usr_1", Status: status.String(), Total: 2400, Currency: "LKR", Reason: reason}
	}
	undone := func(status orders.Status, reason string) []messages.Message {
		return []messages.Message{release(reason), refund(reason), completed(status, reason)}
	}
	confirmed := []messages.Message{completed(orders.Confirmed, "")}

	for _, tt := range []struct {
		name     string
		in       []Input
		sent     []messages.Message
		timeline []string
	}{
		{"paid and reserved is confirmed", []Input{created, paid, reserved}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
		{"every message twice is as good as once", []Input{created, created, paid, paid, reserved, reserved, created}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
		{"messages in reverse are applied in causal order", []Input{reserved, paid, created}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
		{"a reservation that is seen before its payment waits for it", []Input{created, reserved, paid}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
		{"a declined card fails the order at once", []Input{created, declined},
			[]messages.Message{completed(orders.Failed, messages.ReasonPaymentDeclined)},
			[]string{"PaymentFailed PROCESSING", "OrderCompleted FAILED"}},
		{"a declined card that is seen before the order fails it too", []Input{declined, created},
			[]messages.Message{completed(orders.Failed, messages.ReasonPaymentDeclined)},
			[]string{"PaymentFailed PROCESSING", "OrderCompleted FAILED"}},
		{"out of stock gives the money back", []Input{created, paid, shelfBare, refunded},
			[]messages.Message{refund(messages.ReasonOutOfStock), completed(orders.Failed, messages.ReasonOutOfStock)},
			[]string{"PaymentSucceeded PAID", "InventoryFailed PAID", "PaymentRefunded PAID", "OrderCompleted FAILED"}},
		{"barred counts as out of stock", []Input{created, paid, barred, refunded},
			[]messages.Message{refund(messages.ReasonOutOfStock), completed(orders.Failed, messages.ReasonOutOfStock)},
			[]string{"PaymentSucceeded PAID", "InventoryFailed PAID", "PaymentRefunded PAID", "OrderCompleted FAILED"}},
		{"a payment that does not come is undone, inventory first", []Input{created, payLate, paid, released, refunded},
			undone(orders.Failed, messages.ReasonPaymentTimeout),
			[]string{"PaymentTimedOut PROCESSING", "InventoryReleased PROCESSING", "PaymentRefunded PROCESSING", "OrderCompleted FAILED"}},
		{"a reservation that comes after a time-out is taken", []Input{created, paid, stockLate, stockLate, reserved, stockGone}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
		{"a reservation that does not come is undone", []Input{created, paid, stockLate, stockGone, reserved, released, refunded},
			undone(orders.Failed, messages.ReasonInventoryTimeout),
			[]string{"PaymentSucceeded PAID", "InventoryTimedOut PAID", "InventoryReleased PAID", "PaymentRefunded PAID", "OrderCompleted FAILED"}},
		{"a cancel before payment cancels", []Input{created, cancel, paid, declined, released, refunded},
			undone(orders.Cancelled, messages.ReasonCancelledByUser),
			[]string{"OrderCancelRequested PROCESSING", "InventoryReleased PROCESSING", "PaymentRefunded PROCESSING", "OrderCompleted CANCELLED"}},
		{"a cancel after payment cancels", []Input{created, paid, cancel, reserved, released, refunded},
			undone(orders.Cancelled, messages.ReasonCancelledByUser),
			[]string{"PaymentSucceeded PAID", "OrderCancelRequested PAID", "InventoryReleased PAID", "PaymentRefunded PAID", "OrderCompleted CANCELLED"}},
		{"a cancel that is seen before the order cancels", []Input{cancel, created, released, refunded},
			undone(orders.Cancelled, messages.ReasonCancelledByUser),
			[]string{"OrderCancelRequested PROCESSING", "InventoryReleased PROCESSING", "PaymentRefunded PROCESSING", "OrderCompleted CANCELLED"}},
		{"a cancel after the confirmation is too late", []Input{created, paid, reserved, cancel}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
		{"the first cause of an undo stays its reason", []Input{created, payLate, cancel, released, cancel, refunded},
			undone(orders.Failed, messages.ReasonPaymentTimeout),
			[]string{"PaymentTimedOut PROCESSING", "InventoryReleased PROCESSING", "PaymentRefunded PROCESSING", "OrderCompleted FAILED"}},
		{"a time-out of a step that was left is absorbed", []Input{created, paid, payLate, reserved, stockLate}, confirmed,
			[]string{"PaymentSucceeded PAID", "InventoryReserved PAID", "OrderCompleted CONFIRMED"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, sent, timeline := Start(), []messages.Message(nil), []string(nil)
			for _, in := range tt.in {
				d := Decide(s, in)
				s = d.State
				sent = append(sent, d.Send...)
				for _, mark := range d.Timeline {
					timeline = append(timeline, mark.Event+" "+mark.Status.String())
				}
			}
			if !reflect.DeepEqual(sent, tt.sent) {
				t.Errorf("sent %v, want %v", namesOf(sent), namesOf(tt.sent))
			}
			if !slices.Equal(timeline, tt.timeline) {
				t.Errorf("timeline %q, want %q", timeline, tt.timeline)
			}
			if !s.Step.Terminal() || len(s.Held) != 0 {
				t.Errorf("ended in %s holding %v", s.Step, s.Held)
			}
		})
	}
}

func TestEachMarkNamesTheMessageThatMadeIt(t *testing.T) {
	t.Parallel()
	s := after(t, says(&messages.InventoryFailed{OrderID: orderID}), Input{ID: "event-of-payment", Message: &messages.PaymentSucceeded{OrderID: orderID}})
	d := Decide(s, created)
	want := []Mark{
		{"PaymentSucceeded", orders.Paid, "event-of-payment", -1},
		{"InventoryFailed", orders.Paid, "InventoryFailed", -1},
	}
	if !slices.Equal(d.Timeline, want) {
		t.Errorf("timeline %v, want %v", d.Timeline, want)
	}
	d = Decide(d.State, refunded)
	want = []Mark{{"PaymentRefunded", orders.Paid, "PaymentRefunded", -1}, {"OrderCompleted", orders.Failed, "", 0}}
	if !slices.Equal(d.Timeline, want) || d.Send[d.Timeline[1].Sent].Name() != "OrderCompleted" {
		t.Errorf("timeline %v, want %v", d.Timeline, want)
	}
}

func TestTimersAreSetOnEntryAndClearedOnLeaving(t *testing.T) {
	t.Parallel()
	pay, stock, again := Timer{PaymentTimer, 1}, Timer{InventoryTimer, 2}, Timer{InventoryTimer, 3}
	for _, tt := range []struct {
		name       string
		before     []Input
		in         Input
		set, clear []Timer
	}{
		{"the order starts the payment timer", nil, created, []Timer{pay}, nil},
		{"the payment exchanges it for inventory's", []Input{created}, paid, []Timer{stock}, []Timer{pay}},
		{"the reservation clears inventory's", []Input{created, paid}, reserved, nil, []Timer{stock}},
		{"inventory's is set once more", []Input{created, paid}, stockLate, []Timer{again}, []Timer{stock}},
		{"and not a third time", []Input{created, paid, stockLate}, stockGone, nil, []Timer{again}},
		{"an undo has no timer", []Input{created}, payLate, nil, []Timer{pay}},
		{"an answer in an undo sets none", []Input{created, payLate}, released, nil, nil},
		{"a timer that would be set and cleared at once is never set", []Input{paid}, created, []Timer{stock}, nil},
		{"steps that are passed in one decision leave no timer", []Input{reserved, paid}, created, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(after(t, tt.before...), tt.in)
			if !slices.Equal(d.SetTimers, tt.set) || !slices.Equal(d.ClearTimers, tt.clear) {
				t.Errorf("set %v and cleared %v, want %v and %v", d.SetTimers, d.ClearTimers, tt.set, tt.clear)
			}
		})
	}
}

func TestTheVerdictSaysWhatBecameOfTheInput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before []Input
		in     Input
		want   Verdict
	}{
		{"a cause is applied", nil, created, Applied},
		{"what comes before its cause is held", nil, paid, Held},
		{"what is held already is absorbed", []Input{paid}, paid, Absorbed},
		{"a reservation before its payment is held", []Input{created}, reserved, Held},
		{"a repeated cause is absorbed", []Input{created}, created, Absorbed},
		{"a forward message in an undo is absorbed", []Input{created, payLate}, paid, Absorbed},
		{"a time-out that is let pass is applied", []Input{created, paid}, stockLate, Applied},
		{"a time-out that was let pass is absorbed", []Input{created, paid, stockLate}, stockLate, Absorbed},
		{"a time-out of another entry is absorbed", []Input{created}, says(TimedOut{orderID, Timer{PaymentTimer, 2}}), Absorbed},
		{"a time-out of an unknown timer is absorbed", []Input{created}, says(TimedOut{orderID, Timer{"tea", 1}}), Absorbed},
		{"a time-out in new is absorbed", nil, says(TimedOut{orderID, Timer{}}), Absorbed},
		{"a command is absorbed", []Input{created}, says(&messages.RefundPayment{OrderID: orderID}), Absorbed},
		{"the saga's own event is absorbed", []Input{created, declined}, says(&messages.OrderCompleted{OrderID: orderID}), Absorbed},
		{"a message by value counts as one by pointer", nil, says(messages.OrderCreated{OrderID: orderID}), Applied},
		{"a time-out by pointer counts as one by value", []Input{created}, says(&TimedOut{orderID, Timer{PaymentTimer, 1}}), Applied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := after(t, tt.before...)
			d := Decide(before, tt.in)
			if d.Verdict != tt.want {
				t.Errorf("verdict %s, want %s", d.Verdict, tt.want)
			}
			if tt.want == Absorbed && !reflect.DeepEqual(d, Decision{State: before, Verdict: Absorbed}) {
				t.Errorf("an absorbed input did something: %+v", d)
			}
		})
	}
}

func TestDecideLeavesTheStateItWasGivenAlone(t *testing.T) {
	t.Parallel()
	s := after(t, reserved, cancel, paid)
	held := slices.Clone(s.Held)
	Decide(s, created)
	if !slices.Equal(s.Held, held) {
		t.Errorf("held is now %v, was %v", s.Held, held)
	}
}

// after gives the state that the inputs lead to.
func after(t *testing.T, ins ...Input) State {
	t.Helper()
	s := Start()
	for _, in := range ins {
		s = Decide(s, in).State
	}
	return s
}

func namesOf(ms []messages.Message) []string {
	names := make([]string, len(ms))
	for i, m := range ms {
		names[i] = m.Name()
	}
	return names
}
