package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// dealWith plans what is to become of dead letters and applies the plan, as an operator does. The
// words are those of `millrace dlq plan`; without --discard the letters are sent again.
func (w *world) dealWith(ctx context.Context, words ...string) error {
	text, err := w.millrace(ctx, append([]string{"dlq", "plan"}, words...)...)
	if err != nil {
		return err
	}
	var plan struct {
		SHA256 string            `json:"sha256"`
		Items  []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return fmt.Errorf("plan for dead letters: %w", err)
	}
	if len(plan.Items) == 0 {
		return nil
	}
	file := filepath.Join(w.dir, "plan-"+plan.SHA256+".json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err = w.millrace(ctx, "dlq", "apply", file, "--confirm", plan.SHA256, "--reason", "the attack is over", "--actor", "chaos")
	return err
}
