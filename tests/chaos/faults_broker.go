package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// brokerFaults strike Kafka.
func brokerFaults() []fault {
	kafka := []string{"kafka"}
	down := func(name, kind string, short []string, d time.Duration) fault {
		return fault{
			name: name, kind: kind, on: []string{realStack}, short: short, hurts: kafka, alone: true,
			does: fmt.Sprintf("SIGKILL, %s without it, started again", d),
			begin: func(ctx context.Context, w *world) (blow, error) {
				return blow{
					seen: func(context.Context) (string, bool) { return "nobody answers at its port", !answers(w.kafka) }, hold: d,
					heal: w.startBroker,
				}, w.servers.infra(ctx, "kill", "kafka")
			},
		}
	}
	return []fault{
		down("kafka/killed", "broker killed and restarted", nil, 0),
		down("kafka/down", "broker down for a while", onlyReal, 8*time.Second),
		down("kafka/down-a-minute", "broker down for a while", nil, time.Minute),
		{
			name: "kafka/suspended", kind: "broker suspended", on: []string{realStack}, hurts: kafka, alone: true,
			does: "SIGSTOP, 6 s, SIGCONT: its connections stand, and nothing comes over them",
			begin: func(_ context.Context, w *world) (blow, error) {
				pid, err := w.servers.pid("kafka")
				if err != nil {
					return blow{}, err
				}
				return blow{
					seen: func(context.Context) (string, bool) { return "process " + strconv.Itoa(pid), true }, hold: 6 * time.Second,
					heal: func(context.Context) error { return syscall.Kill(pid, syscall.SIGCONT) },
				}, syscall.Kill(pid, syscall.SIGSTOP)
			},
		},
		{
			name: "kafka/wiped", kind: "broker lost with its disk", on: both, short: both, hurts: kafka, alone: true,
			does: "the broker dies and all its records are deleted; it comes back empty, and `millrace outbox replay --all` sends everything again",
			begin: func(ctx context.Context, w *world) (blow, error) {
				if err := w.wipeBroker(ctx); err != nil {
					return blow{}, err
				}
				n, err := w.replayAll(ctx)
				return blow{seen: func(context.Context) (string, bool) { return n + " rows are sent again", n != "0" }}, err
			},
		},
	}
}

// startBroker starts Kafka and waits for it longer than scripts/infra does: after a crash it reads
// all its logs first, which takes a busy machine a minute.
func (w *world) startBroker(ctx context.Context) error {
	slow := w.servers.infra(ctx, "start", "kafka")
	if slow == nil {
		return nil
	}
	client, err := w.kafkaClient()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := w.await(ctx, 2*time.Minute, "Kafka answers", func() bool { return client.Ping(ctx) == nil }); err != nil {
		return errors.Join(err, slow)
	}
	return nil
}

func (w *world) wipeBroker(ctx context.Context) error {
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wiped = time.Now()
	}()
	if w.opts.Stack == realStack {
		if err := w.servers.infra(ctx, "kill", "kafka"); err != nil {
			return err
		}
		for _, what := range []string{"data", "laid"} {
			if err := os.RemoveAll(filepath.Join(w.servers.dir, "kafka", what)); err != nil {
				return err
			}
		}
		return w.startBroker(ctx)
	}
	p := w.all[0]
	if err := p.end(syscall.SIGKILL, 5*time.Second); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(w.data, "kafka")); err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	return w.await(ctx, backWithin, "every service is ready", w.ready)
}

// topicsSince is the time before which there is nothing on the topics.
func (w *world) topicsSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wiped.After(w.began) {
		return w.wiped
	}
	return w.began
}

// replayAll has every message sent again.
func (w *world) replayAll(ctx context.Context) (string, error) {
	text, err := w.millrace(ctx, "outbox", "replay", "--all")
	return "all: " + strings.Join(strings.Fields(text), " "), err
}

// pid is the process of one server.
func (s *servers) pid(name string) (int, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, name, "pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	pid, err := strconv.Atoi(first)
	if err == nil && pid <= 1 {
		err = errors.New("that is no process of ours")
	}
	return pid, err
}
