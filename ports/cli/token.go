package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/domain/order"
)

// TokenOptions are those of `millrace token`, all checked.
type TokenOptions struct {
	User    string
	Scope   string // words with a blank between them
	Expires time.Duration
}

// Token is a token that was made. Demo: with the secret that everybody knows.
type Token struct {
	Token string
	Demo  bool
}

// scopeForm is that of one word of a scope (RFC 6749, section 3.3).
var scopeForm = regexp.MustCompile(`^[!#-\[\]-~]+$`)

func (p *program) token() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Sign a token for trying AUTH_MODE=jwt",
		Long: `Print a JWT that the API of this environment takes: signed with JWT_SECRET (HS256), from JWT_ISSUER and for
JWT_AUDIENCE where they are set. Without JWT_SECRET it is signed with the demonstration's secret, which
"millrace up" with AUTH_MODE=jwt takes, and production never does. With JWT_JWKS_URL tokens come from the
identity provider, and this verb makes none.

A token is for one user, who sees and places orders of their own. The scope orders:all is an operator's:
it sees, lists, cancels and places everybody's.`,
		Example: `  AUTH_MODE=jwt millrace up
  export MILLRACE_TOKEN=$(millrace token)   # in another terminal
  millrace order place --wait
  curl -H "Authorization: Bearer $(millrace token --scope orders:all)" http://127.0.0.1:8080/api/v1/orders`,
		Args: exactly(),
	}
	f := c.Flags()
	user := f.String("user", "usr_001", "whose token it is (sub)")
	scopes := f.StringArray("scope", nil, "what it allows beside the user's own orders, such as orders:all")
	expires := f.Duration("expires", time.Hour, "how long it holds")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.SignToken == nil {
			return missing(c)
		}
		o := TokenOptions{*user, strings.Join(strings.Fields(strings.Join(*scopes, " ")), " "), *expires}
		if err := o.check(); err != nil {
			return err
		}
		now := p.Now().Truncate(time.Second) // a token knows no less
		t, err := p.SignToken(o, now)
		if err != nil {
			return err
		}
		if t.Demo {
			fmt.Fprintln(p.Stderr, "signed with the demonstration's secret: `millrace up` takes it as long as no JWT_SECRET is set, production never does")
		}
		if p.json {
			return writeJSON(p.Stdout, struct {
				Token     string    `json:"token"`
				UserID    string    `json:"userId"`
				Scope     string    `json:"scope"`
				ExpiresAt time.Time `json:"expiresAt"`
			}{t.Token, o.User, o.Scope, now.Add(o.Expires).UTC()})
		}
		fmt.Fprintln(p.Stdout, t.Token)
		return nil
	}
	return c
}

func (o TokenOptions) check() error {
	if _, err := order.ParseUserID(o.User); err != nil {
		return fmt.Errorf("--user %q: give 1 to 64 letters, digits, _ or -", o.User)
	}
	for word := range strings.FieldsSeq(o.Scope) {
		if !scopeForm.MatchString(word) {
			return fmt.Errorf("--scope %q: give printable characters other than \" and \\, such as orders:all", word)
		}
	}
	if o.Expires < time.Second {
		return fmt.Errorf("--expires %s: give at least a second, such as 1h", o.Expires)
	}
	return nil
}

// tokenFlag gives a verb that calls the API the flag --token.
func (p *program) tokenFlag(c *cobra.Command) func() string {
	token := c.Flags().String("token", "", "the JWT that an API with AUTH_MODE=jwt asks for (default MILLRACE_TOKEN, which others on the machine do not see)")
	return func() string { return strings.TrimSpace(cmp.Or(*token, p.Setting("MILLRACE_TOKEN"))) }
}

// authorize puts the token on a request to the API.
func (a api) authorize(request *http.Request) {
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
}

// unauthorized says what to do about an answer that wants a token, or another one.
func unauthorized(err error) error {
	return fmt.Errorf("%w: set MILLRACE_TOKEN, or give --token; `millrace token` makes one for trying", err)
}
