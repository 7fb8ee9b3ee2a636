package replay

import "encoding/json"

// Part gives the first decision at which two builds part, each seen by the decisions that it made
// on one history. Recorded stands for good, replayed for bad. False when they agree.
func Part(good, bad Result) (Divergence, bool) {
	for i := range max(len(good.Decisions), len(bad.Decisions)) {
		if i == len(good.Decisions) || i == len(bad.Decisions) {
			return stopped(good, bad, i), true
		}
		g := good.Decisions[i]
		e := Entry{Seq: g.Seq, Type: g.On, Outcome: g.Outcome, After: g.After, Sent: g.Sent, Timers: g.Timers}
		if found := compare(e, bad.Decisions[i], Options{}, true); len(found) > 0 {
			worstFirst(found)
			return found[0], true
		}
	}
	if good.Verdict == Unreplayable || bad.Verdict == Unreplayable {
		return stopped(good, bad, len(good.Decisions)), good.Verdict != bad.Verdict
	}
	return Divergence{}, false
}

// stopped is the entry behind which one of the two decided nothing more.
func stopped(good, bad Result, n int) Divergence {
	ended, by, with := bad, "bad", good
	if len(good.Decisions) == n && len(bad.Decisions) > n {
		ended, by, with = good, "good", bad
	}
	d, _ := ended.First()
	if n < len(with.Decisions) {
		d.Seq, d.On = with.Decisions[n].Seq, with.Decisions[n].On
	}
	d.Detail = "the " + by + " build stops here: " + d.Detail
	return d
}

// Report is the JSON document that replay writes.
type Report struct {
	Sagas   []Result `json:"sagas"`
	Summary Summary  `json:"summary"`
}

// ReadReport reads one.
func ReadReport(text []byte) (Report, error) {
	var r Report
	err := json.Unmarshal(text, &r)
	return r, err
}
