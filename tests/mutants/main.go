// Command mutants breaks the machinery on purpose, one mistake at a time, and says by which check
// each is caught. A mistake that no check catches is a check that is missing.
//
//	make mutants                      all of them
//	scripts/mutants -only 'stock'     those whose name matches
//	go run ./tests/mutants -list      the table, as README.md has it; nothing is run
//
// The tree is never touched: the go command is shown the mistaken file by its -overlay.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	only := flag.String("only", "", "a regular expression: try the mutants whose name matches")
	show := flag.Bool("v", false, "print what the check that caught a mutant said")
	list := flag.Bool("list", false, "print the table of mutants and their checks, and run nothing")
	flag.Parse()
	if *list {
		fmt.Print(listed())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *show); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run tries the chosen mutants and fails unless every one of them is caught.
func run(ctx context.Context, only string, show bool) error {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	began := time.Now()
	if err := sound(ctx, chosen, folder); err != nil {
		return err
	}
	caught := 0
	for _, m := range chosen {
		own, err := os.MkdirTemp(folder, "one")
		if err != nil {
			return err
		}
		by, said, err := m.try(ctx, own)
		_ = os.RemoveAll(own) // tests are large
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			fmt.Printf("ROTTEN  %s: %v\n", m.name, err)
		case by == nil:
			fmt.Printf("ALIVE   %s: passed %s\n", m.name, names(m.checks))
		default:
			caught++
			how := ""
			if hung(said) {
				how = ", which does not end"
			}
			fmt.Printf("caught  %s: by %s%s\n", m.name, by, how)
			if show {
				fmt.Println(said)
			}
		}
	}
	fmt.Printf("mutants: caught %d of %d in %s\n", caught, len(chosen), time.Since(began).Round(time.Second))
	if caught < len(chosen) {
		return errors.New("not all were caught")
	}
	return nil
}

func choose(only string) ([]mutant, error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	var chosen []mutant
	for _, m := range mutants {
		if pattern.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no mutant is called like %q", only)
	}
	return chosen, nil
}

// sound runs every check on the tree as it is. One that fails, or tests nothing, could catch
// anything.
func sound(ctx context.Context, chosen []mutant, folder string) error {
	tests := binaries{folder: folder}
	var wrong []error
	tried := map[check]bool{}
	for _, m := range chosen {
		for _, c := range m.checks {
			if tried[c] {
				continue
			}
			tried[c] = true
			outcome, said, err := tests.run(ctx, c)
			switch {
			case err != nil:
				return err
			case outcome == failed, outcome == unbuilt:
				wrong = append(wrong, fmt.Errorf("%s fails without any mutant:\n%s", c, said))
			case outcome == idle:
				wrong = append(wrong, fmt.Errorf("%s tests nothing here: it is renamed, or needs a server (%s)", c, said))
			}
		}
	}
	if len(wrong) == 0 {
		fmt.Printf("mutants: all %d checks pass on the tree as it is\n", len(tried))
	}
	return errors.Join(wrong...)
}
