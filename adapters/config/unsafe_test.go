package config_test

import (
	"strings"
	"testing"

	"millrace/adapters/config"
	"millrace/domain/fault"
)

// sound is a production environment that has nothing to refuse.
var sound = []string{
	"MILLRACE_ENV=production", "POSTGRES_HOST=db", "POSTGRES_PASSWORD=Vq8-zT1k", "POSTGRES_SSLMODE=verify-full",
	"KAFKA_BROKERS=k1:9093,k2:9093,k3:9093", "KAFKA_SECURITY_PROTOCOL=SASL_SSL", "KAFKA_SASL_USERNAME=millrace", "KAFKA_SASL_PASSWORD=Vq8-zT1k",
	"KAFKA_REPLICATION=3", "REDIS_HOST=redis", "SMTP_HOST=mail", "PSP_URL=https://psp.example", "AUTH_MODE=jwt", "JWT_JWKS_URL=https://idp.example/keys",
	"JOURNAL_ARCHIVE=/srv/millrace",
}

func TestProductionTakesSoundSettings(t *testing.T) {
	t.Parallel()
	if err := loaded(t, sound...).Refuse(); err != nil {
		t.Error(err)
	}
}

func TestProductionRefusesEachUnsafeSettingAndDevelopmentNone(t *testing.T) {
	t.Parallel()
	for _, unsafe := range []string{
		"POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=millrace", "POSTGRES_PASSWORD=Postgres", "POSTGRES_PASSWORD=password", "POSTGRES_PASSWORD=demo",
		"POSTGRES_SSLMODE=disable", "POSTGRES_SSLMODE=prefer",
		"KAFKA_SECURITY_PROTOCOL=PLAINTEXT", "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT", "KAFKA_SASL_PASSWORD=kafka", "KAFKA_REPLICATION=1",
		"REDIS_PASSWORD=redis", "SMTP_HOST=discard", "PSP_URL=inprocess", "IDEMPOTENCY_TTL=1h",
		"INBOX_RETENTION=336h", "JOURNAL_RETENTION=360h",
	} {
		name, value, _ := strings.Cut(unsafe, "=")
		environ := append(append([]string{}, sound...), unsafe) // the last one counts
		err := loaded(t, environ...).Refuse()
		if all := fault.All(err); len(all) != 1 || all[0].Pointer != "/"+name || !strings.HasPrefix(err.Error(), "MILLRACE_ENV=production refuses: "+name+" is ") {
			t.Errorf("%s: %v", unsafe, err)
		}
		if strings.HasSuffix(name, "PASSWORD") && value != "" && strings.Contains(err.Error(), `"`+value+`"`) {
			t.Errorf("%s shows the password: %v", unsafe, err)
		}

		development := loaded(t, append(environ, "MILLRACE_ENV=development")...)
		if err := development.Refuse(); err != nil {
			t.Errorf("development refuses %s: %v", unsafe, err)
		}
		if risks := development.Unsafe(); len(risks) != 1 || risks[0].Name != name || risks[0].Advice == "" {
			t.Errorf("development does not warn of %s alone: %v", unsafe, risks)
		}
	}
}

// However a message can come again, its inbox row is still there.
func TestInboxRowsOutliveOutboxAndKafkaTogether(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"":                        "",
		"INBOX_RETENTION=336h":    "INBOX_RETENTION is 336h, not longer than OUTBOX_RETENTION and KAFKA_RETENTION together (168h + 168h = 336h)",
		"INBOX_RETENTION=336h1m":  "",
		"KAFKA_RETENTION=192h":    "(168h + 192h = 360h)",
		"OUTBOX_RETENTION=191h":   "",
		"OUTBOX_RETENTION=192h":   "(192h + 168h = 360h)",
		"KAFKA_RETENTION=191h59m": "",
	} {
		err := loaded(t, append(append([]string{}, sound...), environ)...).Refuse()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", environ, err, want)
		}
	}
}

// Whatever can still reach a saga finds its journal whole.
func TestJournalsOutliveTheInbox(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"JOURNAL_RETENTION=":       "",
		"JOURNAL_RETENTION=360h1m": "",
		"JOURNAL_RETENTION=360h":   "JOURNAL_RETENTION is 360h, not longer than INBOX_RETENTION (360h)",
	} {
		err := loaded(t, append(append([]string{}, sound...), environ)...).Refuse()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", environ, err, want)
		}
	}
}

func TestProductionWarnsOfAnOpenGatewayAndStarts(t *testing.T) {
	t.Parallel()
	c := loaded(t, append(append([]string{}, sound...), "AUTH_MODE=none")...)
	if err := c.Refuse(); err != nil {
		t.Error(err)
	}
	if risks := c.Unsafe(); len(risks) != 1 || risks[0].Name != "AUTH_MODE" || !risks[0].Tolerated {
		t.Errorf("an open gateway is not named: %v", risks)
	}
}

func TestProductionRefusesAWeakSigningKey(t *testing.T) {
	t.Parallel()
	environ := append(append([]string{}, sound...), "JWT_JWKS_URL=", "JWT_SECRET=not-long-enough")
	if err := loaded(t, environ...).Refuse(); err == nil || !strings.Contains(err.Error(), "JWT_SECRET is shorter than 32 bytes") {
		t.Error(err)
	}
	environ = append(environ, "JWT_SECRET="+config.DemoSecret)
	if err := loaded(t, environ...).Refuse(); err == nil || !strings.Contains(err.Error(), "JWT_SECRET is the demonstration's") || strings.Contains(err.Error(), config.DemoSecret) {
		t.Error(err)
	}
	if err := loaded(t, append(environ, "JWT_SECRET=Vq8-zT1k-Vq8-zT1k-Vq8-zT1k-Vq8-zT1k")...).Refuse(); err != nil {
		t.Errorf("a good one is refused: %v", err)
	}
}

func TestDevelopmentIsToldOfTheDemonstrationsSecret(t *testing.T) {
	t.Parallel()
	if risks := loaded(t, "AUTH_MODE=jwt").Unsafe(); len(risks) != 1 || risks[0].Name != "JWT_SECRET" {
		t.Errorf("it is warned of %v", risks)
	}
}

func TestProductionRefusesSigningKeysThatTravelInTheClear(t *testing.T) {
	t.Parallel()
	for address, refused := range map[string]bool{
		"http://idp.example/keys": true, "http://10.0.0.7:8080/keys": true, "https://idp.example/keys": false,
		"http://localhost:8080/keys": false, "http://127.0.0.1/keys": false, "http://[::1]:8080/keys": false,
	} {
		err := loaded(t, append(append([]string{}, sound...), "JWT_JWKS_URL="+address)...).Refuse()
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "JWT_JWKS_URL is not https") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestPartsThatAreNotSetAreNoRisk(t *testing.T) {
	t.Parallel()
	risks := loaded(t).Unsafe()
	if len(risks) != 1 || risks[0].Name != "AUTH_MODE" {
		t.Errorf("a fresh start is warned of %v", risks)
	}
}
