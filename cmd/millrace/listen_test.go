package main

import (
	"strings"
	"testing"

	"millrace/adapters/embedded"
)

func TestAPortThatCannotBeHadIsOnlyInUseWhenItIs(t *testing.T) {
	t.Parallel()
	_, err := embedded.StartRedis("192.0.2.1:6379", embedded.RedisOptions{})
	if said := portHint(err, "--base-port").Error(); strings.Contains(said, "in use") || !strings.Contains(said, "loopback") || !strings.Contains(said, "--base-port") {
		t.Errorf("an address of another machine: %q", said)
	}
	first, err := embedded.StartRedis("127.0.0.1:0", embedded.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	_, err = embedded.StartRedis(first.Addr(), embedded.RedisOptions{})
	if said := portHint(err, "--base-port").Error(); !strings.Contains(said, "in use") || !strings.Contains(said, "--base-port") {
		t.Errorf("a port that is taken: %q", said)
	}
}
