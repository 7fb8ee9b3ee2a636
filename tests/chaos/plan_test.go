package main

import (
	"slices"
	"testing"

	saga "millrace/sagas/order"
)

func TestAShortPlanHasEveryPlaceOnce(t *testing.T) {
	t.Parallel()
	for _, stack := range both {
		places := map[string]int{}
		kinds := map[string]bool{}
		w := &world{opts: options{Stack: stack, Seed: 3, Duration: 1}, disk: true}
		p, err := choose(w)
		if err != nil {
			t.Fatal(err)
		}
		again, err := choose(w)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range p.faults() {
			kinds[f.kind] = true
			if f.kind == kindKill {
				places[place(f)]++
			}
			if again.faults()[i].name != f.name {
				t.Errorf("the same seed plans %s and then %s", f.name, again.faults()[i].name)
			}
			if !slices.Contains(f.on, stack) {
				t.Errorf("%s is planned on the %s stack", f.name, stack)
			}
		}
		if len(p.faults()) < 30 || len(kinds) < 15 {
			t.Errorf("%s: %d faults of %d kinds", stack, len(p.faults()), len(kinds))
		}
		for _, s := range failpointsToKill() {
			if places["kill/"+s.point] != 1 {
				t.Errorf("%s: %s is planned %d times", stack, s.point, places["kill/"+s.point])
			}
		}
	}
}

func TestFaultsOfOneVolleyHurtDifferentThings(t *testing.T) {
	t.Parallel()
	for _, volley := range volleys(table(), 6) {
		for i, f := range volley {
			if len(volley) > 1 && f.alone {
				t.Errorf("%s is not alone", f.name)
			}
			if shares(volley[:i], f) {
				t.Errorf("%s hurts what another of %s does", f.name, names(volley))
			}
		}
	}
}

func TestEveryRowSaysWhatItIs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range table() {
		if f.name == "" || f.kind == "" || f.does == "" || len(f.hurts) == 0 || len(f.on) == 0 || seen[f.name] {
			t.Errorf("%+v", f)
		}
		seen[f.name] = true
	}
}

func TestADecisionThatTakesHeldMessagesWalksSeveralEdges(t *testing.T) {
	t.Parallel()
	path := walk(saga.New, saga.Confirmed, []string{"OrderCreated", "InventoryReserved", "PaymentSucceeded"})
	if len(path) != 3 {
		t.Errorf("%v", path)
	}
	if path := walk(saga.New, saga.Confirmed, []string{"OrderCreated"}); path != nil {
		t.Errorf("%v", path)
	}
}
