package order

import "testing"

// An order that goes well, from the first message to its confirmation.
func BenchmarkDecide(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s := Start()
		for _, in := range []Input{created, paid, reserved} {
			d := Decide(s, in)
			s = d.State
		}
		if !s.Step.Terminal() {
			b.Fatalf("it stands at %q", s.Step)
		}
	}
}
