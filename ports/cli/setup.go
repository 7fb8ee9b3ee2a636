package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) migrate() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate [up|down|status]",
		Short: "Bring the databases to this build's schema",
		Long: `Bring every service's database to this build's version (up, the default), take the newest migration
back (down), or compare the two without changing anything (status).`,
		Example: "  POSTGRES_HOST=127.0.0.1 millrace migrate up\n  millrace migrate status --data .millrace",
		Args:    atMostOne("up", "down", "status"),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if p.Migrate == nil {
			return missing(c)
		}
		direction := "up"
		if len(args) == 1 {
			direction = args[0]
		}
		return p.Migrate(c.Context(), direction, where(), p.Stdout, p.json)
	}
	return c
}

func (p *program) seed() *cobra.Command {
	c := &cobra.Command{
		Use:     "seed",
		Short:   "Fill catalog and stock where they are missing",
		Long:    "Store the products, their prices and their stock. What is there already is left as it is.",
		Example: "  POSTGRES_HOST=127.0.0.1 millrace seed",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.Seed == nil {
			return missing(c)
		}
		if err := p.Seed(c.Context(), where()); err != nil {
			return err
		}
		if p.json {
			return writeJSON(p.Stdout, map[string]bool{"seeded": true})
		}
		fmt.Fprintln(p.Stderr, "catalog and stock are there")
		return nil
	}
	return c
}

func (p *program) doctor() *cobra.Command {
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Say what is set up, what answers, and what is unsafe",
		Long:    "Look at everything that the services would need, and change nothing. Exits 2 when something fails.",
		Example: "  millrace doctor\n  POSTGRES_HOST=127.0.0.1 KAFKA_BROKERS=127.0.0.1:9092 millrace doctor --json",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.Doctor == nil {
			return missing(c)
		}
		findings, err := p.Doctor(c.Context(), where())
		if err != nil {
			return err
		}
		colours := map[string]colour{"ok": green, "warn": yellow, "fail": red}
		ok := true
		rows := make([][]cell, len(findings))
		for i, f := range findings {
			ok = ok && f.State != "fail"
			rows[i] = []cell{word("%s", f.State).in(colours[f.State]), word("%s", f.Name), word("%s", f.Detail), word("%s", f.Advice)}
		}
		if p.json {
			err = writeJSON(p.Stdout, struct {
				OK       bool      `json:"ok"`
				Findings []Finding `json:"findings"`
			}{ok, append([]Finding{}, findings...)})
		} else {
			p.table(p.Stdout, nil, rows)
		}
		if err == nil && !ok {
			return WithCode(Found, errSilent)
		}
		return err
	}
	return c
}

func (p *program) config() *cobra.Command {
	return &cobra.Command{
		Use:     "config",
		Short:   "Print the settings in force and where each comes from",
		Long:    "Print every setting with its value, secrets masked, and whether it comes from the environment or is the default.",
		Example: "  KAFKA_BROKERS=127.0.0.1:9092 millrace config",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if p.Config == nil {
				return missing(c)
			}
			settings, err := p.Config()
			if err != nil {
				return err
			}
			if p.json {
				return writeJSON(p.Stdout, append([]Setting{}, settings...))
			}
			rows := make([][]cell, len(settings))
			for i, s := range settings {
				source := s.Source
				if s.Note != "" {
					source += "; " + s.Note
				}
				rows[i] = []cell{word("%s", s.Name), word("%s", s.Value), word("%s", source).in(faint)}
			}
			p.table(p.Stdout, []string{"SETTING", "VALUE", "FROM"}, rows)
			return nil
		},
	}
}

func (p *program) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this build",
		Long:    "Print this build's version, the Go that it was built with and the platform that it is for.",
		Example: "  millrace version --json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			version := cmp.Or(p.Version, "dev")
			if p.json {
				return writeJSON(p.Stdout, map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(p.Stdout, "millrace %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// healthcheck is for containers whose image has no shell and no curl.
func (p *program) healthcheck() *cobra.Command {
	return &cobra.Command{
		Use:     "healthcheck [URL]",
		Short:   "Ask a service whether it is ready",
		Long:    "Ask URL, by default /readyz on 127.0.0.1 at PORT (8080 when it is not set), and exit 0 when it answers 200.",
		Example: "  PORT=8081 millrace healthcheck",
		Hidden:  true,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			url := "http://127.0.0.1:" + cmp.Or(p.Setting("PORT"), "8080") + "/readyz"
			if len(args) == 1 {
				url = args[0]
			}
			ctx, cancel := context.WithTimeout(c.Context(), 3*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return fmt.Errorf("give it a URL such as http://127.0.0.1:8080/readyz: %w", err)
			}
			answer, err := p.HTTP.Do(request)
			if err != nil {
				return fmt.Errorf("nothing answers at %s: %w", url, err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", url, answer.Status)
			}
			return nil
		},
	}
}
