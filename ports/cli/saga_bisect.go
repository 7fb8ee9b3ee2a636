package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"millrace/sagas/replay"
)

func (p *program) sagaBisect() *cobra.Command {
	c := &cobra.Command{
		Use:   "bisect ID | FILE",
		Short: "Find the first entry at which two builds decide differently",
		Long: `Let two builds of millrace replay the same histories and compare their decisions one by one: the first
entry at which they part, whatever the history itself says. Each build is run as "BIN saga replay FILE
--json --decisions --def recorded". Exits 2 when they part.`,
		Example: "  millrace saga bisect ord_01k9zq6v3e7x --good bin/millrace --bad /tmp/branch/millrace",
		Args:    exactly("ID"),
	}
	where := p.whereFlag(c)
	good := c.Flags().String("good", "", "a millrace whose decisions are right")
	bad := c.Flags().String("bad", "", "a millrace whose decisions are not")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *good == "" || *bad == "" {
			return errors.New("name two builds with --good and --bad")
		}
		h, err := p.chosen(c, where(), "", args)
		if err != nil {
			return err
		}
		bundle, err := kept(h)
		if err = errors.Join(err, h.Close()); err != nil {
			return err
		}
		defer func() { _ = os.Remove(bundle) }()
		g, err := decisionsOf(c.Context(), *good, bundle)
		if err != nil {
			return fmt.Errorf("--good: %w", err)
		}
		b, err := decisionsOf(c.Context(), *bad, bundle)
		if err != nil {
			return fmt.Errorf("--bad: %w", err)
		}
		return p.printParting(g, b)
	}
	return c
}

// kept writes the histories into a file that both builds read.
func kept(h *Histories) (string, error) {
	file, err := os.CreateTemp("", "millrace-bisect-*.ndjson")
	if err != nil {
		return "", err
	}
	if err := errors.Join(export(file, h, false), file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// decisionsOf asks a build. What it found is no failure of the question.
func decisionsOf(ctx context.Context, binary, bundle string) (replay.Report, error) {
	var out, words bytes.Buffer
	run := exec.CommandContext(ctx, binary, "saga", "replay", bundle, "--json", "--decisions", "--def", "recorded")
	run.Stdout, run.Stderr = &out, &words
	err := run.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return replay.Report{}, fmt.Errorf("run %s: %w", binary, err)
	}
	report, unreadable := replay.ReadReport(out.Bytes())
	if unreadable != nil {
		return report, fmt.Errorf("%s does not answer as a millrace that can replay: %s", binary, short(strings.TrimSpace(words.String()), 200))
	}
	return report, nil
}

func (p *program) printParting(good, bad replay.Report) error {
	if len(good.Sagas) != len(bad.Sagas) {
		return fmt.Errorf("one build replayed %d sagas, the other %d", len(good.Sagas), len(bad.Sagas))
	}
	type parting struct {
		OrderID string             `json:"orderId"`
		Parted  bool               `json:"parted"`
		At      *replay.Divergence `json:"at,omitempty"` // recorded is the good build's, replayed the bad one's
	}
	all := []parting{}
	parted, unread := 0, 0
	for i := range good.Sagas {
		one := parting{OrderID: good.Sagas[i].OrderID}
		if d, differs := replay.Part(good.Sagas[i], bad.Sagas[i]); differs {
			parted++
			one.Parted, one.At = true, &d
			if !p.json {
				fmt.Fprintf(p.Stdout, "%s: %s\n", one.OrderID, short(strings.NewReplacer("recorded ", "good ", "replayed ", "bad ").Replace(d.String()), 400))
			}
		}
		if !one.Parted && good.Sagas[i].Verdict == replay.Unreplayable {
			unread++
		}
		all = append(all, one)
	}
	if p.json {
		if err := writeJSON(p.Stdout, map[string]any{"sagas": all, "parted": parted}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.Stdout, "%d sagas: the builds part on %d\n", len(all), parted)
	}
	switch {
	case parted > 0:
		return WithCode(Found, errSilent)
	case unread > 0:
		return WithCode(Damaged, fmt.Errorf("neither build can replay %d of the histories: look at them with `millrace saga replay`", unread))
	default:
		return nil
	}
}
