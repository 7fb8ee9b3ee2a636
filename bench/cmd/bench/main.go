// Command bench is the conductor of the benchmarks: it starts the real servers, lets Millrace and its
// peers take turns on them, checks what each of them did, and writes down what was measured.
//
// It knows nothing of Millrace but the command line and HTTP.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// plan is how much is measured.
type plan struct {
	quick    bool
	rounds   int
	scale    float64 // of all numbers of orders
	only     string
	basePort int
	out      string
	page     string
	keep     bool
}

func main() {
	var p plan
	flag.BoolVar(&p.quick, "quick", false, "one small round and no curves: under 3 minutes")
	flag.IntVar(&p.rounds, "rounds", 3, "rounds, in which all take turns")
	flag.Float64Var(&p.scale, "scale", 1, "share of the numbers of orders, to try the bench itself")
	flag.StringVar(&p.only, "only", "", "parts to run, such as steady,latency (default all of "+strings.Join(allParts, ",")+")")
	flag.IntVar(&p.basePort, "base-port", 18600, "first of the ports of what is measured")
	flag.StringVar(&p.out, "out", "out", "folder for results and logs")
	flag.StringVar(&p.page, "page", "", "page to write the table into, between its two markers")
	flag.BoolVar(&p.keep, "keep", false, "use servers of scripts/infra that are up already, and leave them up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, p)
	stop()
	switch {
	case errors.Is(err, errWrong):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errWrong: something was fast and wrong, or did not end.
var errWrong = errors.New("not everything ended as it should; the failures stand above and in results.json")

func run(ctx context.Context, p plan) (err error) {
	parts, err := partsOf(p)
	if err != nil {
		return err
	}
	if p.page != "" && (p.scale != 1 || p.quick) {
		return errors.New("-page is for full runs: leave -scale and -quick out")
	}
	if p.out, err = filepath.Abs(p.out); err != nil {
		return fmt.Errorf("folder for results: %w", err)
	}
	s, err := newServers(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.down(context.WithoutCancel(ctx))) }()
	r := newReport(ctx, p)
	c := &conductor{plan: p, servers: s, report: r}
	began := time.Now()
	for _, part := range parts {
		if err := part(ctx, c); err != nil {
			return err
		}
		if err := r.write(p); err != nil { // what is measured is kept, whatever comes
			return err
		}
	}
	r.Took = time.Since(began).Round(time.Second).String()
	if err := r.write(p); err != nil {
		return err
	}
	fmt.Print(r.table())
	if p.page != "" {
		if err := r.intoPage(p.page); err != nil {
			return err
		}
	}
	if len(r.Failures) > 0 {
		return errWrong
	}
	return nil
}
