// Package fault classifies what can go wrong, once, beside the rule that knows.
//
// A business "no" (a declined card, an empty shelf) is a fact and not a fault: it is published
// as an event. A fault means that somebody has to try again, or that a person has to look.
// Every port acts on the kind: HTTP chooses a status, a consumer chooses between retry and dead
// letter, the log chooses a level. Nothing here knows about any of them.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about a fault.
type Kind struct{ name string }

// The kinds, and what each asks of whoever gets it.
var (
	Internal    = Kind{"internal"}    // a mistake of ours: try again a few times, then let a person look
	Invalid     = Kind{"invalid"}     // the input is wrong and stays wrong: never try again
	NotFound    = Kind{"not_found"}   // what was asked for does not exist
	Conflict    = Kind{"conflict"}    // the state moved, or does not allow it: look again, then decide
	Unavailable = Kind{"unavailable"} // a dependency is away: wait, then try again
)

// String gives the kind's name as it stands in logs and metrics.
func (k Kind) String() string { return k.name }

// Fault is an error with a kind, a stable code for programs and a sentence for people.
type Fault struct {
	Kind    Kind
	Code    string // stable, snake_case; part of the public contract
	Detail  string // one sentence that says what is wrong
	Pointer string // JSON pointer (RFC 6901) to the part of the input at fault, or empty
	cause   error
}

// New makes a fault, usually once as a package variable.
func New(kind Kind, code, detail string) *Fault {
	return &Fault{Kind: kind, Code: code, Detail: detail}
}

// Invalidf makes a fault of kind Invalid for one part of the input.
func Invalidf(code, pointer, format string, args ...any) *Fault {
	return &Fault{Kind: Invalid, Code: code, Pointer: pointer, Detail: fmt.Sprintf(format, args...)}
}

// Wrap keeps the cause for logs and gives it a kind and a code.
func Wrap(kind Kind, code string, cause error) *Fault {
	return &Fault{Kind: kind, Code: code, Detail: cause.Error(), cause: cause}
}

// Because gives a copy of f that carries cause; errors.Is still finds f.
func (f *Fault) Because(cause error) *Fault {
	g := *f
	g.cause = cause
	return &g
}

// Error is the detail, with the cause behind it where there is one that says more.
func (f *Fault) Error() string {
	if f.cause != nil && f.cause.Error() != f.Detail {
		return f.Detail + ": " + f.cause.Error()
	}
	return f.Detail
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.cause }

// Is holds for faults of the same kind and code, so that package variables work with errors.Is.
func (f *Fault) Is(target error) bool {
	t, ok := target.(*Fault)
	return ok && t.Kind == f.Kind && t.Code == f.Code
}

// KindOf finds the kind of the first fault in err's chain; an error without one is Internal.
func KindOf(err error) Kind {
	if f, ok := Find(err); ok {
		return f.Kind
	}
	return Internal
}

// CodeOf finds the code of the first fault in err's chain, or "internal".
func CodeOf(err error) string {
	if f, ok := Find(err); ok {
		return f.Code
	}
	return Internal.name
}

// Find gives the first fault in err's chain.
func Find(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}

// All gives every fault in err's tree, in order: a request can be wrong in several places.
func All(err error) []*Fault {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself, node by node
	case nil:
		return nil
	case *Fault:
		return []*Fault{e}
	case interface{ Unwrap() []error }:
		var all []*Fault
		for _, one := range e.Unwrap() {
			all = append(all, All(one)...)
		}
		return all
	default:
		return All(errors.Unwrap(err))
	}
}
