package main

import (
	"fmt"
	"strings"
)

// listed is the table of mutants for people to read, in Markdown: what is mistaken, where, and the
// checks that must notice, in the order in which they are tried.
func listed() string {
	var b strings.Builder
	b.WriteString("| mistake | in | caught by |\n|---|---|---|\n")
	for _, m := range mutants {
		checks := make([]string, len(m.checks))
		for i, c := range m.checks {
			checks[i] = "`" + c.in + "` " + strings.NewReplacer("^", "", "$", "").Replace(c.test)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", m.name, m.file, strings.Join(checks, ", or "))
	}
	return b.String()
}
