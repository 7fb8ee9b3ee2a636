package cli_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"millrace/ports/cli"
)

func TestARebuildShowsHowFarItIsToAPersonAndToNobodyElse(t *testing.T) {
	t.Parallel()
	for _, person := range []bool{true, false} {
		var out, words bytes.Buffer
		code := cli.Run(context.Background(), []string{"projection", "rebuild", "orders_by_user"}, cli.Deps{
			Stdout: &out, Stderr: &words, Setting: func(string) string { return "" }, Terminal: func(io.Writer) bool { return person },
			Projections: func(context.Context, cli.Where, cli.Access) (cli.Projections, func() error, error) {
				return fakeModels{access: cli.ToChange}, func() error { return nil }, nil
			},
		})
		if code != cli.Done || !strings.Contains(out.String(), "generation 2 serves") {
			t.Errorf("it ends with %d and says %q", code, out.String())
		}
		if shown := words.String(); strings.Contains(shown, "sagas read") != person || strings.Contains(shown, "20/40") != person || !person && shown != "" {
			t.Errorf("to a person (%t) it shows %q", person, shown)
		}
	}
}
