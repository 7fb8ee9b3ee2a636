package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"millrace/adapters/config"
	"millrace/adapters/embedded"
	"millrace/ports/cli"
)

// migrateVerb migrates and shows the versions that every database is at then. A database that is
// not at this build's version makes status a finding.
func migrateVerb(ctx context.Context, direction string, w cli.Where, out io.Writer, asJSON bool) error {
	all, err := migrate(ctx, direction, w)
	if err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(map[string]any{"databases": all}); err != nil {
			return err
		}
	} else {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "DATABASE\tVERSION\tTHIS BUILD NEEDS")
		for _, v := range all {
			fmt.Fprintf(table, "%s\t%d\t%d\n", v.Database, v.At, v.Build)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, v := range all {
		if direction == "status" && v.At != v.Build {
			return cli.WithCode(cli.Found, fmt.Errorf("database %s is at version %d, this build needs %d: run `millrace migrate up`", v.Database, v.At, v.Build))
		}
	}
	return nil
}

func configVerb() ([]cli.Setting, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return nil, err
	}
	var shown []cli.Setting
	for _, s := range c.Table() {
		shown = append(shown, cli.Setting{Name: s.Name, Value: s.Value, Source: s.Source, Note: noteOn(c, s.Name)})
	}
	return shown, nil
}

// noteOn tells where `up` goes its own way because nobody has said otherwise.
func noteOn(c *config.Config, setting string) string {
	if setting == "KAFKA_PARTITIONS" && !c.Given(setting) && len(c.Kafka.Brokers) == 0 {
		return fmt.Sprintf("`millrace up` makes %d in a broker of its own", embedded.Partitions)
	}
	return ""
}
