package main

import (
	"testing"

	"millrace/adapters/config"
)

func TestBesidePostgreSQLTheProviderIsThatOfTheInstanceThatRunsOnIt(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	settings := func(environ ...string) *config.Config {
		t.Helper()
		c, err := config.Load(t.TempDir(), append([]string{"POSTGRES_HOST=db", "POSTGRES_DB=shop"}, environ...))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const ofServe, ofUp = "http://127.0.0.1:8086", "http://127.0.0.1:9086"
	expect := func(when, want string, c *config.Config) {
		t.Helper()
		if got := providerBeside(c, folder); got != want {
			t.Errorf("%s it is %s, want %s", when, got, want)
		}
	}
	run := func(c *config.Config) (stop func()) {
		t.Helper()
		stop, err := lockFolder(folder, holderBy(c, upOptions{BasePort: 9080}))
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}

	expect("before one runs", ofServe, settings())
	stop := run(settings())
	expect("while one runs", ofUp, settings())
	expect("of another database", ofServe, settings("POSTGRES_DB=other"))
	stop()
	expect("when it has ended", ofServe, settings())
	stop = run(settings("PSP_URL=http://psp:1"))
	expect("while one runs with a provider that is not its own", ofServe, settings())
	stop()
}

func TestAProviderThatIsAFunctionCallKeepsNoLedger(t *testing.T) {
	t.Parallel()
	c, err := config.Load(t.TempDir(), []string{"PSP_URL=inprocess"})
	if err != nil {
		t.Fatal(err)
	}
	if (state{Config: c}).ledger() != nil {
		t.Error("there is a ledger to read")
	}
}
