package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/domain/fault"
)

// variable is one row of the table that the tags of Config are.
type variable struct {
	name     string
	standard string // the default
	secret   bool
	kind     reflect.Type
	oneof    []string
	is       string
	also     string // a word that is allowed beside what is
	min, max string
}

// variablesOf reads the table, in its order.
func variablesOf() []variable {
	var all []variable
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			if nested, ok := f.Tag.Lookup("envPrefix"); ok {
				walk(f.Type, prefix+nested)
			}
			name, ok := f.Tag.Lookup("env")
			if !ok {
				continue
			}
			all = append(all, variable{
				name: prefix + name, standard: f.Tag.Get("envDefault"), secret: f.Tag.Get("secret") != "", kind: f.Type,
				oneof: strings.Fields(f.Tag.Get("oneof")), is: f.Tag.Get("is"), also: f.Tag.Get("also"),
				min: f.Tag.Get("min"), max: f.Tag.Get("max"),
			})
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return all
}

// setting is the row for people.
func (v variable) setting(raw, source string) Setting { return Setting{v.name, v.shown(raw), source} }

// masked stands for a secret.
const masked = "****"

// shown is a value that may be printed.
func (v variable) shown(raw string) string {
	if v.secret && raw != "" {
		return masked
	}
	return WithoutPassword(raw)
}

// WithoutPassword is an address as it may be printed: the user and the password in it are masked.
func WithoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		u.User = nil
		return strings.Replace(u.String(), "//", "//"+masked+"@", 1)
	}
	return address
}

func (v variable) refuse(raw, source string, why error) error {
	if source == FromFile {
		source = "in .env"
	} else {
		source = "in the environment"
	}
	value := strconv.Quote(v.shown(raw))
	if v.is == "url" && strings.Contains(raw, "@") {
		value = "a value with a password" // malformed, so that nobody can tell where the password ends
	}
	return fault.Invalidf("invalid_setting", "/"+v.name, "%s is %s %s: it must be %v", v.name, value, source, why)
}

// check says what a value must be, if it is not.
func (v variable) check(raw string) error {
	switch {
	case v.also != "" && raw == v.also:
		return nil
	case len(v.oneof) > 0:
		if slices.Contains(v.oneof, raw) {
			return nil
		}
		return errors.New("one of " + strings.Join(v.oneof, ", "))
	case v.is != "":
		return v.checkText(raw)
	case v.kind == reflect.TypeFor[time.Duration]():
		return v.checkDuration(raw)
	case v.kind.Kind() == reflect.Int:
		return v.checkNumber(raw)
	}
	return nil
}

func (v variable) checkDuration(raw string) error {
	d, err := time.ParseDuration(raw)
	low, _ := time.ParseDuration(v.min)
	high, _ := time.ParseDuration(v.max)
	switch {
	case err != nil:
		return errors.New("a duration such as 500ms, 30s, 5m or 168h")
	case d < low || high > 0 && d > high:
		return errors.New("a duration " + v.bounds())
	}
	return nil
}

func (v variable) checkNumber(raw string) error {
	n, err := strconv.Atoi(raw)
	low, _ := strconv.Atoi(v.min)
	high, _ := strconv.Atoi(v.max)
	if err != nil || n < low || n > high {
		return errors.New("a whole number " + v.bounds())
	}
	return nil
}

func (v variable) bounds() string {
	if v.max == "" {
		return "of at least " + v.min
	}
	return "from " + v.min + " to " + v.max
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

func isHost(s string) bool { return hostname.MatchString(s) || net.ParseIP(s) != nil }

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 65535
}

// checkText checks what `is` names.
func (v variable) checkText(raw string) error {
	var ok bool
	var want string
	switch v.is {
	case "port":
		ok, want = isPort(raw), "a port from 1 to 65535"
		if strings.HasPrefix(raw, "tcp://") {
			want += " (Kubernetes sets it for a Service of that name: set enableServiceLinks: false)"
		}
	case "host":
		ok, want = isHost(raw), "a host name or an IP address, without a scheme or a port"
	case "address list":
		ok, want = true, "host:port, or several separated by commas"
		for address := range strings.SplitSeq(raw, ",") {
			host, port, err := net.SplitHostPort(address)
			ok = ok && err == nil && isHost(host) && isPort(port)
		}
	case "url":
		u, err := url.Parse(raw)
		ok = err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
		want = "a URL such as http://127.0.0.1:8086"
		if v.also != "" {
			want += ", or " + v.also
		}
	case "email":
		_, err := mail.ParseAddress(raw)
		ok, want = err == nil, "an e-mail address"
	default:
		want = fmt.Sprintf("something that no code knows (%s)", v.is)
	}
	if ok {
		return nil
	}
	return errors.New(want)
}
