package config_test

import (
	"strings"
	"testing"

	"millrace/adapters/config"
)

func TestASlipInANameIsRefusedWithTheNameThatWasMeant(t *testing.T) {
	t.Parallel()
	for name, meant := range map[string]string{
		"KAFKA_BROKER": "KAFKA_BROKERS", "POSTGRES_PASWORD": "POSTGRES_PASSWORD", "REDIS_HOSTNAME": "REDIS_HOST",
		"SMTP_USERNAME": "SMTP_USER", "PSP_URI": "PSP_URL", "OUTBOX_RETENTIONS": "OUTBOX_RETENTION",
		"INBOX_RETENTION_": "INBOX_RETENTION", "MILLRACE_ENVIRONMENT": "MILLRACE_ENV",
		"JOURNAL_RETENTIONS": "JOURNAL_RETENTION", "MAX_OPEN_ORDER": "MAX_OPEN_ORDERS",
	} {
		want := name + " in the environment is no setting of Millrace: did you mean " + meant + "?"
		if _, err := load(t, name+"=x"); err == nil || err.Error() != want {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if _, err := config.Load(withFile(t, "KAFKA_BROKER=a:1"), nil); err == nil || !strings.Contains(err.Error(), "in .env") {
		t.Errorf("%v does not name the file", err)
	}
	if _, err := load(t, "MILLRACE_SOMETHING_ELSE_ALTOGETHER=x"); err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("%v guesses", err)
	}
}

func TestWhatOthersPutIntoTheEnvironmentIsLeftAlone(t *testing.T) {
	t.Parallel()
	loaded(t, "HOME=/root", "JWT_LIBRARY=x", "LOG_COLOR=1", "JOURNAL_STREAM=8:1234", "KAFKA_HEAP_OPTS=-Xmx1g", "KAFKA_HOME=/opt/kafka", "POSTGRES_INITDB_ARGS=x",
		"MILLRACE_KAFKA_PORT=19092", "REDIS_SERVICE_HOST=10.0.0.1", "REDIS_SERVICE_PORT=6379", "POSTGRES_SERVICE_PORT_SQL=5432",
		"REDIS_PORT_6379_TCP=tcp://10.0.0.1:6379", "REDIS_PORT_6379_TCP_ADDR=10.0.0.1", "MILLRACE_ORDER_SERVICE_PORT=tcp://10.0.0.1:8081",
		"KAFKA_UNSET_HERE=")
}
