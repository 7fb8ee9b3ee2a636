package messages_test

import (
	"testing"
	"time"

	"millrace/app/messages"
)

var benched = &messages.OrderCreated{
	OrderID: "ord_0198F2A7C1D04B7E", UserID: "usr_001", Currency: "LKR", Total: 2400, PaymentMethod: "pm_card_ok",
	Items: []messages.Item{{SKU: "SKU-123", Qty: 2, Price: 1200}},
}

func BenchmarkSealAndEncode(b *testing.B) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		if len(encoded(b, at)) == 0 {
			b.Fatal("nothing was written")
		}
	}
}

func BenchmarkOpenAndRead(b *testing.B) {
	value := encoded(b, time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC))
	b.ReportAllocs()
	for b.Loop() {
		e, err := messages.Open(value)
		if err != nil {
			b.Fatal(err)
		}
		if m, err := e.Message(); err != nil || m.Order() != benched.OrderID {
			b.Fatalf("read %v, error %v", m, err)
		}
	}
}

func encoded(b *testing.B, at time.Time) []byte {
	b.Helper()
	e, err := messages.Seal("0198f2a7-c1d0-7b7e-8000-000000000001", "0af7651916cd43dd8448eb211c80319c", at, benched)
	if err != nil {
		b.Fatal(err)
	}
	value, err := e.Encode()
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// An envelope is written and read for every message: what that leaves to be collected is guarded here.
func TestAnEnvelopeMakesLittleGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of the short pass, whose race detector allocates too")
	}
	for name, c := range map[string]struct {
		work func(*testing.B)
		most int64
	}{
		"to seal and encode": {BenchmarkSealAndEncode, 5},
		"to open and read":   {BenchmarkOpenAndRead, 23},
	} {
		if got := testing.Benchmark(c.work).AllocsPerOp(); got > c.most {
			t.Errorf("%s takes %d allocations, at most %d are expected", name, got, c.most)
		}
	}
}
