package messaging_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"millrace/app/messages"
	"millrace/ports/messaging"
)

// sentAgain is a record as a redrive writes it.
func sentAgain(rec record, change func(*messages.Redrive)) record {
	r := messages.Redrive{
		LetterID: "letter", Version: 4, Count: 2, Consumer: "inventory-service.payment.events", Handler: "reserve_stock", MessageID: eventID,
		Topic: messages.PaymentEvents, Partition: 7, Offset: 99, Key: []byte(rec.key),
	}
	if rec.key == "" {
		r.Key = nil
	}
	change(&r)
	headers := map[string]string{}
	for name, value := range rec.headers {
		headers[name] = value
	}
	r.Stamp(headers)
	return record{key: rec.key, value: rec.value, headers: headers}
}

func asItWas(*messages.Redrive) {}

var again = messages.RedriveTopic(messages.InventoryService)

func TestAMessageThatIsSentAgainComesAsItCameFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cause messages.Cause
		var got *messages.PaymentSucceeded
		r := run(t, inventory(func(ctx context.Context, m *messages.PaymentSucceeded) error {
			got, cause = m, messages.CauseOf(ctx)
			return nil
		}))
		<-r.put(again, sentAgain(good(t, paid), asItWas)).acked
		if got == nil || got.PaymentID != "pay_1" {
			t.Fatalf("the handler got %+v", got)
		}
		if cause.Consumer != "inventory-service.payment.events" || cause.MessageID != eventID || cause.Handler != "reserve_stock" || cause.CorrelationID != "ord_1" ||
			cause.Topic != messages.PaymentEvents || cause.Partition != 7 || cause.Offset != 99 ||
			cause.Redrive == nil || cause.Redrive.LetterID != "letter" || cause.Redrive.Version != 4 {
			t.Errorf("its cause is %+v", cause)
		}
		if !slices.Equal(r.seen.outcomes, []string{"reserve_stock done"}) {
			t.Errorf("observed: %v", r.seen.outcomes)
		}
	})
}

func TestWhatFailsWhenSentAgainIsKeptAsTheSameLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { return errRefused }))
		rec := good(t, paid)
		<-r.put(again, sentAgain(rec, asItWas)).acked
		kept := r.letters.all()
		if len(kept) != 1 || kept[0].Redrive == nil || kept[0].Redrive.LetterID != "letter" || kept[0].Redrive.Version != 4 ||
			kept[0].MessageID != eventID || kept[0].Consumer != "inventory-service.payment.events" || kept[0].Reason != errRefused.Code ||
			kept[0].Topic != messages.PaymentEvents || kept[0].Offset != 99 || len(kept[0].Headers) != len(rec.headers) {
			t.Errorf("kept is %s", brief(kept))
		}
	})
}

func TestWhatIsSentAgainToNobodyIsADeadLetter(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*messages.Redrive){
		"not_a_redrive":   func(r *messages.Redrive) { r.Consumer = "payment-service.order.events" },
		"no_such_handler": func(r *messages.Redrive) { r.Handler = "reserve_everything" },
		"missing_key":     func(r *messages.Redrive) { r.Key = nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { t.Error("it was handled"); return nil }))
			<-r.put(again, sentAgain(good(t, paid), change)).acked
			kept := r.letters.all()
			if len(kept) != 1 || kept[0].Reason != reason || kept[0].Redrive == nil || kept[0].Redrive.LetterID != "letter" {
				t.Errorf("%s: kept is %s", reason, brief(kept))
			}
		})
	}
}

func TestARecordOnTheRedriveTopicThatIsNoRedriveIsADeadLetterOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(context.Context, *messages.PaymentSucceeded) error { t.Error("it was handled"); return nil }))
		<-r.put(again, good(t, paid)).acked
		cut := sentAgain(good(t, paid), asItWas)
		delete(cut.headers, "redrive-version")
		<-r.put(again, cut).acked
		kept := r.letters.all()
		if len(kept) != 2 {
			t.Fatalf("kept is %s", brief(kept))
		}
		for _, d := range kept {
			if d.Redrive != nil || d.Reason != "not_a_redrive" || d.Consumer != "inventory-service."+again || d.Topic != again || d.MessageID == eventID {
				t.Errorf("kept is %s", brief(kept))
			}
		}
	})
}

func TestAMessageThatIsParkedIsSeenAsParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := run(t, inventory(func(ctx context.Context, _ *messages.PaymentSucceeded) error {
			messages.CauseOf(ctx).Delivery.Parked() // as the unit of work does
			return nil
		}))
		<-r.put(messages.PaymentEvents, good(t, paid)).acked
		if !slices.Equal(r.seen.outcomes, []string{"reserve_stock " + messaging.OutcomeParked}) {
			t.Errorf("observed: %v", r.seen.outcomes)
		}
	})
}

func TestARedriveTravelsInHeadersAndLeavesNoneBehind(t *testing.T) {
	t.Parallel()
	for _, key := range [][]byte{nil, {}, {0, 0xff}, []byte("ord_1")} {
		want := messages.Redrive{LetterID: "l", Version: 3, Count: 1, Consumer: "c", Handler: "h", MessageID: "m", Topic: "t", Partition: 5, Offset: 6, Key: key}
		headers := map[string]string{"eventId": "e"}
		want.Stamp(headers)
		got, ok := messages.RedriveOf(headers)
		if !ok || got.LetterID != "l" || got.Version != 3 || got.Count != 1 || got.Partition != 5 || got.Offset != 6 || (got.Key == nil) != (key == nil) || !slices.Equal(got.Key, key) {
			t.Errorf("%q came back as %+v, %t", key, got, ok)
		}
		if len(headers) != 1 {
			t.Errorf("left are %v", headers)
		}
	}
}
