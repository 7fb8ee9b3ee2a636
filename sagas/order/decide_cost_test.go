package order

import "testing"

// A decision is made for every message of every order: what it leaves to be collected is guarded here.
func TestADecisionMakesLittleGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("left out of the short pass, whose race detector allocates too")
	}
	const most = 12 // of the three decisions of an order that goes well
	if got := testing.Benchmark(BenchmarkDecide).AllocsPerOp(); got > most {
		t.Errorf("an order's decisions are %d allocations, at most %d are expected", got, most)
	}
}
