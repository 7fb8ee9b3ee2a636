package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/adapters/failpoint"
	"millrace/app/messages"
)

// plan of `millrace dlq plan`.
type letterPlan struct {
	SHA256 string            `json:"sha256"`
	Items  []json.RawMessage `json:"items"`

	file string
}

// planLetters plans what is to become of dead letters. The words are those of `millrace dlq plan`;
// without --discard the letters are sent again.
func (w *world) planLetters(ctx context.Context, words ...string) (letterPlan, error) {
	var plan letterPlan
	text, err := w.millrace(ctx, append([]string{"dlq", "plan"}, words...)...)
	if err != nil {
		return plan, err
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return plan, fmt.Errorf("plan for dead letters: %w", err)
	}
	plan.file = filepath.Join(w.dir, "plan-"+plan.SHA256+".json")
	return plan, os.WriteFile(plan.file, []byte(text), 0o600)
}

func (w *world) applyLetters(ctx context.Context, plan letterPlan) error {
	_, err := w.millrace(ctx, "dlq", "apply", plan.file, "--confirm", plan.SHA256, "--reason", "the attack is over", "--actor", "chaos",
		"--new-effects") // mails among them, and charges
	return err
}

// dealWith plans and applies, as an operator does.
func (w *world) dealWith(ctx context.Context, words ...string) error {
	plan, err := w.planLetters(ctx, words...)
	if err != nil || len(plan.Items) == 0 {
		return err
	}
	return w.applyLetters(ctx, plan)
}

// letterFaults make dead letters of healthy messages, and send them again.
func letterFaults() []fault {
	const service = messages.NotificationService
	return []fault{{
		name: "dlq/redriven-shuffled-twice", kind: "redrive shuffled and twice", on: both, short: both, hurts: []string{service, "topics"},
		does: "a handler panics until three messages are dead letters; one plan is applied twice at once, and what was sent again is written twice more, shuffled",
		begin: func(_ context.Context, w *world) (blow, error) {
			id, err := w.points.arm(failpoint.AfterInbox, service, "panic", 1, 100_000)
			var once sync.Once
			var redrive error
			return blow{
				seen: func(ctx context.Context) (string, bool) {
					const dead = "SELECT count(*) FROM dead_letters WHERE reason = 'panic' AND state <> 'done'"
					n, err := w.count(ctx, "notifications", dead)
					if err != nil || n < 3 {
						return fmt.Sprintf("%d of 3 messages are dead letters, %v", n, err), false
					}
					once.Do(func() { redrive = w.redriveTwice(ctx, id, service) })
					left, err := w.count(ctx, "notifications", dead)
					return fmt.Sprintf("%d or more were sent again, %d are left, %v, %v", n, left, redrive, err), redrive == nil && err == nil && left == 0
				},
				heal: func(ctx context.Context) error {
					if err := w.points.disarm(id); err != nil {
						return err
					}
					return w.dealWith(ctx, "reason=panic") // what died after the plan
				},
			}, err
		},
	}}
}

// redriveTwice lets the handler work again, applies one plan by two operators at once, and writes
// what they have sent to the redrive topic twice more.
func (w *world) redriveTwice(ctx context.Context, point, service string) error {
	if err := w.points.disarm(point); err != nil {
		return err
	}
	pause(ctx, 3*time.Second) // until what is being tried has ended, one way or the other
	plan, err := w.planLetters(ctx, "reason=panic")
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { _ = w.applyLetters(ctx, plan) }) // one of them may find that the other was faster
	}
	both.Wait()
	sent, err := w.records(ctx, []string{messages.RedriveTopic(service)}, time.Now())
	if err != nil {
		return err
	}
	if len(sent) == 0 {
		return fmt.Errorf("nothing was sent to %s", messages.RedriveTopic(service))
	}
	var again []*kgo.Record
	for _, r := range sent {
		for range 2 {
			again = append(again, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers})
		}
	}
	rand.New(rand.NewPCG(w.opts.Seed, 7)).Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	client, err := w.kafkaClient()
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(ctx, again...).FirstErr()
}
