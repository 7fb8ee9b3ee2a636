// Command chaos attacks Millrace and checks what is left of its promises. It starts the program, built
// with failpoints, with a load client, a payment provider and a mail server that are processes of
// their own and keep books of their own; breaks things, one row of a table after the other; mends them;
// waits until nothing is under way; and compares all books. README.md says how to run it and how to
// read its report.
//
// What is attacked is seen from outside: processes, files, databases, Kafka, HTTP. No rule about
// orders may be in here but those of what an order may end as (fate.go).
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The exit codes.
const (
	exitPassed  = 0
	exitUsage   = 1
	exitFailed  = 2 // a promise was broken
	exitInvalid = 3 // something that was planned never happened, so nothing was proved
)

// options are what a run is made of. The same options attack in the same way.
type options struct {
	Stack    string
	Seed     uint64
	Duration time.Duration
	Faults   []string // names, or beginnings of names; none for all that fit
	Report   string   // file for the report as JSON
	Corpus   string   // folder for the histories of the sagas, redacted
	Binary   string   // built already, with failpoints
	Keep     bool
}

const (
	embeddedStack = "embedded"
	realStack     = "real"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if role := os.Getenv(roleSetting); role != "" {
		code := playRole(ctx, role, os.Args[1:])
		stop()
		os.Exit(code)
	}
	o, list, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(exitUsage)
	}
	if list {
		fmt.Print(describe(table(), failpointsToKill()))
		os.Exit(exitPassed)
	}
	code := exitUsage
	if report, err := attack(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	} else {
		code = report.code()
	}
	stop()
	os.Exit(code)
}

func parse(args []string) (o options, list bool, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	seed := flags.String("seed", "", "a number, or any word; empty for one by the clock")
	faults := flags.String("faults", "", "names or beginnings of names, separated by commas")
	flags.StringVar(&o.Stack, "stack", embeddedStack, "embedded or real")
	flags.DurationVar(&o.Duration, "duration", 3*time.Minute, "of load and faults; a short one plans fewer faults")
	flags.StringVar(&o.Report, "report", "", "file for the report as JSON")
	flags.StringVar(&o.Corpus, "corpus", "", "folder into which the histories of the sagas are written, redacted")
	flags.StringVar(&o.Binary, "binary", "", "a millrace that was built with -tags failpoints, to be attacked instead of this tree's")
	flags.BoolVar(&o.Keep, "keep", false, "keep the folder of the run even when it passed")
	flags.BoolVar(&list, "list", false, "print the table of faults and attack nothing")
	if err := flags.Parse(args); err != nil {
		return o, list, err
	}
	if o.Stack != embeddedStack && o.Stack != realStack {
		return o, list, fmt.Errorf("STACK is %s or %s, not %q", embeddedStack, realStack, o.Stack)
	}
	o.Seed = seedOf(*seed)
	for name := range strings.SplitSeq(*faults, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.Faults = append(o.Faults, name)
		}
	}
	return o, list, nil
}

// seedOf makes a seed of what was given: a number is itself, a word is its hash.
func seedOf(text string) uint64 {
	if text == "" {
		return uint64(time.Now().UnixNano()) % 1_000_000
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(text)) // it never fails
	return uint64(h.Sum32())
}

// command is the one line that runs this attack again.
func (o options) command() string {
	line := fmt.Sprintf("make chaos STACK=%s SEED=%d DURATION=%s", o.Stack, o.Seed, o.Duration)
	if len(o.Faults) > 0 {
		line += " FAULTS=" + strings.Join(o.Faults, ",")
	}
	return line
}
