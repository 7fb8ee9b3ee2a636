package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Outbox looks at the outboxes of all databases, and hands their rows to the relays again.
type Outbox interface {
	// Status tells what lies in each outbox.
	Status(ctx context.Context) ([]OutboxStatus, error)
	// Replay makes rows pending again that were written or published since.
	Replay(ctx context.Context, since time.Time) ([]Replayed, error)
	// Revive makes rows pending again that were given up.
	Revive(ctx context.Context) ([]Replayed, error)
}

// OutboxStatus is what lies in the outbox of one database.
type OutboxStatus struct {
	Database      string    `json:"database"`
	Services      []string  `json:"services"`
	Pending       int64     `json:"pending"`       // not yet in Kafka
	OldestSeconds float64   `json:"oldestSeconds"` // since the oldest of those was written
	Published     int64     `json:"published"`     // in Kafka, kept for a replay
	Dead          int64     `json:"dead"`          // given up
	LastDead      []DeadRow `json:"lastDead"`      // the newest of those
}

// DeadRow is a message that Kafka will never take as it is.
type DeadRow struct {
	ID        string    `json:"id"`
	OrderID   string    `json:"orderId"`
	EventType string    `json:"eventType"`
	Topic     string    `json:"topic"`
	Reason    string    `json:"reason"`
	DiedAt    time.Time `json:"diedAt"`
}

// Replayed says how many rows of a database will be sent again.
type Replayed struct {
	Database string   `json:"database"`
	Services []string `json:"services"`
	Rows     int64    `json:"rows"`
}

func (p *program) outbox() *cobra.Command {
	c := &cobra.Command{
		Use:   "outbox",
		Short: "See what waits to be sent to Kafka, and send it again",
		Long: `Every message is stored in its service's database before it goes to Kafka, and kept there for
OUTBOX_RETENTION. See what lies there, and have it sent again.`,
		Example: "  millrace outbox status\n  millrace outbox replay --since 1h",
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
	}
	c.AddCommand(p.outboxStatus(), p.outboxReplay())
	return c
}

func (p *program) outboxStatus() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Count what waits, what was sent, and what was given up",
		Long: `Show for each database how many messages wait for Kafka and for how long, how many were sent and are
kept for a replay, and how many were given up because Kafka will never take them, with the reasons of
the last ones. It only reads.`,
		Example: "  millrace outbox status\n  POSTGRES_HOST=127.0.0.1 millrace outbox status --json",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return with(c, p.Outbox, where(), ToRead, func(o Outbox) error {
			all, err := o.Status(c.Context())
			if err != nil {
				return err
			}
			if p.json {
				return writeJSON(p.Stdout, map[string]any{"databases": all})
			}
			p.printOutbox(all)
			return nil
		})
	}
	return c
}

func (p *program) printOutbox(all []OutboxStatus) {
	rows, dead := make([][]cell, len(all)), [][]cell{}
	for i, s := range all {
		oldest := "-"
		if s.Pending > 0 {
			oldest = (time.Duration(s.OldestSeconds * float64(time.Second))).Round(time.Millisecond).String()
		}
		given := word("%d", s.Dead)
		if s.Dead > 0 {
			given = given.in(red)
		}
		rows[i] = []cell{
			word("%s", s.Database), word("%d", s.Pending), word("%s", oldest), word("%d", s.Published), given,
			word("%s", strings.Join(s.Services, ", ")).in(faint),
		}
		for _, d := range s.LastDead {
			dead = append(dead, []cell{
				word("%s", s.Database), word("%s", moment(d.DiedAt)), word("%s", d.OrderID), word("%s", d.EventType), word("%s", d.Topic),
				word("%s", short(d.Reason, 120)).in(red),
			})
		}
	}
	p.table(p.Stdout, []string{"DATABASE", "PENDING", "OLDEST", "PUBLISHED", "DEAD", "SERVICES"}, rows)
	if len(dead) > 0 {
		fmt.Fprintln(p.Stdout)
		p.table(p.Stdout, []string{"DATABASE", "GIVEN UP", "ORDER", "MESSAGE", "TOPIC", "REASON"}, dead)
		fmt.Fprintln(p.Stderr, "mend the cause, then `millrace outbox replay --dead` tries what was given up again")
	}
}

func (p *program) outboxReplay() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay --since TIME|AGE | --all | --dead",
		Short: "Send messages to Kafka again",
		Long: `Have the running services send messages again: those that were written or published since a time or
for an age, all that are kept, or those that were given up (outbox status shows why; mend that first).
This verb marks the rows; the relays notice within a second, or at the next start.

A message that is sent again has no second effect: every consumer knows what it has handled. So after
Kafka has lost its records, --all brings every order to its end that had not got there, and docs/outbox.md
goes through it step by step.`,
		Example: "  millrace outbox replay --since 1h\n  millrace outbox replay --since 2026-01-02T15:04:05Z\n  millrace outbox replay --all --data .millrace\n  millrace outbox replay --dead",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	since := c.Flags().String("since", "", "those written or published since a time, or for an age such as 1h")
	all := c.Flags().Bool("all", false, "all that are kept")
	dead := c.Flags().Bool("dead", false, "those that were given up")
	c.RunE = func(c *cobra.Command, _ []string) error {
		chosen := 0
		for _, flag := range []bool{*since != "", *all, *dead} {
			if flag {
				chosen++
			}
		}
		if chosen != 1 {
			return errors.New("choose one of --since TIME|AGE, --all and --dead: `millrace outbox replay --help` shows examples")
		}
		var from time.Time
		if *since != "" {
			var err error
			if from, err = timeOrAge(*since, p.Now()); err != nil {
				return fmt.Errorf("--since %s: %w", *since, err)
			}
		}
		return with(c, p.Outbox, where(), ToChange, func(o Outbox) error {
			replay := func(ctx context.Context) ([]Replayed, error) { return o.Replay(ctx, from) }
			if *dead {
				replay = o.Revive
			}
			rows, err := replay(c.Context())
			if err != nil {
				return err
			}
			return p.printReplayed(rows)
		})
	}
	return c
}

func (p *program) printReplayed(all []Replayed) error {
	var total int64
	rows := make([][]cell, len(all))
	for i, r := range all {
		total += r.Rows
		rows[i] = []cell{word("%s", r.Database), word("%d", r.Rows), word("%s", strings.Join(r.Services, ", ")).in(faint)}
	}
	if p.json {
		return writeJSON(p.Stdout, map[string]any{"databases": all, "rows": total})
	}
	p.table(p.Stdout, []string{"DATABASE", "AGAIN", "SERVICES"}, rows)
	fmt.Fprintf(p.Stderr, "%d messages will be sent again: `millrace outbox status` shows how many still wait\n", total)
	return nil
}
