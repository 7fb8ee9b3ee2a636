package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/adapters/config"
	"millrace/domain/fault"
)

func load(t *testing.T, environ ...string) (*config.Config, error) {
	t.Helper()
	return config.Load(t.TempDir(), environ)
}

func loaded(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	c, err := load(t, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withFile is a directory that has a .env.
func withFile(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNothingSetGivesTheDefaults(t *testing.T) {
	t.Parallel()
	c := loaded(t)
	switch {
	case c.Kafka.Partitions != 12, c.Kafka.Replication != 1, c.Kafka.Retention != 168*time.Hour, len(c.Kafka.Brokers) != 0,
		c.OutboxRetention != 168*time.Hour, c.InboxRetention != 360*time.Hour, c.IdempotencyTTL != 24*time.Hour,
		c.PaymentTimeout != 30*time.Second, c.InventoryTimeout != 30*time.Second, c.PSPTimeout != 5*time.Second,
		c.FromEmail != "orders@millrace.local", c.SMTP.Port != 25, c.Postgres.Port != 5432, c.Redis.Port != 6379,
		c.AuthMode != "none", c.LogLevel != "info", c.Production(), c.Port != 0:
		t.Errorf("defaults: %+v", c)
	}
}

func TestTheEnvironmentWinsOverTheFileAndTheFileOverTheDefault(t *testing.T) {
	t.Parallel()
	dir := withFile(t, "# mine\nPOSTGRES_HOST=from-file\nPOSTGRES_USER=from-file\nPOSTGRES_DB=\nKAFKA_BROKERS=a:1,b:2\n")
	c, err := config.Load(dir, []string{"POSTGRES_HOST=from-environment", "KAFKA_BROKERS=", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Postgres.Host != "from-environment" || c.Postgres.User != "from-file" || c.Postgres.DB != "millrace" ||
		strings.Join(c.Kafka.Brokers, " ") != "a:1 b:2" {
		t.Errorf("%+v %+v", c.Postgres, c.Kafka)
	}
	sources := make(map[string]string)
	for _, s := range c.Table() {
		sources[s.Name] = s.Source
	}
	for name, want := range map[string]string{
		"POSTGRES_HOST": config.FromEnvironment, "POSTGRES_USER": config.FromFile, "POSTGRES_DB": config.FromDefault, "KAFKA_BROKERS": config.FromFile,
	} {
		if sources[name] != want {
			t.Errorf("%s comes from %q, not %q", name, sources[name], want)
		}
	}
	for name, want := range map[string]string{"POSTGRES_HOST": "from-environment", "POSTGRES_USER": "from-file", "POSTGRES_DB": "", "KAFKA_BROKERS": "a:1,b:2"} {
		if got := config.Value(dir, []string{"POSTGRES_HOST=from-environment", "KAFKA_BROKERS="}, name); got != want {
			t.Errorf("alone, %s is %q, not %q", name, got, want)
		}
	}
}

func TestAMalformedValueStopsTheStartAndIsNamedWithWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"LOG_LEVEL=loud":                       `LOG_LEVEL is "loud" in the environment: it must be one of debug, info, warn, error`,
		"MILLRACE_ENV=prod":                    `MILLRACE_ENV is "prod" in the environment: it must be one of development, production`,
		"AUTH_MODE=basic":                      "one of none, jwt",
		"KAFKA_SECURITY_PROTOCOL=plaintext":    "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
		"POSTGRES_SSLMODE=on":                  "verify-full",
		"PAYMENT_TIMEOUT=30":                   `PAYMENT_TIMEOUT is "30" in the environment: it must be a duration such as`,
		"PAYMENT_TIMEOUT=-1s":                  "of at least 100ms",
		"PSP_TIMEOUT=1h":                       "from 10ms to 10s",
		"KAFKA_PARTITIONS=many":                "a whole number from 1 to 1000",
		"KAFKA_PARTITIONS=0":                   "a whole number from 1 to 1000",
		"KAFKA_PARTITIONS=99999999999999":      "a whole number from 1 to 1000",
		"PORT=70000":                           "a port from 1 to 65535",
		"PORT=http":                            "a port",
		"REDIS_PORT=tcp://10.0.0.1:6379":       "enableServiceLinks",
		"KAFKA_BROKERS=kafka":                  "host:port",
		"KAFKA_BROKERS=kafka:9092,":            "host:port",
		"KAFKA_BROKERS=kafka:9092, two:9092":   "host:port",
		"POSTGRES_HOST=postgres://db:5432":     "without a scheme or a port",
		"POSTGRES_HOST=db:5432":                "without a scheme or a port",
		"PSP_URL=psp:8086":                     "or inprocess",
		"PSP_URL=ftp://psp":                    "a URL",
		"OTEL_EXPORTER_OTLP_ENDPOINT=tempo":    "a URL",
		"TRACE_URL=jaeger:16686":               "a URL",
		"FROM_EMAIL=orders":                    "an e-mail address",
		"INBOX_RETENTION=two weeks":            "a duration",
		"ORDER_SERVICE_URL=order-service:8081": "a URL",
	} {
		_, err := load(t, setting)
		name, _, _ := strings.Cut(setting, "=")
		switch {
		case err == nil:
			t.Errorf("%s is accepted", setting)
		case !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), name+" is "):
			t.Errorf("%s: %q does not say %q", setting, err, want)
		case strings.Contains(err.Error(), "\n") || fault.KindOf(err) != fault.Invalid:
			t.Errorf("%s: %q is not one line of kind invalid", setting, err)
		}
	}
}

func TestGoodValuesAreTaken(t *testing.T) {
	t.Parallel()
	c := loaded(t, "KAFKA_BROKERS=10.0.0.1:9092,[::1]:9093,kafka-2.internal:9092", "PSP_URL=inprocess", "SMTP_HOST=discard",
		"LISTEN_HOST=0.0.0.0", "PORT= 9000 ", "FROM_EMAIL=Millrace <orders@example.com>", "POSTGRES_HOST=::1", "PAYMENT_TIMEOUT=1500ms")
	if len(c.Kafka.Brokers) != 3 || c.PSPURL != config.PSPInProcess || c.SMTP.Host != config.SMTPDiscard || c.Port != 9000 ||
		c.Postgres.Host != "::1" || c.PaymentTimeout != 1500*time.Millisecond {
		t.Errorf("%+v", c)
	}
}

func TestEveryFaultIsToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, "LOG_LEVEL=loud", "PORT=x", "KAFKA_BROKER=a:1")
	if all := fault.All(err); len(all) != 3 {
		t.Errorf("%d faults: %v", len(all), err)
	}
}

func TestWhatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	for want, environ := range map[string][]string{
		"KAFKA_SASL_USERNAME": {"KAFKA_SECURITY_PROTOCOL=SASL_SSL", "KAFKA_SASL_PASSWORD=x"},
		"KAFKA_SASL_PASSWORD": {"KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT", "KAFKA_SASL_USERNAME=x"},
		"SMTP_USER":           {"SMTP_PASSWORD=x"},
		"either JWT_SECRET":   {"AUTH_MODE=jwt", "MILLRACE_ENV=production"},
		"JOURNAL_ARCHIVE":     {"POSTGRES_HOST=db", "JOURNAL_RETENTION=1000h"},
		"JWT_JWKS_URL":        {"AUTH_MODE=jwt", "JWT_SECRET=x", "JWT_JWKS_URL=http://idp/keys"},
	} {
		if _, err := load(t, environ...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v does not say %q", environ, err, want)
		}
	}
}

// Whoever tries tokens out has to set nothing else; whoever can be reached by others has.
func TestWithoutAKeyTheDemonstrationsSecretIsInForceAndOnlyThere(t *testing.T) {
	t.Parallel()
	c := loaded(t, "AUTH_MODE=jwt")
	if c.JWT.Secret != config.DemoSecret || len(config.DemoSecret) < 32 {
		t.Errorf("the secret is %q", c.JWT.Secret)
	}
	for _, s := range c.Table() {
		if s.Name == "JWT_SECRET" && (s.Value != "****" || s.Source != config.FromDefault) {
			t.Errorf("it is shown as %+v", s)
		}
	}
	if err := c.RequireTokenKey(); err == nil || err.Error() != "AUTH_MODE is jwt: set either JWT_SECRET or JWT_JWKS_URL" || fault.KindOf(err) != fault.Invalid {
		t.Errorf("a service on its own starts: %v", err)
	}
	if err := loaded(t, "AUTH_MODE=jwt", "JWT_SECRET="+config.DemoSecret).RequireTokenKey(); err == nil || !strings.Contains(err.Error(), "JWT_SECRET is the demonstration's") {
		t.Errorf("a service on its own starts with what everybody knows: %v", err)
	}
	if loaded(t).JWT.Secret != "" {
		t.Error("there is a secret though nobody is asked for a token")
	}
	for _, sound := range [][]string{nil, {"AUTH_MODE=jwt", "JWT_SECRET=x"}, {"AUTH_MODE=jwt", "JWT_JWKS_URL=https://idp.example/keys"}} {
		c := loaded(t, sound...)
		if err := c.RequireTokenKey(); err != nil || c.JWT.Secret == config.DemoSecret {
			t.Errorf("%v: %v, the secret is %q", sound, err, c.JWT.Secret)
		}
	}
}

func TestSecretsAreInNoTableAndInNoError(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-hunter2"
	c := loaded(t, "POSTGRES_PASSWORD="+secret, "REDIS_PASSWORD="+secret, "SMTP_USER=u", "SMTP_PASSWORD="+secret, "JWT_SECRET="+secret, "MILLRACE_TOKEN="+secret,
		"KAFKA_SASL_PASSWORD="+secret, "PSP_URL=http://key:"+secret+"@psp/")
	masked := 0
	for _, s := range c.Table() {
		if strings.Contains(s.Value, secret) {
			t.Errorf("%s shows its secret: %s", s.Name, s.Value)
		}
		if strings.Contains(s.Value, "****") {
			masked++
		}
	}
	if masked != 7 {
		t.Errorf("%d values are masked, not 7", masked)
	}
	for _, environ := range []string{"PSP_URL=ftp://key:" + secret + "@psp", "PSP_URL=http://key:" + secret + "@psp:x y", "POSTGRES_PASWORD=" + secret} {
		if _, err := load(t, environ); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
	if _, err := config.Load(withFile(t, "POSTGRES_PASSWORD "+secret+"\n= x"), nil); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a broken .env: %v", err)
	}
}

func TestAMissingRequirementIsNamed(t *testing.T) {
	t.Parallel()
	c := loaded(t, "KAFKA_BROKERS=a:1")
	if err := c.Require("KAFKA_BROKERS", "POSTGRES_USER"); err != nil {
		t.Error(err)
	}
	if err := c.Require("KAFKA_BROKERS", "POSTGRES_HOST"); err == nil || !strings.HasPrefix(err.Error(), "POSTGRES_HOST is not set") {
		t.Error(err)
	}
}
