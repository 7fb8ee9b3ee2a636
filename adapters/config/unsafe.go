package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"millrace/domain/fault"
)

// Risk is a setting that is fine on a developer's machine and not where real orders are taken.
type Risk struct {
	Name   string `json:"name"`
	Detail string `json:"detail"` // what is wrong, without secrets
	Advice string `json:"advice"` // what to do

	// Tolerated: production warns of it and starts all the same.
	Tolerated bool `json:"tolerated"`
}

// String is the risk in one line.
func (r Risk) String() string { return r.Name + " " + r.Detail + ": " + r.Advice }

// demonstration passwords: those of docker-compose.yml, and those that everybody tries first.
var demonstration = []string{"millrace", "postgres", "password", "passwort", "demo", "secret", "changeme", "change-me", "admin", "root", "redis", "kafka", "test", "guest", "123456"}

// shortestSecret is the key length of HS256 (RFC 7518, section 3.2).
const shortestSecret = 32

// Unsafe lists what production must not have, for the parts that are set. Development is told of
// it; see Refuse.
func (c *Config) Unsafe() []Risk {
	var risks []Risk
	add := func(found bool, name, detail, advice string) {
		if found {
			risks = append(risks, Risk{Name: name, Detail: detail, Advice: advice})
		}
	}
	password := func(name, value string) {
		add(slices.Contains(demonstration, strings.ToLower(value)), name, "is a password that everybody knows", "choose one that nobody can guess")
	}

	if c.Postgres.Host != "" {
		add(c.Postgres.Password == "", "POSTGRES_PASSWORD", "is empty", "give the database user a password")
		password("POSTGRES_PASSWORD", c.Postgres.Password)
		weak := slices.Contains([]string{"disable", "allow", "prefer"}, c.Postgres.SSLMode)
		add(weak, "POSTGRES_SSLMODE", "is "+c.Postgres.SSLMode+", so the connection may be in the clear", "set verify-full, or require where the server's certificate cannot be checked")
	}
	if len(c.Kafka.Brokers) > 0 {
		readable := slices.Contains([]string{"PLAINTEXT", "SASL_PLAINTEXT"}, c.Kafka.SecurityProtocol)
		add(readable, "KAFKA_SECURITY_PROTOCOL", "is "+c.Kafka.SecurityProtocol+", so messages travel in the clear", "set SASL_SSL, or SSL")
		password("KAFKA_SASL_PASSWORD", c.Kafka.SASLPassword)
		add(c.Kafka.Replication < 3, "KAFKA_REPLICATION", fmt.Sprintf("is %d, so a lost broker can lose messages or stop them", c.Kafka.Replication), "set 3, on at least three brokers")
	}
	if c.Redis.Host != "" {
		password("REDIS_PASSWORD", c.Redis.Password)
	}
	add(c.SMTP.Host == SMTPDiscard, "SMTP_HOST", "is discard, so no mail is sent", "set the host of a mail server")
	password("SMTP_PASSWORD", c.SMTP.Password)
	add(c.PSPURL == PSPInProcess, "PSP_URL", "is inprocess, so no card is charged", "set the URL of the payment provider")
	if c.AuthMode == "none" {
		risks = append(risks, Risk{
			Name: "AUTH_MODE", Detail: "is none, so anybody who reaches the gateway can act for any user",
			Advice: "let nobody reach it but a proxy that knows its callers", Tolerated: true,
		})
	} else {
		c.unsafeTokens(add, password)
	}
	add(c.IdempotencyTTL.Hours() < 24, "IDEMPOTENCY_TTL", "is "+c.IdempotencyTTL.String()+", but replies are promised for 24 hours", "set 24h or more")
	// A message is sent again for as long as its outbox row is kept, and read again for as long as Kafka
	// keeps what was sent.
	least := c.OutboxRetention + c.Kafka.Retention
	add(c.InboxRetention <= least, "INBOX_RETENTION",
		fmt.Sprintf("is %s, not longer than OUTBOX_RETENTION and KAFKA_RETENTION together (%s + %s = %s), so a message that comes again late would be handled twice",
			hours(c.InboxRetention), hours(c.OutboxRetention), hours(c.Kafka.Retention), hours(least)),
		"set it longer")
	// A saga that ended may be reached as long as a message can come again, and what it sent is compared
	// with its journal for as long.
	add(c.JournalRetention > 0 && c.JournalRetention <= c.InboxRetention, "JOURNAL_RETENTION",
		fmt.Sprintf("is %s, not longer than INBOX_RETENTION (%s), so a message may still reach a saga whose journal is archived", hours(c.JournalRetention), hours(c.InboxRetention)),
		"set it longer, or leave it empty")
	return risks
}

// unsafeTokens adds what is wrong with the keys that tokens are signed with.
func (c *Config) unsafeTokens(add func(found bool, name, detail, advice string), password func(name, value string)) {
	if c.JWT.Secret != "" {
		password("JWT_SECRET", c.JWT.Secret)
		add(c.JWT.Secret == DemoSecret, "JWT_SECRET", "is the demonstration's, so anybody can make a token for any user", newSecret)
		add(len(c.JWT.Secret) < shortestSecret, "JWT_SECRET", "is shorter than 32 bytes", newSecret)
	}
	if u, err := url.Parse(c.JWT.JWKSURL); err == nil && c.JWT.JWKSURL != "" {
		add(u.Scheme != "https" && !isLoopback(u.Hostname()), "JWT_JWKS_URL", "is not https, so whoever is in between can put in keys of their own", "give an https address")
	}
}

const newSecret = "make one, for example with: openssl rand -base64 48"

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Refuse fails in production with a line for each risk. In development it never fails: the caller
// warns of what Unsafe lists.
func (c *Config) Refuse() error {
	return c.RefuseAll(c.Unsafe())
}

// RefuseAll is Refuse for risks that were found elsewhere, such as in the servers' own settings.
func (c *Config) RefuseAll(risks []Risk) error {
	if !c.Production() {
		return nil
	}
	var refused []error
	for _, r := range risks {
		if r.Tolerated {
			continue
		}
		refused = append(refused, fault.Invalidf("unsafe_setting", "/"+r.Name, "MILLRACE_ENV=production refuses: %s", r))
	}
	return errors.Join(refused...)
}
