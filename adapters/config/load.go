package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"

	"millrace/domain/fault"
)

// The places that a value can come from.
const (
	FromDefault     = "default"
	FromFile        = ".env"
	FromEnvironment = "environment"
)

// Load reads the settings: from environ, as os.Environ gives it, then from dir/.env, then the
// defaults. Blanks around a value are dropped, and an empty one counts as not set. It fails with every fault that it finds, each of kind
// fault.Invalid and one line long: a malformed value, a contradiction between values, a variable
// with a prefix of ours that we do not have. Secrets are in no error.
func Load(dir string, environ []string) (*Config, error) {
	file, err := readFile(dir)
	if err != nil {
		return nil, err
	}
	values, sources := merge(file, env.ToMap(environ))

	c := &Config{}
	variables := variablesOf()
	var wrong []error
	for _, v := range variables {
		raw, set := values[v.name]
		source := sources[v.name]
		if !set {
			raw, source = v.standard, FromDefault
		}
		if set {
			if err := v.check(raw); err != nil {
				wrong = append(wrong, v.refuse(raw, source, err))
			}
		}
		c.settings = append(c.settings, v.setting(raw, source))
	}
	wrong = append(wrong, unknown(variables, values, sources)...)
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	if err := env.ParseWithOptions(c, env.Options{Environment: values}); err != nil {
		return nil, fault.Invalidf("invalid_setting", "", "the environment cannot be read: %v", err)
	}
	if err := c.contradictions(); err != nil {
		return nil, err
	}
	c.demonstrate()
	return c, nil
}

// demonstrate puts the demonstration's secret where tokens are asked for and nothing says with which key.
func (c *Config) demonstrate() {
	if c.AuthMode != "jwt" || c.JWT.Secret != "" || c.JWT.JWKSURL != "" {
		return
	}
	c.JWT.Secret = DemoSecret
	for i, s := range c.settings {
		if s.Name == "JWT_SECRET" {
			c.settings[i].Value = masked
		}
	}
}

// RequireTokenKey fails where tokens are asked for and nobody has said with which key they are signed, or has said the
// demonstration's.
func (c *Config) RequireTokenKey() error {
	if c.AuthMode != "jwt" || c.JWT.JWKSURL != "" || c.JWT.Secret != DemoSecret {
		return nil
	}
	if c.Given("JWT_SECRET") {
		return errDemoKey
	}
	return errNoTokenKey
}

var errDemoKey = fault.Invalidf("invalid_setting", "/JWT_SECRET", "JWT_SECRET is the demonstration's, which everybody knows: "+newSecret)

var errNoTokenKey = fault.Invalidf("invalid_setting", "/AUTH_MODE", "AUTH_MODE is jwt: set either JWT_SECRET or JWT_JWKS_URL")

// Value gives one variable as Load reads it, without a look at any other: "" when it is not set, or when dir/.env
// cannot be read, which Load says.
func Value(dir string, environ []string, name string) string {
	file, _ := readFile(dir) // nil then
	values, _ := merge(file, env.ToMap(environ))
	return values[name]
}

// Setting is one variable as it is in force.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // masked for a secret that is set
	Source string `json:"source"` // FromDefault, FromFile or FromEnvironment
}

// Table gives every setting in force, with secrets masked, in the order of .env.example.
func (c *Config) Table() []Setting { return slices.Clone(c.settings) }

// Given says whether a setting comes from outside.
func (c *Config) Given(name string) bool {
	return slices.ContainsFunc(c.settings, func(s Setting) bool { return s.Name == name && s.Source != FromDefault })
}

func readFile(dir string) (map[string]string, error) {
	path := filepath.Join(dir, ".env")
	file, err := godotenv.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		// The library's error quotes the rest of the file, which may hold secrets.
		var broken *fs.PathError
		if errors.As(err, &broken) {
			return nil, fault.Invalidf("invalid_setting", "", "%s cannot be read: %v", path, broken.Err)
		}
		return nil, fault.Invalidf("invalid_setting", "", "%s cannot be read: every line must be NAME=value or a # comment", path)
	}
	return file, nil
}

// merge lays the environment over the file and forgets empty values.
func merge(file, environment map[string]string) (values, sources map[string]string) {
	values, sources = make(map[string]string), make(map[string]string)
	lay := func(from map[string]string, source string) {
		for name, value := range from {
			if value = strings.TrimSpace(value); value != "" {
				values[name], sources[name] = value, source
			}
		}
	}
	lay(file, FromFile)
	lay(environment, FromEnvironment)
	return values, sources
}

// contradictions are values that are fine alone and wrong together.
func (c *Config) contradictions() error {
	var wrong []error
	refuse := func(name, format string, args ...any) {
		wrong = append(wrong, fault.Invalidf("invalid_setting", "/"+name, name+" "+format, args...))
	}
	if strings.HasPrefix(c.Kafka.SecurityProtocol, "SASL_") {
		if c.Kafka.SASLUsername == "" {
			refuse("KAFKA_SASL_USERNAME", "is not set: KAFKA_SECURITY_PROTOCOL=%s needs it", c.Kafka.SecurityProtocol)
		}
		if c.Kafka.SASLPassword == "" {
			refuse("KAFKA_SASL_PASSWORD", "is not set: KAFKA_SECURITY_PROTOCOL=%s needs it", c.Kafka.SecurityProtocol)
		}
	}
	if (c.SMTP.User == "") != (c.SMTP.Password == "") {
		refuse("SMTP_USER", "and SMTP_PASSWORD must be set together, or neither")
	}
	if c.JournalRetention > 0 && c.JournalArchive == "" && c.Postgres.Host != "" {
		refuse("JOURNAL_ARCHIVE", "is not set: JOURNAL_RETENTION=%s needs a folder into which journals go before they are deleted", hours(c.JournalRetention))
	}
	both, neither := c.JWT.Secret != "" && c.JWT.JWKSURL != "", c.JWT.Secret == "" && c.JWT.JWKSURL == ""
	if c.AuthMode == "jwt" && (both || neither && c.Production()) {
		wrong = append(wrong, errNoTokenKey)
	}
	return errors.Join(wrong...)
}

// Require fails with a line for each of the variables that is not set.
func (c *Config) Require(names ...string) error {
	set := make(map[string]bool)
	for _, s := range c.settings {
		set[s.Name] = s.Value != ""
	}
	var wrong []error
	for _, name := range names {
		if !set[name] {
			wrong = append(wrong, fault.Invalidf("invalid_setting", "/"+name, "%s is not set: give it in the environment or in .env (.env.example says what it means)", name))
		}
	}
	return errors.Join(wrong...)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// hours is a retention as people write it: 168h, not 168h0m0s.
func hours(d time.Duration) string { return fmt.Sprintf("%gh", d.Hours()) }
