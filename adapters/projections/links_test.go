package projections_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// acts is what can send, charge or mail, or handle a message.
var acts = []string{
	"github.com/ThreeDotsLabs", "github.com/IBM/sarama", "github.com/twmb/franz-go", "github.com/wneessen/go-mail", "github.com/emersion/go-smtp",
	"github.com/redis", "net/smtp", "millrace/adapters/outbox", "millrace/adapters/kafkabus", "millrace/adapters/smtpmail",
	"millrace/adapters/psp", "millrace/adapters/rediscache", "millrace/adapters/sqlstore", "millrace/sagas/engine", "millrace/ports",
}

func TestWhatARebuildIsMadeOfCannotAct(t *testing.T) {
	t.Parallel()
	linked := func(pattern string) (all, found []string) {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pattern).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v\n%s", err, out)
		}
		all = strings.Fields(string(out))
		for _, d := range all {
			if slices.ContainsFunc(acts, func(f string) bool { return d == f || strings.HasPrefix(d, f+"/") }) {
				found = append(found, d)
			}
		}
		return all, found
	}
	all, found := linked("millrace/adapters/projections")
	if len(found) > 0 {
		t.Errorf("it links %v", found)
	}
	if _, found := linked("millrace/adapters/sqlstore"); len(all) < 50 || len(found) == 0 {
		t.Error("the list of what is linked has lost its way: a package that publishes is not found in it")
	}
}
