package main

import (
	"context"
	"fmt"
	"os"
)

// roleSetting makes this program one of its own parties, as a process of its own.
const roleSetting = "CHAOS_ROLE"

const (
	roleClient = "client" // URL JOURNAL SEED
	roleSink   = "sink"   // ADDRESS FOLDER
)

func playRole(ctx context.Context, role string, args []string) int {
	var err error
	switch {
	case role == roleClient && len(args) == 3:
		err = runClient(ctx, args[0], args[1], seedOf(args[2]), os.Stdin, os.Stdout)
	case role == roleSink && len(args) == 2:
		err = runSink(ctx, args[0], args[1])
	default:
		err = fmt.Errorf("there is no role %q with %d arguments", role, len(args))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}
