package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"millrace/app/order"
	"millrace/domain/fault"
)

// leeway is how far the clock of whoever signed a token may be ahead of ours, for nbf and iat. exp has none: a token
// that has expired is not to be revived.
const leeway = 30 * time.Second

// Config says which tokens are taken. Either Secret or JWKSURL must be given.
type Config struct {
	Secret   string // key of HS256
	JWKSURL  string // where the keys of RS256, ES256 and EdDSA are published
	Issuer   string // the iss that a token must have; "" for any
	Audience string // the aud that a token must have; "" for any

	Logger    *slog.Logger
	Transport http.RoundTripper // fetches the keys; nil is http.DefaultTransport
	Now       func() time.Time  // nil is time.Now
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	parser *jwt.Parser
	now    func() time.Time
	secret []byte
	keys   *keySet // nil with a secret
}

// New makes a Verifier. It fails unless there is exactly one of Secret and JWKSURL: which key a token is checked with
// must never depend on the token.
func New(cfg Config) (*Verifier, error) {
	if (cfg.Secret == "") == (cfg.JWKSURL == "") {
		return nil, errors.New("tokens are checked either with a secret or with published keys: set one of them")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &Verifier{now: cfg.Now, secret: []byte(cfg.Secret)}
	methods := []string{jwt.SigningMethodHS256.Alg()}
	if cfg.JWKSURL != "" {
		methods = []string{jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg()}
		v.keys = newKeySet(cfg)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithStrictDecoding(), jwt.WithTimeFunc(cfg.Now),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithIssuer(cfg.Issuer),
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

// Verify gives the caller whom the token names. It fails with fault.Invalid, code invalid_token, and a detail that says
// why and nothing of what is in the token; and with fault.Unavailable while the published keys are not to be had.
func (v *Verifier) Verify(ctx context.Context, token string) (order.Caller, error) {
	c := jwt.MapClaims{} // by their exact names: a struct would take "Scope" for scope, and "SUB" for sub
	_, err := v.parser.ParseWithClaims(token, c, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	if err != nil {
		if f, ok := fault.Find(err); ok && f.Kind == fault.Unavailable {
			return order.Caller{}, keysAway{f}
		}
		return order.Caller{}, refusal(err)
	}
	ends, err := c.GetExpirationTime()
	if err != nil || ends == nil || !v.now().Before(ends.Time) {
		return order.Caller{}, refusal(jwt.ErrTokenExpired)
	}
	user, err := c.GetSubject()
	if err != nil {
		return order.Caller{}, refusal(err)
	}
	scope, isText := c["scope"].(string) // words with a blank between them (RFC 8693, section 4.2)
	if c["scope"] != nil && !isText {
		return order.Caller{}, refusal(jwt.ErrInvalidType)
	}
	caller, err := order.Identified(user, strings.Fields(scope))
	if err != nil {
		return order.Caller{}, refusal(errSubject)
	}
	return caller.Until(ends.Time), nil
}

func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errCritical
	}
	if v.keys == nil {
		return v.secret, nil
	}
	return v.keys.find(ctx, t)
}

// Run fetches the published keys, and fetches them again, until ctx ends. With a secret there is nothing to do.
func (v *Verifier) Run(ctx context.Context) error {
	if v.keys == nil {
		<-ctx.Done()
		return nil
	}
	return v.keys.run(ctx)
}

// Ready fails while no keys have been fetched.
func (v *Verifier) Ready(context.Context) error {
	if v.keys == nil || v.keys.there() {
		return nil
	}
	return errNoKeys
}

// What the parser does not know of.
var (
	errSubject  = errors.New("no sub that is a userId")
	errCritical = errors.New("an extension that has to be understood")
	errNoKeyID  = errors.New("no key id")
)

// reasons says why a token is refused, in words for whoever sent it. The first that fits counts.
var reasons = []struct {
	err error
	why string
}{
	{errCritical, "its header asks for an extension (crit) that is not known here"},
	{errNoKeyID, "its header does not name its key (kid)"},
	{errSubject, "its sub is not a userId: 1 to 64 letters, digits, _ or -"},
	{jwt.ErrInvalidType, "one of its claims is not of the kind that it should be"},
	{jwt.ErrTokenMalformed, "it is not a JWT that can be read"},
	{jwt.ErrTokenUnverifiable, "it is signed with a key or an algorithm that is not known here"},
	{jwt.ErrTokenSignatureInvalid, "its signature or its algorithm is not the one that is asked for"},
	{jwt.ErrTokenExpired, "it has expired"},
	{jwt.ErrTokenNotValidYet, "it is not valid yet (nbf)"},
	{jwt.ErrTokenUsedBeforeIssued, "it comes from the future (iat)"},
	{jwt.ErrTokenInvalidIssuer, "it is of another issuer (iss)"},
	{jwt.ErrTokenInvalidAudience, "it is for another audience (aud)"},
	{jwt.ErrTokenRequiredClaimMissing, "it lacks exp, or the iss or aud that is asked for"},
}

// refusal is what the sender is told. The parser's error goes no further: it quotes the token.
func refusal(err error) error {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return fault.New(fault.Invalid, "invalid_token", "the token is not taken: "+r.why)
		}
	}
	return fault.New(fault.Invalid, "invalid_token", "the token is not taken")
}

// errNoKeys: nobody can tell yet whose token it is.
var errNoKeys = fault.New(fault.Unavailable, "token_keys_unavailable", "the keys that tokens are checked with are not to be had")

// keysAway is errNoKeys with the time after which to try again. A whole crowd hears it.
type keysAway struct{ error }

// Unwrap gives what it wraps.
func (k keysAway) Unwrap() error { return k.error }

// RetryAfter is about as long as the next fetch takes to begin.
func (keysAway) RetryAfter() time.Duration { return 2 * time.Second }

// Claims is what a token for trying things out says.
type Claims struct {
	User             string
	Scope            string // words with a blank between them; "" for none
	Issuer, Audience string // "" for none
	IssuedAt         time.Time
	Expires          time.Duration // from IssuedAt on
}

// Sign makes a token with a secret (HS256).
func Sign(secret string, c Claims) (string, error) {
	body := jwt.MapClaims{"sub": c.User, "iat": c.IssuedAt.Unix(), "exp": c.IssuedAt.Add(c.Expires).Unix()}
	for name, value := range map[string]string{"iss": c.Issuer, "aud": c.Audience, "scope": c.Scope} {
		if value != "" {
			body[name] = value
		}
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, body).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return token, nil
}
