// Package config reads what an operator has set: environment variables, and a file named .env in
// the working directory for development. The real environment wins over the file.
//
// A value that is wrong stops the start with a line that names it. Nothing may read the
// environment elsewhere, and nothing of how a setting is used may be here.
package config

import "time"

// Config is every setting, by what it belongs to. An empty host means the part that `millrace up`
// brings along. The tags are the table that checks, help and .env.example follow:
//
//	env, envDefault  name and default
//	oneof            the values that are allowed
//	is               port, host, address list, url, email: what a text has to look like
//	min, max         bounds of a number or duration
//	secret           never shown
type Config struct {
	Env        string `env:"MILLRACE_ENV" envDefault:"development" oneof:"development production"`
	LogLevel   string `env:"LOG_LEVEL" envDefault:"info" oneof:"debug info warn error"`
	ListenHost string `env:"LISTEN_HOST" envDefault:"127.0.0.1" is:"host"`
	Port       int    `env:"PORT" is:"port"` // 0: the service's own

	OrderServiceURL     string `env:"ORDER_SERVICE_URL" envDefault:"http://127.0.0.1:8081" is:"url"`
	InventoryServiceURL string `env:"INVENTORY_SERVICE_URL" envDefault:"http://127.0.0.1:8083" is:"url"`

	Kafka    Kafka    `envPrefix:"KAFKA_"`
	Postgres Postgres `envPrefix:"POSTGRES_"`
	Redis    Redis    `envPrefix:"REDIS_"`
	SMTP     SMTP     `envPrefix:"SMTP_"`

	FromEmail string `env:"FROM_EMAIL" envDefault:"orders@millrace.local" is:"email"`
	PSPURL    string `env:"PSP_URL" is:"url" also:"inprocess"`

	PaymentTimeout   time.Duration `env:"PAYMENT_TIMEOUT" envDefault:"30s" min:"100ms"`
	InventoryTimeout time.Duration `env:"INVENTORY_TIMEOUT" envDefault:"30s" min:"100ms"`
	PSPTimeout       time.Duration `env:"PSP_TIMEOUT" envDefault:"5s" min:"10ms" max:"10s"`

	MaxOpenOrders int `env:"MAX_OPEN_ORDERS" envDefault:"2000" min:"1" max:"1000000"`

	OutboxRetention time.Duration `env:"OUTBOX_RETENTION" envDefault:"168h" min:"1m"`
	InboxRetention  time.Duration `env:"INBOX_RETENTION" envDefault:"360h" min:"1m"`
	IdempotencyTTL  time.Duration `env:"IDEMPOTENCY_TTL" envDefault:"24h" min:"1m"`

	JournalRetention time.Duration `env:"JOURNAL_RETENTION" min:"1m"` // 0: journals are kept for ever
	JournalArchive   string        `env:"JOURNAL_ARCHIVE"`

	AuthMode string `env:"AUTH_MODE" envDefault:"none" oneof:"none jwt"`
	JWT      JWT    `envPrefix:"JWT_"`

	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" is:"url"`
	TraceURL     string `env:"TRACE_URL" is:"url"` // where people look at a trace; read by the command line alone

	Token string `env:"MILLRACE_TOKEN" secret:"true"` // whom the command line is to the API; no service reads it

	settings []Setting
}

// Kafka is the broker, and how topics are made.
type Kafka struct {
	Brokers          []string      `env:"BROKERS" is:"address list"`
	SecurityProtocol string        `env:"SECURITY_PROTOCOL" envDefault:"PLAINTEXT" oneof:"PLAINTEXT SSL SASL_PLAINTEXT SASL_SSL"`
	SASLMechanism    string        `env:"SASL_MECHANISM" envDefault:"PLAIN" oneof:"PLAIN SCRAM-SHA-256 SCRAM-SHA-512"`
	SASLUsername     string        `env:"SASL_USERNAME"`
	SASLPassword     string        `env:"SASL_PASSWORD" secret:"true"`
	TLSCAFile        string        `env:"TLS_CA_FILE"`
	Partitions       int           `env:"PARTITIONS" envDefault:"12" min:"1" max:"1000"`
	Replication      int           `env:"REPLICATION" envDefault:"1" min:"1" max:"9"`
	Retention        time.Duration `env:"RETENTION" envDefault:"168h" min:"1m"`
	Subscriber       string        `env:"SUBSCRIBER" envDefault:"windowed" oneof:"plain windowed"`
}

// Postgres is the database server; every service has a schema of its own in DB.
type Postgres struct {
	Host     string `env:"HOST" is:"host"`
	Port     int    `env:"PORT" envDefault:"5432" is:"port"`
	DB       string `env:"DB" envDefault:"millrace"`
	User     string `env:"USER" envDefault:"millrace"`
	Password string `env:"PASSWORD" secret:"true"`
	SSLMode  string `env:"SSLMODE" envDefault:"prefer" oneof:"disable allow prefer require verify-ca verify-full"`
}

// Redis is the cache.
type Redis struct {
	Host     string `env:"HOST" is:"host"`
	Port     int    `env:"PORT" envDefault:"6379" is:"port"`
	Password string `env:"PASSWORD" secret:"true"`
}

// SMTP is the mail server.
type SMTP struct {
	Host     string `env:"HOST" is:"host"` // "discard" sends to nobody
	Port     int    `env:"PORT" envDefault:"25" is:"port"`
	User     string `env:"USER"`
	Password string `env:"PASSWORD" secret:"true"`
}

// DemoSecret is the JWT_SECRET of whoever tries AUTH_MODE=jwt out and has set no key: everybody knows it. Load takes it
// in development, RequireTokenKey refuses it where others may reach the service, and Refuse in production.
const DemoSecret = "millrace-demo-secret-known-to-everybody"

// JWT is how callers of the API prove who they are.
type JWT struct {
	Secret   string `env:"SECRET" secret:"true"`
	JWKSURL  string `env:"JWKS_URL" is:"url"`
	Issuer   string `env:"ISSUER"`
	Audience string `env:"AUDIENCE"`
}

// The values that take the parties outside out of the way, for benchmarks.
const (
	PSPInProcess = "inprocess" // PSP_URL: the provider is a function call
	SMTPDiscard  = "discard"   // SMTP_HOST: mail goes nowhere
)

// SubscriberPlain is the KAFKA_SUBSCRIBER that has one message of a partition in hand.
const SubscriberPlain = "plain"

// Production says whether unsafe settings are refused instead of warned of.
func (c *Config) Production() bool { return c.Env == "production" }
