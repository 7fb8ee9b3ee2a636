package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	saga "millrace/sagas/order"
)

// moved is a line of the saga's journal that moved it.
type moved struct {
	Type   string `db:"type"`
	Before string `db:"state_before"`
	After  string `db:"state_after"`
	N      int    `db:"n"`
}

// judgeEdges looks which rows of the saga's table the orders of this run have taken.
func (w *world) judgeEdges(ctx context.Context, r *report) {
	var all []moved
	err := w.dbs["orders"].Read.SelectContext(ctx, &all, "SELECT type, state_before, state_after, 1 AS n FROM saga_journal WHERE outcome = 'applied'")
	if err != nil {
		w.broken("the saga's journal cannot be read: %v", err)
		return
	}
	taken := map[int]bool{}
	for _, m := range all {
		path, err := m.path()
		if err != nil {
			w.broken("the saga's journal has a move that is not in its table: %v", err)
		}
		for _, row := range path {
			taken[row] = true
		}
	}
	for row, e := range saga.Table {
		name := fmt.Sprintf("%s, %s, %s", e.From, e.On, e.To)
		planned := r.plan.edges || !provoked(e)
		switch {
		case taken[row]:
			r.Edges.Hit++
			r.Edges.Hits = append(r.Edges.Hits, name)
		case planned:
			r.Missing = append(r.Missing, "saga edge "+name)
		}
		if planned || taken[row] {
			r.Edges.Planned++
		}
	}
}

// provoked says whether an edge is only taken when a participant is slower than the saga.
func provoked(e saga.Edge) bool {
	late := e.On == "PaymentTimedOut" || e.On == "InventoryTimedOut"
	return late || e.From == saga.AwaitingInventory && e.On == "OrderCancelRequested"
}

// path gives the rows of the table that one decision took: that of its message, and then those of
// the messages that had been held.
func (m moved) path() ([]int, error) {
	var before, after saga.State
	if err := json.Unmarshal([]byte(m.Before), &before); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(m.After), &after); err != nil {
		return nil, err
	}
	names := []string{m.Type}
	for _, early := range before.Held {
		names = append(names, early.Name)
	}
	if path := walk(before.Step, after.Step, names); path != nil {
		return path, nil
	}
	return nil, fmt.Errorf("%s: %s to %s with %v", m.Type, before.Step, after.Step, names)
}

// walk finds rows that lead from one step to another, taking the first name first and any of the
// others after it.
func walk(from, to saga.Step, names []string) []int {
	for row, e := range saga.Table {
		if e.From != from || e.On != names[0] {
			continue
		}
		if e.To == to {
			return []int{row}
		}
		for i := 1; i < len(names); i++ {
			rest := slices.Concat([]string{names[i]}, names[1:i], names[i+1:])
			if path := walk(e.To, to, rest); path != nil {
				return append([]int{row}, path...)
			}
		}
	}
	return nil
}
