package jwtauth_test

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"millrace/adapters/jwtauth"
	"millrace/domain/fault"
)

// provider publishes keys, and counts how often it is asked.
type provider struct {
	mu    sync.Mutex
	set   jwkset.JWKSMarshal
	away  bool
	asked int
}

func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.away {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(p.set)
}

// RoundTrip answers without a network, so that time can be the test's own.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

func (p *provider) publishes(t *testing.T, keys ...jwkset.JWKMarshal) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = jwkset.JWKSMarshal{Keys: keys}
}

func (p *provider) goes(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// public is what a provider publishes of a key.
func (p pair) public(t *testing.T, use jwkset.USE) jwkset.JWKMarshal {
	t.Helper()
	key, err := jwkset.NewJWKFromKey(p.signer.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: p.id, USE: use}})
	if err != nil {
		t.Fatal(err)
	}
	return key.Marshal()
}

func withKeys(t *testing.T, cfg jwtauth.Config) *jwtauth.Verifier {
	t.Helper()
	if cfg.JWKSURL == "" {
		cfg.JWKSURL = "https://idp.example/keys"
	}
	v, err := jwtauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// runs fetches the keys until the test ends. It is called inside of a synctest bubble.
func runs(t *testing.T, v *jwtauth.Verifier) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

// publishing is a provider of keys, and a Verifier that has fetched them. It is called inside of a synctest bubble.
func publishing(t *testing.T, keys ...jwkset.JWKMarshal) (*provider, *jwtauth.Verifier) {
	t.Helper()
	p := &provider{}
	p.publishes(t, keys...)
	v := withKeys(t, jwtauth.Config{Transport: p})
	runs(t, v)
	return p, v
}

// now makes a token hold in the bubble's time.
func now() map[string]any {
	return map[string]any{"iat": nil, "nbf": nil, "exp": time.Now().Add(time.Hour).Unix()}
}

func unavailable(t *testing.T, v *jwtauth.Verifier, token string) {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	var later interface{ RetryAfter() time.Duration }
	if f, ok := fault.Find(err); !ok || f.Kind != fault.Unavailable || f.Code != "token_keys_unavailable" || !errors.As(err, &later) || later.RetryAfter() < time.Second {
		t.Errorf("want that nobody can tell, got %v", err)
	}
}

func TestTokensOfAProviderAreCheckedWithItsPublishedKeys(t *testing.T) {
	t.Parallel()
	rs, es, ed := pairs(t)
	synctest.Test(t, func(t *testing.T) {
		_, v := publishing(t, rs.public(t, jwkset.UseSig), es.public(t, ""), ed.public(t, jwkset.UseSig))
		for _, key := range []pair{rs, es, ed} {
			takes(t, v, key.id, key.token(t, now()), "usr_001", false)
			tampered := key.token(t, now())
			refuses(t, v, key.id+" tampered with", tampered[:len(tampered)-10]+"AAAAAAAAAA", "signature")
		}
		expired := now()
		expired["exp"] = time.Now().Unix()
		refuses(t, v, "expired", rs.token(t, expired), "expired")
	})
}

// A public key is known to everybody: taken as a secret it would let anybody sign.
func TestAPublishedKeyIsNeverASecret(t *testing.T) {
	t.Parallel()
	rs, es, ed := pairs(t)
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		symmetric := jwkset.JWKMarshal{KTY: jwkset.KtyOct, KID: "oct", K: "VnE4LXpUMWstVnE4LXpUMWstVnE4LXpUMWstVnE4LXpUMWs"}
		encrypts := es
		encrypts.id = "enc"
		p.publishes(t, rs.public(t, jwkset.UseSig), ed.public(t, jwkset.UseSig), encrypts.public(t, jwkset.UseEnc), symmetric)
		v := withKeys(t, jwtauth.Config{Transport: p})
		runs(t, v)
		der, err := x509.MarshalPKIXPublicKey(rs.signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		public, _ := rs.signer.Public().(*rsa.PublicKey)
		for name, key := range map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "modulus": public.N.Bytes(),
		} {
			refuses(t, v, "HS256 with the "+name, signed(t, jwt.SigningMethodHS256, key, map[string]any{"kid": "rs"}, now()), "algorithm")
		}
		refuses(t, v, "HS256 with a published secret", signed(t, jwt.SigningMethodHS256, []byte(secret), map[string]any{"kid": "oct"}, now()), "algorithm")
		none, err := jwt.NewWithClaims(jwt.SigningMethodNone, usual(now())).SignedString(jwt.UnsafeAllowNoneSignatureType)
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, v, "alg none", none, "algorithm")
		refuses(t, v, "another RSA algorithm", signed(t, jwt.SigningMethodRS512, rs.signer, map[string]any{"kid": "rs"}, now()), "algorithm")
		refuses(t, v, "PSS", signed(t, jwt.SigningMethodPS256, rs.signer, map[string]any{"kid": "rs"}, now()), "algorithm")
		refuses(t, v, "the id of another key", signed(t, ed.method, ed.signer, map[string]any{"kid": "rs"}, now()), "signature")
		refuses(t, v, "no key id", signed(t, rs.method, rs.signer, nil, now()), "kid")
		refuses(t, v, "a key id that is no text", signed(t, rs.method, rs.signer, map[string]any{"kid": 7}, now()), "key")
		refuses(t, v, "a key that is for encryption", encrypts.token(t, now()), "key")
	})
}

func TestAKeyThatTheProviderBeginsToUseIsFetchedAndAWithdrawnOneForgotten(t *testing.T) {
	t.Parallel()
	old, next, _ := pairs(t)
	synctest.Test(t, func(t *testing.T) {
		p, v := publishing(t, old.public(t, jwkset.UseSig))
		takes(t, v, "the first key", old.token(t, now()), "usr_001", false)

		time.Sleep(time.Minute)
		p.publishes(t, next.public(t, jwkset.UseSig))
		takes(t, v, "the next key, at once", next.token(t, now()), "usr_001", false)
		unavailable(t, v, old.token(t, now())) // the provider was asked just now: it may be newer than the answer
		time.Sleep(2 * time.Second)
		refuses(t, v, "the withdrawn key", old.token(t, now()), "key")

		p.publishes(t, old.public(t, jwkset.UseSig))
		time.Sleep(5 * time.Minute) // nobody asks for a key that is not known
		synctest.Wait()
		refuses(t, v, "the next key, once it is withdrawn", next.token(t, now()), "key")
		takes(t, v, "the first key again", old.token(t, now()), "usr_001", false)
	})
}

// A key may come a moment after the provider was asked, by the loop or for an id that somebody made up.
func TestATokenOfAKeyThatIsNewerThanTheLastAnswerIsNotCalledWrong(t *testing.T) {
	t.Parallel()
	old, next, _ := pairs(t)
	synctest.Test(t, func(t *testing.T) {
		p, v := publishing(t, old.public(t, jwkset.UseSig))
		p.publishes(t, old.public(t, jwkset.UseSig), next.public(t, jwkset.UseSig))
		unavailable(t, v, next.token(t, now()))
		time.Sleep(2 * time.Second) // as Retry-After says
		takes(t, v, "the new key", next.token(t, now()), "usr_001", false)
	})
}

func TestAKeyThatCannotBeUsedKeepsNoOtherFromBeingUsed(t *testing.T) {
	t.Parallel()
	good, _, _ := pairs(t)
	key, err := json.Marshal(good.public(t, jwkset.UseSig))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"a modulus that is none": `{"kty":"RSA","kid":"bad","n":"!","e":"AQAB"}`, "another kind": `{"kty":"XX","kid":"bad"}`,
		"members of another kind": `{"kty":7}`, "no object": `"key"`,
	} {
		synctest.Test(t, func(t *testing.T) {
			v := withKeys(t, jwtauth.Config{Transport: says(`{"keys":[` + bad + "," + string(key) + "]}")})
			runs(t, v)
			if err := v.Ready(t.Context()); err != nil {
				t.Errorf("beside %s: %v", name, err)
			}
			takes(t, v, "beside "+name, good.token(t, now()), "usr_001", false)
		})
	}
}

func TestMadeUpKeyIDsDoNotBecomeALoadOnTheProvider(t *testing.T) {
	t.Parallel()
	rs, es, _ := pairs(t)
	synctest.Test(t, func(t *testing.T) {
		p, v := publishing(t, rs.public(t, jwkset.UseSig))
		time.Sleep(time.Minute)
		before := p.count()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := v.Verify(t.Context(), es.token(t, now())); err == nil {
					t.Error("a key id made up is taken")
				}
			})
		}
		all.Wait()
		if n := p.count() - before; n != 1 {
			t.Errorf("the provider was asked %d times", n)
		}
		takes(t, v, "a good token meanwhile", rs.token(t, now()), "usr_001", false)
	})
}

func TestWhileTheProviderIsAwayNobodyIsToldThatTheirTokenIsWrong(t *testing.T) {
	t.Parallel()
	rs, es, _ := pairs(t)
	synctest.Test(t, func(t *testing.T) {
		p := &provider{away: true}
		p.publishes(t, rs.public(t, jwkset.UseSig))
		var log strings.Builder
		v := withKeys(t, jwtauth.Config{Transport: p, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		unavailable(t, v, rs.token(t, now()))
		runs(t, v)
		unavailable(t, v, rs.token(t, now()))
		if v.Ready(t.Context()) == nil {
			t.Error("it is ready without keys")
		}
		time.Sleep(time.Hour)
		if n := p.count(); n < 60 || n > 400 {
			t.Errorf("it was asked %d times in an hour", n)
		}
		p.goes(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if err := v.Ready(t.Context()); err != nil {
			t.Errorf("it is back: %v", err)
		}
		takes(t, v, "a good token", rs.token(t, now()), "usr_001", false)

		p.goes(true)
		time.Sleep(time.Hour)
		takes(t, v, "a token of a key that was fetched before", rs.token(t, now()), "usr_001", false)
		unavailable(t, v, es.token(t, now())) // it may be a new key
		synctest.Wait()                       // for what is logged
		if !strings.Contains(log.String(), "not fetched") || strings.Contains(log.String(), "eyJ") {
			t.Errorf("the log has %s", log.String())
		}
	})
}

func TestWhatIsNoSetOfKeysIsAProviderThatIsAway(t *testing.T) {
	t.Parallel()
	rs, _, _ := pairs(t)
	for name, body := range map[string]string{
		"no JSON": "<html>", "no keys": `{"keys":[]}`, "a key of an unknown kind alone": `{"keys":[{"kty":"XX","kid":"a"}]}`,
		"more than is ever read": `{"keys":[` + strings.Repeat(" ", 2<<20) + `]}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			v := withKeys(t, jwtauth.Config{Transport: says(body)})
			runs(t, v)
			if v.Ready(t.Context()) == nil {
				t.Errorf("%s is taken", name)
			}
			unavailable(t, v, rs.token(t, now()))
		})
	}
}

type says string

func (s says) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(s)))}, nil
}

// Over a real connection, as a service has it.
func TestKeysAreFetchedOverHTTPAndFollowTheProvider(t *testing.T) {
	t.Parallel()
	rs, es, _ := pairs(t)
	p := &provider{}
	p.publishes(t, rs.public(t, jwkset.UseSig))
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	later := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return later }
	v := withKeys(t, jwtauth.Config{JWKSURL: server.URL, Now: clock})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	for v.Ready(ctx) != nil {
		select {
		case err := <-done:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	takes(t, v, "the first key", rs.token(t, now()), "usr_001", false)
	p.publishes(t, es.public(t, jwkset.UseSig))
	mu.Lock()
	later = later.Add(time.Minute)
	mu.Unlock()
	takes(t, v, "the next key", es.token(t, now()), "usr_001", false)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
