// Package plan is what an operator's plans have in common, whatever they are about: they are sealed
// when they are made, confirmed by their seal, carried out at a pace, and end in a report that says
// of every item what became of it. What an item is, and how it is carried out, is not known here.
package plan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"millrace/domain/fault"
)

// What became of an item.
const (
	Verified    = "VERIFIED"     // it took effect
	FailedAgain = "FAILED_AGAIN" // it was done, and what it was to mend has failed again
	Skipped     = "SKIPPED"      // nothing was done, or nothing came of it: it has changed since the plan, or something was in the way
	TimedOut    = "TIMED_OUT"    // it was done, and its outcome was not known in time; apply the plan again to hear it
)

// Attribution is who does something, why, and by which plan.
type Attribution struct {
	Actor  string
	Reason string
	Plan   string // its seal
}

// Result is what became of one item of a plan, or of a message that was parked behind one.
type Result struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"` // why; "" where the outcome says all
	Service string `json:"service"`
	Handler string `json:"handler"` // of a dead letter; the act, of a saga
	OrderID string `json:"orderId"`
	Parked  bool   `json:"parked"` // it was not planned, it waited behind one that was
}

// Sum counts results by outcome.
type Sum struct {
	OK          bool     `json:"ok"` // every one is VERIFIED
	Verified    int      `json:"verified"`
	FailedAgain int      `json:"failedAgain"`
	Skipped     int      `json:"skipped"`
	TimedOut    int      `json:"timedOut"`
	Items       []Result `json:"items"`
}

// Add counts one result.
func (s *Sum) Add(r Result) {
	switch r.Outcome {
	case Verified:
		s.Verified++
	case FailedAgain:
		s.FailedAgain++
	case Skipped:
		s.Skipped++
	case TimedOut:
		s.TimedOut++
	}
	s.Items = append(s.Items, r)
	s.OK = s.Verified == len(s.Items)
}

// Faults of plans. Every one of them means that nothing was done.
var (
	ErrAltered     = fault.New(fault.Conflict, "plan_altered", "the plan is not as it was written: make a new one")
	ErrUnconfirmed = fault.New(fault.Conflict, "plan_unconfirmed", "the plan is not confirmed")
	// ErrNewEffects: the plan has effects that nobody would know for a repetition, or can charge, give money back or
	// mail, and nobody has allowed that.
	ErrNewEffects = fault.New(fault.Conflict, "plan_has_new_effects", "the plan has new effects")
)

// BrokenOff says whether a failure is not about the item that was acted on: a store cannot be asked now, or the run is
// to end. The item is left as it is, and the next run of the plan goes on with it.
func BrokenOff(ctx context.Context, err error) bool {
	return fault.KindOf(err) == fault.Unavailable || errors.Is(err, context.Canceled) || ctx.Err() != nil
}

// Seal is the SHA-256 of a plan, which is given without its seal.
func Seal(plan any) (string, error) {
	text, err := json.Marshal(plan)
	if err != nil {
		return "", fmt.Errorf("encode the plan: %w", err)
	}
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:]), nil
}

// Read reads the text of a plan into a pointer to one. It fails with ErrAltered for what is no plan of
// that shape; whether its seal fits is for whoever knows the shape to say.
func Read(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return ErrAltered.Because(err)
	}
	if decoder.More() {
		return ErrAltered.Because(errors.New("something stands behind it"))
	}
	return nil
}
