// Package jwtauth tells callers of the API by their JSON Web Tokens (RFC 7519): signed with a secret (HS256), or with a
// key of an identity provider that publishes them as a JWK Set (RFC 7517). It also signs tokens for trying things out.
//
// What a caller may do is not decided here, see app/order. No token, and nothing of one, may be logged or stand in an
// error.
package jwtauth
