// Command millrace is the composition root: the only place that sees everything. It decides which
// parts a process is made of; what they do is decided elsewhere.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"millrace/adapters/config"
	"millrace/ports/cli"
)

// version is the build, set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], verbs())
	stop()
	os.Exit(code)
}

// verbs hands the command line everything that needs an adapter.
func verbs() cli.Deps {
	return cli.Deps{
		Version:     version,
		DeadLetters: deadLetters,
		Acts:        acts,
		Up: func(ctx context.Context, o cli.UpOptions) error {
			return up(ctx, upOptions(o), os.Stdout)
		},
		Serve:     serve,
		Migrate:   migrateVerb,
		Seed:      seedAll,
		PSP:       servePSP,
		Doctor:    doctor,
		Config:    configVerb,
		Verify:    verify,
		SignToken: signToken,
		Sagas:     sagas,
		Outbox:    openOutboxes,

		Projections: projections,

		Histories: histories,
		Newest:    newestMove,

		Setting: func(name string) string { return config.Value(".", os.Environ(), name) },

		Stdout: os.Stdout,
		Stderr: os.Stderr,
	}
}
