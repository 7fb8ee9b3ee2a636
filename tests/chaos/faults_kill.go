package main

import (
	"context"
	"fmt"
	"slices"

	"millrace/app/messages"
)

const kindKill = "kill -9 at a failpoint"

// ownersOf says which services work on a database: one of them has its relay.
var ownersOf = map[string][]string{
	"orders": {messages.OrderService, messages.Orchestrator}, "payments": {messages.PaymentService},
	"inventory": {messages.InventoryService}, "notifications": {messages.NotificationService},
}

// killFaults are a row for every place and everybody who comes past it. The process kills itself
// there, so that the moment is the one that is meant; then it is started again.
func killFaults() []fault {
	var all []fault
	for _, s := range failpointsToKill() {
		hurts := ownersOf[s.who]
		if hurts == nil {
			hurts = []string{s.who}
		}
		all = append(all, fault{
			name: "kill/" + s.point + "/" + s.who, kind: kindKill, on: both, hurts: hurts,
			does: "the process dies at that place and is started again; its failpoint says that it fired",
			begin: func(_ context.Context, w *world) (blow, error) {
				id, err := w.points.arm(s.point, s.who, "kill", 1+w.intn(4), 1)
				return w.firing(id, 1), err
			},
		})
	}
	return all
}

// firing is a blow that is seen when its failpoint has fired so often, and ends by disarming it.
func (w *world) firing(id string, times int) blow {
	return blow{
		seen: func(context.Context) (string, bool) {
			n := w.points.past().fired[id]
			return fmt.Sprintf("fired %d times", n), n >= times
		},
		heal: func(context.Context) error { return w.points.disarm(id) },
	}
}

// atFailpoint is a row that makes something happen at a place, so many times.
func atFailpoint(name, kind, does string, short []string, who, point, action string, times int) fault {
	return fault{
		name: name, kind: kind, on: both, short: short, does: does, hurts: []string{who},
		begin: func(_ context.Context, w *world) (blow, error) {
			id, err := w.points.arm(point, who, action, 1, times)
			return w.firing(id, times), err
		},
	}
}

// everybody is what a fault hurts that hurts all.
var everybody = slices.Clone(services)
