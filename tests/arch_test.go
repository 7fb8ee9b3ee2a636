// Package tests holds what is true of the whole tree.
package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// rule is one line of the import rule: packages under from may import, of what is listed in
// forbidden, only what allow names.
type rule struct {
	from   string
	forbid []string
	allow  []string
	why    string
}

const (
	module = "millrace/"
	lib    = "lib" // modules of others
)

// rules is the import rule as a table. Inward, never sideways:
// cmd → ports | adapters → sagas | app → domain.
var rules = []rule{
	{"domain", []string{"app", "sagas", "ports", "adapters", "cmd", "migrations", "api", lib}, nil,
		"the domain knows the standard library and itself"},
	{"app", []string{"sagas", "ports", "adapters", "cmd", "migrations", "api", lib}, nil,
		"use cases know the domain and what they ask for in deps.go"},
	{"app/messages", []string{"app", "domain"}, []string{"app/messages", "domain/fault"},
		"the published language depends on no service"},
	{"app/order", []string{"app"}, []string{"app/order", "app/messages"}, "services meet in app/messages"},
	{"app/payment", []string{"app"}, []string{"app/payment", "app/messages"}, "services meet in app/messages"},
	{"app/inventory", []string{"app"}, []string{"app/inventory", "app/messages"}, "services meet in app/messages"},
	{"app/notification", []string{"app"}, []string{"app/notification", "app/messages"}, "services meet in app/messages"},
	{"app/analytics", []string{"app"}, []string{"app/analytics", "app/messages"}, "services meet in app/messages"},
	{"app/gateway", []string{"app"}, []string{"app/gateway", "app/messages"}, "services meet in app/messages"},
	{"app/deadletters", []string{"app"}, []string{"app/deadletters"}, "what an operator does about dead letters knows no service"},
	{"sagas", []string{"app", "ports", "adapters", "cmd", "migrations", "api", lib}, []string{"app/messages"},
		"the saga sees messages and the domain"},
	{"sagas/order", []string{"sagas", "time", "math/rand", "math/rand/v2", "os", "net", "net/http", "database/sql"}, []string{"sagas/order"},
		"the saga's decision is a pure function: no clock, no chance, no I/O"},
	{"sagas/replay", []string{"sagas", "math/rand", "os", "net", "net/http", "database/sql"}, []string{"sagas/replay", "sagas/order"},
		"replay can read what it is given and cannot act"},
	{"ports", []string{"adapters", "cmd", "migrations"}, nil, "ports and adapters meet in cmd"},
	{"adapters", []string{"ports", "cmd"}, nil, "ports and adapters meet in cmd"},
}

// sideways lists the adapters that may know another adapter, each with its reason. All may name
// their failpoints, which are empty in every build that is used.
var sideways = map[string][]string{
	"adapters/sqlstore":    {"adapters/sqldb", "adapters/outbox"},                            // a store writes its outbox in its own transaction
	"adapters/outbox":      {"adapters/sqldb"},                                               // rows and LISTEN/NOTIFY
	"adapters/audit":       {"adapters/sqldb", "adapters/psp/simulator", "adapters/journal"}, // reads every database and the provider's books
	"adapters/journal":     {"adapters/sqldb"},                                               // reads ordering's database alone
	"adapters/projections": {"adapters/sqldb", "adapters/journal"},                           // ordering's journal and its read models
	"adapters/psp":         {"adapters/psp/simulator"},                                       // the provider in process
	"adapters/adaptertest": {"adapters/sqldb"},                                               // opens databases for the suites
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImportsGoInwardAndNeverSideways(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		place := strings.TrimPrefix(p.ImportPath, module)
		for _, r := range rules {
			if !under(place, r.from) {
				continue
			}
			for _, imported := range p.Imports {
				if forbidden(imported, r) {
					t.Errorf("%s imports %s: %s", place, imported, r.why)
				}
			}
		}
		if under(place, "adapters") {
			checkSideways(t, place, p.Imports)
		}
	}
}

func TestWatermillIsSeenOnlyOutside(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		place := strings.TrimPrefix(p.ImportPath, module)
		if under(place, "ports") || under(place, "adapters") || under(place, "cmd") || under(place, "tests") {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/ThreeDotsLabs/") {
				t.Errorf("%s imports %s", place, imported)
			}
		}
	}
}

func TestTheTableOfRulesNamesFoldersThatExist(t *testing.T) {
	t.Parallel()
	places := map[string]bool{}
	for _, p := range list(t) {
		place := strings.TrimPrefix(p.ImportPath, module)
		for place != "" && place != "." {
			places[place] = true
			cut := strings.LastIndexByte(place, '/')
			place = place[:max(cut, 0)]
		}
	}
	for _, r := range rules {
		if !places[r.from] {
			t.Errorf("the rule %q is about a folder that is not there", r.from)
		}
	}
	for from, to := range sideways {
		for _, place := range append(to, from) {
			if !places[place] {
				t.Errorf("the exception names %q, which is not there", place)
			}
		}
	}
}

func checkSideways(t *testing.T, place string, imports []string) {
	t.Helper()
	for _, imported := range imports {
		other := strings.TrimPrefix(imported, module)
		if other == imported || !under(other, "adapters") || family(other) == family(place) {
			continue
		}
		allowed := other == "adapters/failpoint"
		for _, exception := range sideways[family(place)] {
			allowed = allowed || under(other, exception)
		}
		if !allowed {
			t.Errorf("%s imports %s: adapters do not know each other", place, other)
		}
	}
}

// family is an adapter's own folder: its packages may know each other.
func family(place string) string {
	parts := strings.SplitN(place, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func forbidden(imported string, r rule) bool {
	ours := strings.HasPrefix(imported, module)
	place := strings.TrimPrefix(imported, module)
	for _, a := range r.allow {
		if ours && under(place, a) {
			return false
		}
	}
	for _, f := range r.forbid {
		switch {
		case f == lib && !ours && strings.Contains(strings.SplitN(imported, "/", 2)[0], "."):
			return true
		case f == imported:
			return true
		case ours && under(place, f):
			return true
		}
	}
	return false
}

func under(place, folder string) bool {
	return place == folder || strings.HasPrefix(place, folder+"/")
}

func list(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Standard", module+"...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
