package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"millrace/app/messages"
)

// A setting of the broker that somebody changed behind our back.
func TestProductionRefusesUnsafeServersAndDevelopmentTellsOfThem(t *testing.T) {
	skipShort(t)
	t.Parallel()
	s := newEmbedded(t)
	s.start(t, "MILLRACE_ENV=production") // as we make it, nothing is unsafe
	yes := "true"
	if _, err := kadm.NewClient(s.client(t)).AlterTopicConfigs(t.Context(),
		[]kadm.AlterConfig{{Name: "unclean.leader.election.enable", Value: &yes}}, messages.OrderEvents); err != nil {
		t.Fatal(err)
	}
	s.terminate(t)

	refuses(t, []string{"MILLRACE_ENV=production"}, up(s.data, s.base), "MILLRACE_ENV=production refuses", "unclean.leader.election.enable is true", "order.events")
	refuses(t, []string{"MILLRACE_ENV=production", "INBOX_RETENTION=300h"}, up(s.data, s.base), "MILLRACE_ENV=production refuses", "INBOX_RETENTION is 300h")

	s.start(t, "INBOX_RETENTION=300h")
	for _, setting := range []string{"unclean.leader.election.enable", "INBOX_RETENTION"} {
		if log := s.running[0].stderr.String(); !strings.Contains(log, `"setting":"`+setting+`"`) {
			t.Errorf("development is not told of %s:\n%s", setting, tail(log, 20))
		}
	}
	doctor := spawn(t, t, []string{"KAFKA_BROKERS=" + s.kafka, "INBOX_RETENTION=300h"}, "doctor", "--data", s.data)
	doctor.ends(t, 30*time.Second, 0)
	for _, line := range []string{"setting unclean.leader.election.enable", "setting INBOX_RETENTION"} {
		if !strings.Contains(doctor.stdout.String(), line) {
			t.Errorf("doctor does not show the %s:\n%s", line, doctor.stdout)
		}
	}
	s.terminate(t)
}
