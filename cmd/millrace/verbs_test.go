package main

import (
	"strings"
	"testing"

	"millrace/adapters/config"
)

func TestTheSettingsSayWhereUpMakesOtherPartitions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		environ []string
		noted   bool
	}{
		{nil, true},
		{[]string{"KAFKA_PARTITIONS=12"}, false},
		{[]string{"KAFKA_BROKERS=kafka:9092"}, false},
	} {
		settings, err := config.Load(t.TempDir(), c.environ)
		if err != nil {
			t.Fatal(err)
		}
		if note := noteOn(settings, "KAFKA_PARTITIONS"); strings.Contains(note, "makes 3 in") != c.noted {
			t.Errorf("with %v the note is %q", c.environ, note)
		}
		if note := noteOn(settings, "KAFKA_REPLICATION"); note != "" {
			t.Errorf("another setting has the note %q", note)
		}
	}
}
