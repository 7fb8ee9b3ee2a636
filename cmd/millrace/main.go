// Command millrace is the composition root: the only place that sees everything. It decides which
// parts a process is made of; what they do is decided elsewhere.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is the build, set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Args[1] == "serve" {
		if err := serve(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "millrace:", err)
			os.Exit(1)
		}
		return
	}
	if err := up(ctx, upOptions{Data: ".millrace", BasePort: 8080, KafkaPort: 9092, LogFormat: "text"}, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "millrace:", err)
		os.Exit(1)
	}
}
