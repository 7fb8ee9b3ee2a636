package order

import (
	"fmt"
	"testing"
)

// namedWorld is a model with the name under which its search is told of.
type namedWorld struct {
	name  string
	model model
}

// worldsToSearch are the model checks of every version. Between them they try every order of delivery, every
// duplicate, every time-out, every cancel, and every act of an operator.
var worldsToSearch = []namedWorld{
	{"one order", model{orders: 1, stock: 1, repeats: -1, timeouts: true, cancels: true}},
	{"one order, nothing in stock", model{orders: 1, stock: 0, repeats: -1, timeouts: true, cancels: true}},
	{"one order, undisturbed", model{orders: 1, stock: 1, repeats: -1}},
	{"one order, nothing in stock, undisturbed", model{orders: 1, stock: 0, repeats: -1}},
	{"two orders, one item, undisturbed", model{orders: 2, stock: 1, repeats: 3}},
	{"two orders, one item", model{orders: 2, stock: 1, repeats: 1, timeouts: true, cancels: true}},
	{"one order, an operator", model{orders: 1, stock: 1, repeats: -1, timeouts: true, cancels: true, acts: 1}},
	{"one order, an operator who acts twice", model{orders: 1, stock: 1, repeats: 0, timeouts: true, cancels: true, acts: 2}},
	{"one order, nothing in stock, an operator", model{orders: 1, stock: 0, repeats: 1, timeouts: true, cancels: true, acts: 1}},
	{"two orders, one item, an operator", model{orders: 2, stock: 1, repeats: 0, acts: 1}},
}

func TestEveryOrderOfEventsKeepsEveryPromise(t *testing.T) {
	t.Parallel()
	for _, def := range definitions {
		for _, s := range worldsToSearch {
			t.Run(fmt.Sprintf("version %d, %s", def.Version, s.name), func(t *testing.T) {
				t.Parallel()
				m := s.model
				m.decide, m.operate = def.Decide, Operate
				r := m.search()
				if r.broken != noPromise {
					t.Fatalf("broken: %s%s", r.broken, r.story())
				}
				t.Logf("%s", r)
				fmt.Printf("model check: version %d, %s: %s\n", def.Version, s.name, r)
			})
		}
	}
}
