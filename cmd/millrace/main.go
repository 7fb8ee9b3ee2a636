// Command millrace is the composition root: the only place that sees everything. It decides which
// parts a process is made of; what they do is decided elsewhere.
package main

import (
	"context"
	"flag"
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
	f := flag.NewFlagSet("", flag.ExitOnError)
	o := upOptions{LogFormat: "text"}
	f.StringVar(&o.Data, "data", ".millrace", "")
	f.IntVar(&o.BasePort, "base-port", 8080, "")
	f.IntVar(&o.KafkaPort, "kafka-port", 0, "")
	f.StringVar(&o.LogFormat, "log-format", "text", "")
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(ctx, os.Args[2])
	case "migrate":
		_, err = migrate(ctx, os.Args[2], where{})
	case "seed":
		err = seedAll(ctx, where{})
	case "psp":
		_ = f.Parse(os.Args[2:])
		err = servePSP(ctx, o.Data)
	default:
		_ = f.Parse(os.Args[2:])
		if o.KafkaPort == 0 {
			o.KafkaPort = 9092
			if o.BasePort != 8080 {
				o.KafkaPort = o.BasePort + 8
			}
		}
		err = up(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "millrace:", err)
		os.Exit(1)
	}
}
