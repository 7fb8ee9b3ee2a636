package sqlstore

import (
	"fmt"
	"sync/atomic"
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/app/messages"
	paymentapp "millrace/app/payment"
)

// Handlers by how many there are at a time for each processor; units/commit tells how many of them a transaction took.
func BenchmarkGroupCommit(b *testing.B) {
	for _, at := range []int{1, 8, 128} {
		b.Run(fmt.Sprintf("%d a processor", at), func(b *testing.B) { groupCommit(b, at) })
	}
}

func groupCommit(b *testing.B, at int) {
	db := adaptertest.SQLite(b, "payments")
	core := newCore(db)
	seen := &sizes{}
	core.Observer = seen
	capture := paymentapp.NewCapturePayment(NewPayments(core, NewIntents(core)))
	var next atomic.Int64
	b.SetParallelism(at)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprintf("ord_%d", next.Add(1))
			ctx := messages.WithCause(b.Context(), messages.Cause{Consumer: "c", MessageID: id})
			if err := capture.Handle(ctx, &messages.OrderCreated{OrderID: id, Total: 100, Currency: "LKR", PaymentMethod: "pm_card_ok"}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	var stored int
	if err := db.GetContext(b.Context(), &stored, "SELECT count(*) FROM payments"); err != nil || stored != b.N {
		b.Fatalf("%d of %d payments are stored, error %v", stored, b.N, err)
	}
	b.ReportMetric(float64(b.N)/float64(len(seen.all)), "units/commit")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
}

// What a unit costs among many: a part of a commit, and garbage that does not grow.
func TestAUnitAmongManyIsCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of the short pass, whose race detector allocates too")
	}
	const most, least = 95, 100 // allocations a unit, units a commit
	got := testing.Benchmark(func(b *testing.B) { groupCommit(b, 128) })
	if got.AllocsPerOp() > most || got.Extra["units/commit"] < least {
		t.Errorf("a unit is %d allocations, and %.0f share a commit; want at most %d, and at least %d",
			got.AllocsPerOp(), got.Extra["units/commit"], most, least)
	}
}
