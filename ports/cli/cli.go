// Package cli is Millrace from a terminal: the verbs of `millrace`, their flags, their words and
// their exit codes. What a verb needs is handed in; which database, broker or server stands behind
// it is not known here, and no adapter may be imported.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"millrace/app/audit"
	"millrace/sagas/replay"
)

// The exit codes.
const (
	Done     = 0 // all as it should be
	CouldNot = 1 // usage, or could not run
	Found    = 2 // found what it looks for: a broken invariant, a failed item
	Damaged  = 3 // history incomplete or damaged
	NoCode   = 4 // no code for that version
	Refused  = 5 // refused for safety
)

// Deps is everything that the verbs need of the outside. A verb whose function is nil says that
// this build does not have it. Setting, Terminal, Now and HTTP may be left out.
type Deps struct {
	Version string

	Up      func(ctx context.Context, o UpOptions) error
	Serve   func(ctx context.Context, service string) error
	Migrate func(ctx context.Context, direction string, where Where, out io.Writer, asJSON bool) error // up, down or status
	Seed    func(ctx context.Context, where Where) error
	PSP     func(ctx context.Context, addr, dir string) error
	Doctor  func(ctx context.Context, where Where) ([]Finding, error)
	Config  func() ([]Setting, error)
	// SignToken makes a token that holds from now on.
	SignToken func(o TokenOptions, now time.Time) (Token, error)
	Verify    func(ctx context.Context, where Where, settled bool) (audit.Report, error)

	Sagas       Opener[Sagas]
	Acts        Opener[Acts]
	DeadLetters Opener[DeadLetters]
	Outbox      Opener[Outbox]
	Projections Opener[Projections]

	// Histories opens the journals of those orders, or, without ids, of the sagas that q chooses.
	Histories func(ctx context.Context, where Where, q audit.Query, orderIDs ...string) (*Histories, error)

	// Newest gives when a saga last moved, by the clock of whoever moved it; no time when none has begun.
	Newest func(ctx context.Context, where Where) (time.Time, error)

	Stdout, Stderr io.Writer
	Setting        func(name string) string // a setting as the services have it, "" when it is not set
	Terminal       func(io.Writer) bool     // whether a person sees it
	Now            func() time.Time
	HTTP           *http.Client
}

// UpOptions are those of `millrace up`, all filled in.
type UpOptions struct {
	Data      string
	BasePort  int
	KafkaPort int
	LogFormat string // text or json
	JSON      bool   // what it listens on is told as JSON
}

// Where says which stored state a verb acts on: that in the folder Data, or, when Data is empty,
// that which the environment names (POSTGRES_HOST and so on).
type Where struct{ Data string }

// Finding is one line of `millrace doctor`.
type Finding struct {
	Name   string `json:"check"` // of what was looked at
	State  string `json:"state"` // ok, warn or fail
	Detail string `json:"detail"`
	Advice string `json:"mend,omitempty"` // what to do about it
}

// Setting is one line of `millrace config`. The value of a secret is masked by whoever hands it in.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`         // such as environment or default
	Note   string `json:"note,omitempty"` // where another value is in force after all
}

// Sagas reads sagas; it cannot act on them.
type Sagas interface {
	// List gives the sagas that a query chooses, the newest first.
	List(ctx context.Context, q audit.Query) (audit.Sagas, error)
	// Show gives the history of one order's saga.
	Show(ctx context.Context, orderID string) (audit.History, error)
	// Definitions counts the sagas of every version that one began with.
	Definitions(ctx context.Context) ([]audit.Definition, error)
}

// Histories is a stream of journals, as they were at one moment.
type Histories struct {
	Sagas, Entries int  // how many there are
	Redacted       bool // of a bundle
	All            iter.Seq2[replay.History, error]
	Close          func() error
}

// WithCode gives an error the exit code that the process ends with.
func WithCode(code int, err error) error { return &coded{code, err} }

type coded struct {
	code int
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// errSilent ends a verb whose output has said everything.
var errSilent = errors.New("")

// Run runs the verb that args name, without the program's own name, and gives the exit code.
// Data goes to Stdout. An error is one line on Stderr that says what to do.
func Run(ctx context.Context, args []string, d Deps) int {
	p := newProgram(d)
	root := p.root()
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return Done
	}
	code := CouldNot
	var c *coded
	if errors.As(err, &c) {
		code = c.code
	}
	if !errors.Is(err, errSilent) {
		fmt.Fprintln(p.Stderr, "millrace: "+strings.Join(strings.Fields(named(ran, err)), " "))
	}
	return code
}

// named is an error's text behind the verb that it ended, so that no verb need say its own name.
func named(ran *cobra.Command, err error) string {
	text, verb := err.Error(), verbOf(ran)
	if !ran.HasParent() || strings.HasPrefix(text, verb+": ") {
		return text
	}
	return verb + ": " + text
}

// program is one run.
type program struct {
	Deps
	ownHTTP bool // no client was handed in
	json    bool // of the flag --json
}

func newProgram(d Deps) *program {
	if d.Setting == nil {
		d.Setting = os.Getenv
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	ownHTTP := d.HTTP == nil
	if ownHTTP {
		d.HTTP = &http.Client{Timeout: 15 * time.Second}
	}
	if d.Terminal == nil {
		d.Terminal = func(w io.Writer) bool {
			f, ok := w.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		}
	}
	return &program{Deps: d, ownHTTP: ownHTTP}
}
