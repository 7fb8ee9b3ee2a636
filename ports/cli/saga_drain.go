package cli

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	"millrace/sagas/replay"
)

func (p *program) sagaDrain() *cobra.Command {
	c := &cobra.Command{
		Use:   "drain",
		Short: "Count the open sagas of every version of the definition",
		Long: `A saga keeps the version of the definition that it began with. A version may be taken out of the code
when no saga of it is open. Exits 4 when some are open for which this build has no code: they would
stand still under it.`,
		Example: "  millrace saga drain --json",
		Args:    exactly(),
	}
	where := p.whereFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return with(c, p.Sagas, where(), ToRead, func(s Sagas) error {
			all, err := s.Definitions(c.Context())
			if err != nil {
				return err
			}
			return p.printDefinitions(all)
		})
	}
	return c
}

func (p *program) printDefinitions(all []audit.Definition) error {
	type version struct {
		audit.Definition
		Code bool `json:"code"` // this build has it
	}
	shown := []version{}
	var rows [][]cell
	var stranded error
	for _, d := range all {
		_, has := replay.Definitions()[d.Version]
		shown = append(shown, version{d, has})
		code, oldest := word("yes"), "-"
		if !has {
			code = word("no").in(yellow)
		}
		if !has && d.Open > 0 {
			code = code.in(red)
			stranded = errors.Join(stranded, WithCode(NoCode, fmt.Errorf("%d sagas of version %d are open and this build has no code for it: keep it, or let them end under a build that has", d.Open, d.Version)))
		}
		if !d.Oldest.IsZero() {
			oldest = moment(d.Oldest)
		}
		rows = append(rows, []cell{word("%d", d.Version), word("%s", strconv.Itoa(d.Open)), word("%d", d.Ended), word("%s", oldest), code})
	}
	if p.json {
		return errors.Join(writeJSON(p.Stdout, map[string]any{"versions": shown}), stranded)
	}
	p.table(p.Stdout, []string{"VERSION", "OPEN", "ENDED", "OLDEST OPEN", "IN THIS BUILD"}, rows)
	return stranded
}
