package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"millrace/adapters/config"
	"millrace/adapters/jwtauth"
	"millrace/ports/cli"
	"millrace/ports/httpapi"
)

// askForTokens has the gateway and the order service tell their callers by tokens, where AUTH_MODE says so. Both check
// them: whoever gets to the order service past the gateway is no more to be believed.
func (s *stack) askForTokens(c *config.Config) error {
	if c.AuthMode != "jwt" {
		return nil
	}
	verifier, err := jwtauth.New(jwtauth.Config{
		Secret: c.JWT.Secret, JWKSURL: c.JWT.JWKSURL, Issuer: c.JWT.Issuer, Audience: c.JWT.Audience, Logger: s.process.logger,
	})
	if err != nil {
		return err
	}
	s.verifier = verifier
	return nil
}

// callers is what checks tokens, with what /readyz asks of it; nothing where nobody is asked who they are. The first to
// ask for it has the keys fetched.
func (s *stack) callers() (httpapi.Verifier, []httpapi.Check) {
	if s.verifier == nil {
		return nil, nil
	}
	if !s.fetching {
		s.fetching = true
		s.process.accepting = append(s.process.accepting, part{"keys of tokens", s.verifier.Run})
	}
	return s.verifier, []httpapi.Check{{Name: "token keys", Ready: s.verifier.Ready}}
}

// examineTokens says by what callers are told.
func examineTokens(ctx context.Context, c *config.Config) []finding {
	const name = "tokens"
	switch {
	case c.AuthMode != "jwt":
		return nil // an open gateway is one of the unsafe settings
	case c.RequireTokenKey() != nil:
		return []finding{{Name: name, State: warn, Detail: "signed with the demonstration's secret, which `millrace up` alone takes", Advice: "set JWT_SECRET or JWT_JWKS_URL"}}
	case c.JWT.JWKSURL == "":
		return []finding{{Name: name, State: ok, Detail: "signed with JWT_SECRET"}}
	}
	return []finding{examine(name, config.WithoutPassword(c.JWT.JWKSURL), "check JWT_JWKS_URL", ask(ctx, c.JWT.JWKSURL))}
}

// signToken makes a token for trying AUTH_MODE=jwt out, with the secret that the services of this environment have.
func signToken(o cli.TokenOptions, now time.Time) (cli.Token, error) {
	c, err := config.Load(".", os.Environ())
	if err != nil {
		return cli.Token{}, err
	}
	secret := cmp.Or(c.JWT.Secret, config.DemoSecret)
	switch {
	case c.JWT.JWKSURL != "":
		return cli.Token{}, errors.New("JWT_JWKS_URL is set, so tokens come from your identity provider: ask it for one")
	case c.Production() && secret == config.DemoSecret:
		return cli.Token{}, cli.WithCode(cli.Refused, errors.New("MILLRACE_ENV is production, which takes no token of the demonstration: set JWT_SECRET as the services have it"))
	}
	token, err := jwtauth.Sign(secret, jwtauth.Claims{
		User: o.User, Scope: o.Scope, Issuer: c.JWT.Issuer, Audience: c.JWT.Audience, IssuedAt: now, Expires: o.Expires,
	})
	return cli.Token{Token: token, Demo: secret == config.DemoSecret}, err
}
