package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace/adapters/sqldb"
	"millrace/adapters/sqlstore"
	"millrace/app/messages"
	"millrace/ports/cli"
)

// forStranded says how to go on with sagas that this build cannot go on with.
const forStranded = "run a build that has it until `millrace saga drain` counts none open"

// checkVersions keeps a build from starting as orchestrator under which open sagas would stand
// still, because it has no code for their version: one from which a version was taken out too early,
// or one that was rolled back behind a version. Nothing was touched by then, and a build that still
// runs beside it goes on with them. It ends the process with exit code 4.
func (s *stack) checkVersions(ctx context.Context, store *sqlstore.Sagas) error {
	return s.patiently(ctx, "sagas", func(ctx context.Context) error {
		found, err := store.Stranded(ctx)
		if err != nil || len(found) == 0 {
			return err
		}
		return cli.WithCode(cli.NoCode, fmt.Errorf("this build has no code for the definition of sagas that are open (%s): %s", byVersion(found), forStranded))
	})
}

// examineVersions says in doctor what checkVersions says at a start.
func (s state) examineVersions(ctx context.Context) finding {
	const name = "saga versions"
	db, err := s.openToRead(ctx, schemaOf[messages.Orchestrator])
	if err != nil {
		return finding{Name: name, State: fail, Detail: err.Error(), Advice: "run `millrace up`, or set POSTGRES_HOST"}
	}
	defer func() { _ = db.Close() }()
	limit, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := sqlstore.NewSagas(sqlstore.NewCore(sqlstore.Config{DB: db})).Stranded(limit)
	switch {
	case err != nil:
		return finding{Name: name, State: fail, Detail: sqldb.Classify(err).Error(), Advice: "check the server's log"}
	case len(found) > 0:
		return finding{Name: name, State: fail, Detail: "no code for open sagas: " + byVersion(found), Advice: forStranded}
	}
	return finding{Name: name, State: ok, Detail: "there is code for every open saga"}
}

// byVersion tells how many there are, the oldest version first.
func byVersion(found map[int]int) string {
	var all []string
	for _, version := range slices.Sorted(maps.Keys(found)) {
		all = append(all, fmt.Sprintf("%d of version %d", found[version], version))
	}
	return strings.Join(all, ", ")
}
