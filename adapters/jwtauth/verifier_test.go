package jwtauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"millrace/adapters/jwtauth"
	"millrace/app/order"
	"millrace/domain/fault"
)

const secret = "Vq8-zT1k-Vq8-zT1k-Vq8-zT1k-Vq8-zT1k"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// usual is what a good token says; with changes some of it, nil takes a claim away.
func usual(changes map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"sub": "usr_001", "iss": "https://idp.example", "aud": []string{"other", "millrace"},
		"iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func signed(t *testing.T, method jwt.SigningMethod, key any, header, changes map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, usual(changes))
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withSecret is a Verifier that wants everything that can be wanted, at noon.
func withSecret(t *testing.T) *jwtauth.Verifier {
	t.Helper()
	v, err := jwtauth.New(jwtauth.Config{
		Secret: secret, Issuer: "https://idp.example", Audience: "millrace", Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// refuses checks that the token is not taken, with words that say why and show nothing of it.
func refuses(t *testing.T, v *jwtauth.Verifier, name, token, why string) {
	t.Helper()
	caller, err := v.Verify(t.Context(), token)
	f, ok := fault.Find(err)
	switch {
	case !ok || f.Kind != fault.Invalid || f.Code != "invalid_token" || caller != (order.Caller{}):
		t.Errorf("%s is taken: %v", name, err)
	case !strings.Contains(f.Detail, why) || strings.ContainsAny(f.Detail, `"\`):
		t.Errorf("%s: %q does not say %q", name, f.Detail, why)
	}
	for part := range strings.SplitSeq(token, ".") {
		if err != nil && len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q shows the token", name, err)
		}
	}
}

func takes(t *testing.T, v *jwtauth.Verifier, name, token, user string, all bool) {
	t.Helper()
	caller, err := v.Verify(t.Context(), token)
	if err != nil || caller.ActsFor(user) != nil || (caller.ActsFor("somebody_else") == nil) != all {
		t.Errorf("%s: %+v, %v", name, caller, err)
	}
}

func TestAGoodTokenNamesItsUserAndWhetherTheyAreAnOperator(t *testing.T) {
	t.Parallel()
	v := withSecret(t)
	for scope, all := range map[any]bool{nil: false, "": false, "profile orders": false, "orders:allow": false, "orders:all": true, "profile orders:all mail": true} {
		takes(t, v, "a good token", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"scope": scope}), "usr_001", all)
	}
	takes(t, v, "a claim that is not scope", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"Scope": "orders:all"}), "usr_001", false)
	takes(t, v, "an audience of one", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"aud": "millrace"}), "usr_001", false)
}

func TestEveryFlawOfATokenIsRefusedAndNamed(t *testing.T) {
	t.Parallel()
	v := withSecret(t)
	claims := func(changes map[string]any) string {
		return signed(t, jwt.SigningMethodHS256, []byte(secret), nil, changes)
	}
	claim := func(name string, value any) string { return claims(map[string]any{name: value}) }
	good := claim("jti", "1")
	header, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"usr_002","iss":"https://idp.example","aud":"millrace","exp":4000000000}`))
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, usual(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(n int) int64 { return noon.Add(time.Duration(n) * time.Second).Unix() }
	for name, c := range map[string]struct{ token, why string }{
		"nothing":                  {"", "can be read"},
		"a word":                   {"token", "can be read"},
		"four parts":               {good + ".x", "can be read"},
		"no JSON":                  {"e30.e3.e30", "can be read"},
		"alg none":                 {none, "algorithm"},
		"alg none, signed":         {strings.TrimSuffix(none, ".") + "." + signature, "algorithm"},
		"another HMAC":             {signed(t, jwt.SigningMethodHS512, []byte(secret), nil, nil), "algorithm"},
		"a key pair of their own":  {signed(t, jwt.SigningMethodEdDSA, edwards, nil, nil), "algorithm"},
		"another secret":           {signed(t, jwt.SigningMethodHS256, []byte(secret+"x"), nil, nil), "signature"},
		"other claims":             {header + "." + forged + "." + signature, "signature"},
		"no signature":             {header + "." + body + ".", "signature"},
		"an unknown extension":     {signed(t, jwt.SigningMethodHS256, []byte(secret), map[string]any{"crit": []string{"exp2"}}, nil), "crit"},
		"another issuer":           {claim("iss", "https://idp.example/other"), "iss"},
		"no issuer":                {claim("iss", nil), "iss"},
		"another audience":         {claim("aud", []string{"other"}), "aud"},
		"no audience":              {claim("aud", nil), "aud"},
		"expired":                  {claim("exp", seconds(0)), "expired"},
		"expired for a second":     {claim("exp", seconds(-1)), "expired"},
		"no exp":                   {claim("exp", nil), "exp"},
		"exp as text":              {claim("exp", "tomorrow"), "kind"},
		"not valid yet":            {claim("nbf", seconds(31)), "nbf"},
		"from the future":          {claim("iat", seconds(31)), "iat"},
		"no sub":                   {claim("sub", nil), "sub"},
		"an empty sub":             {claim("sub", ""), "sub"},
		"a sub with a blank":       {claim("sub", "usr 001"), "sub"},
		"a sub that is a path":     {claim("sub", "../usr_001"), "sub"},
		"a sub that is too long":   {claim("sub", strings.Repeat("u", 65)), "sub"},
		"a sub that is a number":   {claim("sub", 7), "kind"},
		"a scope that is no text":  {claim("scope", map[string]bool{"orders:all": true}), "kind"},
		"an exp in capitals":       {claims(map[string]any{"exp": nil, "EXP": seconds(60)}), "exp"},
		"a sub in capitals":        {claims(map[string]any{"sub": nil, "SUB": "usr_003"}), "sub"},
		"a signature with padding": {good + "=", "can be read"},
	} {
		refuses(t, v, name, c.token, c.why)
	}
}

func TestClocksMayDifferByHalfAMinuteButNothingOutlivesItsEnd(t *testing.T) {
	t.Parallel()
	v := withSecret(t)
	ahead := noon.Add(30 * time.Second).Unix()
	takes(t, v, "a token of a clock ahead", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"iat": ahead, "nbf": ahead}), "usr_001", false)
	takes(t, v, "a token in its last second", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"exp": noon.Add(time.Second).Unix()}), "usr_001", false)
	takes(t, v, "one without iat and nbf", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"iat": nil, "nbf": nil}), "usr_001", false)
}

func TestIssuerAndAudienceAreAskedForWhereTheyAreSet(t *testing.T) {
	t.Parallel()
	v, err := jwtauth.New(jwtauth.Config{Secret: secret, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	takes(t, v, "a token of nobody for nobody", signed(t, jwt.SigningMethodHS256, []byte(secret), nil, map[string]any{"iss": nil, "aud": nil}), "usr_001", false)
}

func TestASignedTokenIsTakenByWhoHasTheSameSettings(t *testing.T) {
	t.Parallel()
	claims := jwtauth.Claims{User: "usr_007", Scope: "orders:all", Issuer: "https://idp.example", Audience: "millrace", IssuedAt: noon, Expires: time.Minute}
	token, err := jwtauth.Sign(secret, claims)
	if err != nil {
		t.Fatal(err)
	}
	v := withSecret(t)
	takes(t, v, "a signed token", token, "usr_007", true)
	claims.Scope, claims.Issuer, claims.Audience = "", "", ""
	if token, err = jwtauth.Sign(secret, claims); err != nil {
		t.Fatal(err)
	}
	refuses(t, v, "one without an issuer", token, "iss")
}

func TestThereIsOneWayToCheckATokenAndNotTwo(t *testing.T) {
	t.Parallel()
	for _, cfg := range []jwtauth.Config{{}, {Secret: secret, JWKSURL: "https://idp.example/keys"}} {
		if _, err := jwtauth.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

func TestWithASecretThereIsNothingToFetch(t *testing.T) {
	t.Parallel()
	v := withSecret(t)
	if err := v.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Run(ctx); err != nil {
		t.Error(err)
	}
}

// pair is a key of an identity provider.
type pair struct {
	id     string
	method jwt.SigningMethod
	signer crypto.Signer
}

func pairs(t *testing.T) (rs, es, ed pair) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair{"rs", jwt.SigningMethodRS256, r}, pair{"es", jwt.SigningMethodES256, e}, pair{"ed", jwt.SigningMethodEdDSA, d}
}

func (p pair) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	return signed(t, p.method, p.signer, map[string]any{"kid": p.id}, changes)
}
