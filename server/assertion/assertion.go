// Package assertion reads and verifies signed JWTs that others present (RFC 7521, RFC 7523).
package assertion

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
)

// Assertion is a signed JWT in which a client, or another party that the server trusts, makes a
// statement (RFC 7523). Do not rely on any of it before [Assertion.VerifyBy].
type Assertion struct {
	// Issuer is the party that makes the statement ("iss").
	Issuer string
	// Subject is the party that the statement is about ("sub").
	Subject string
	// ID distinguishes the assertion from others of the same issuer ("jti").
	ID string
	// ExpiresAt is when the assertion expires ("exp").
	ExpiresAt time.Time
	// Claims are all claims of the assertion.
	Claims map[string]json.RawMessage

	signed    *jose.JSONWebSignature
	audience  jwt.Audience
	expiresAt jwt.NumericDate
	notBefore jwt.NumericDate
	issuedAt  jwt.NumericDate
}

// Limits of an assertion.
const (
	maxAssertion       = 16 << 10
	maxAssertionLife   = time.Hour
	maxAssertionIDSize = 512
	assertionLeeway    = 30 * time.Second // allowed difference between clocks
)

// Parse parses an assertion that is signed by one of the algorithms. If algorithms is
// nil, those of [jwk.SignatureAlgorithms] are accepted. The signature is not verified. The error is a
// [*reason.Reason].
func Parse(text string, algorithms []jose.SignatureAlgorithm) (*Assertion, error) {
	if len(text) > maxAssertion {
		return nil, reason.New("the JWT is too long")
	}
	if algorithms == nil {
		algorithms = jwk.SignatureAlgorithms()
	}
	signed, err := ParseSigned(text, algorithms)
	if err != nil {
		return nil, err
	}
	a := &Assertion{signed: signed}
	if a.Claims, err = strictjson.Object(signed.UnsafePayloadWithoutVerification()); err != nil {
		return nil, reason.New("the claims of the JWT are malformed", slog.String("fault", err.Error()))
	}
	for name, into := range map[string]any{
		"iss": &a.Issuer, "sub": &a.Subject, "aud": &a.audience, "jti": &a.ID, "exp": &a.expiresAt, "nbf": &a.notBefore, "iat": &a.issuedAt,
	} {
		if value, ok := a.Claims[name]; ok && strictjson.Unmarshal(value, into) != nil {
			return nil, reason.New("a claim of the JWT is malformed", slog.String("claim", name))
		}
	}
	a.ExpiresAt = a.expiresAt.Time()
	return a, nil
}

// ParseSigned parses a JWT without verifying it. The error is a [*reason.Reason].
func ParseSigned(text string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	signed, err := jwt.ParseSigned(text, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	var critical *jwt.CriticalError
	switch {
	case errors.As(err, &critical):
		return nil, reason.New("the JWT has a critical header parameter that is not supported", slog.String("crit", critical.Names))
	case errors.As(err, &algorithm):
		return nil, reason.New("the signature algorithm of the JWT is not accepted", slog.String("algorithm", string(algorithm.Got)))
	case err != nil:
		return nil, reason.New("the JWT is malformed", slog.String("fault", err.Error()))
	}
	return signed, nil
}

// CheckFor returns nil if the assertion is valid now and its only audience is one of ours, the names
// of this server. With several audiences, each of them could present the assertion to the others. The
// error is a [*reason.Reason].
func (a *Assertion) CheckFor(now time.Time, ours ...string) error {
	switch {
	case len(a.audience) != 1 || a.audience[0] == "" || !slices.Contains(ours, a.audience[0]):
		return a.wrongAudience()
	case a.Issuer == "":
		return reason.New("the JWT has no 'iss'")
	case a.Subject == "":
		return reason.New("the JWT has no 'sub'")
	case a.ID == "":
		return reason.New("the JWT has no 'jti'")
	}
	return a.CheckCurrent(now)
}

// wrongAudience is the reason for refusing an assertion that is addressed to another party, or to
// others as well.
func (a *Assertion) wrongAudience() *reason.Reason {
	return reason.New("the 'aud' of the JWT does not name this server alone", slog.String("audience", strings.Join(a.audience, " ")))
}

// IsAddressedTo reports whether audience is among the audiences of the assertion.
func (a *Assertion) IsAddressedTo(audience string) bool { return slices.Contains(a.audience, audience) }

// Audience returns the audiences of the assertion.
func (a *Assertion) Audience() []string { return a.audience }

// CheckCurrent returns nil if the assertion is valid now and its lifetime is at most one hour,
// counted both from now and from its "iat" and "nbf". The error is a [*reason.Reason].
func (a *Assertion) CheckCurrent(now time.Time) error {
	if err := a.CheckTimely(now); err != nil {
		return err
	}
	if a.expiresAt == 0 || int64(a.expiresAt) > now.Add(maxAssertionLife).Unix() {
		return reason.New("the JWT has no 'exp' within the hour", slog.Int64("exp", int64(a.expiresAt)))
	}
	for claim, begins := range map[string]jwt.NumericDate{"nbf": a.notBefore, "iat": a.issuedAt} {
		if a.Has(claim) && int64(a.expiresAt-begins) > int64((maxAssertionLife+assertionLeeway)/time.Second) {
			return reason.New("the JWT is valid for more than an hour", slog.Int64("exp", int64(a.expiresAt)), slog.Int64(claim, int64(begins)))
		}
	}
	return nil
}

// Has reports whether the assertion has a claim with a value other than null.
func (a *Assertion) Has(claim string) bool {
	raw, given := a.Claims[claim]
	return given && string(raw) != "null"
}

// CheckTimely returns nil if now is within the times that the assertion states. An assertion that
// states none is always valid here, unlike in [Assertion.CheckCurrent]. The error is a [*reason.Reason].
func (a *Assertion) CheckTimely(now time.Time) error {
	_, ends := a.Claims["exp"] // null counts as an expiry that cannot be read
	latest := now.Add(assertionLeeway).Unix()
	switch {
	case len(a.ID) > maxAssertionIDSize:
		return reason.New("the 'jti' of the JWT is too long")
	case ends && now.Add(-assertionLeeway).Unix() >= int64(a.expiresAt):
		return reason.New("the JWT has expired", slog.Int64("exp", int64(a.expiresAt)))
	case int64(a.notBefore) > latest, int64(a.issuedAt) > latest:
		return reason.New("the JWT is not valid yet", slog.Int64("nbf", int64(a.notBefore)), slog.Int64("iat", int64(a.issuedAt)))
	}
	return nil
}

// Algorithm returns the algorithm of the signature.
func (a *Assertion) Algorithm() string { return a.signed.Signatures[0].Header.Algorithm }

// KeyID returns the key id in the header, or "" if there is none.
func (a *Assertion) KeyID() string { return a.signed.Signatures[0].Header.KeyID }

// Type returns the media type in the header ("typ"), in lower case and without the prefix
// "application/", which may be omitted (RFC 7515 section 4.1.9). It returns "" if the header has
// no type.
func (a *Assertion) Type() string { return jwt.Type(a.signed.Signatures[0].Header) }

// CheckType returns nil if the header has no type, the type "JWT", or one of the others, which
// are written as [Assertion.Type] returns them. A JWT of another type, such as a logout token or
// an access token, was made for a different purpose and is not accepted as an assertion (RFC 8725
// sections 3.11 and 3.12). The error is a [*reason.Reason].
func (a *Assertion) CheckType(others ...string) error {
	typ := a.Type()
	if typ == "" || typ == "jwt" || slices.ContainsFunc(others, func(other string) bool {
		return jwt.TypeName(other) == typ
	}) {
		return nil
	}
	return reason.New("the JWT has the wrong 'typ'", slog.String("typ", typ))
}

// ReplayKey returns the key by which the assertion is remembered as used: its issuer and id, or
// its issuer and a digest of its claims if it has no id. No two issuers share a key, whatever
// their names.
func (a *Assertion) ReplayKey() string {
	if a.ID == "" {
		return fmt.Sprintf("assertion %q without an id %s", a.Issuer, secret.Digest(string(a.signed.UnsafePayloadWithoutVerification())))
	}
	return fmt.Sprintf("assertion %q %q", a.Issuer, a.ID)
}

// RememberUntil returns the time from which the assertion, which must have an expiry, would be
// refused as expired anyway.
func (a *Assertion) RememberUntil() time.Time { return a.ExpiresAt.Add(assertionLeeway) }

// VerifyWith returns nil if the signature was made with the shared secret. The error is a
// [*reason.Reason].
func (a *Assertion) VerifyWith(secret []byte) error {
	if _, err := a.signed.Verify(secret); err != nil {
		return a.wrongSignature()
	}
	return nil
}

// VerifyBy is [Assertion.VerifyByKeys] for a JWK Set as JSON.
func (a *Assertion) VerifyBy(keySet []byte) error {
	keys, err := jwk.ParseSet(keySet)
	if err != nil {
		return reason.New("the key set is malformed", slog.String("fault", err.Error()))
	}
	return a.VerifyByKeys(keys)
}

// VerifyByKeys returns nil if the signature was made by one of the public keys. If the header has
// a key id, only the key with that id, or one without an id, is tried. A nil key set has no keys.
// The error is a [*reason.Reason].
func (a *Assertion) VerifyByKeys(keys *jose.JSONWebKeySet) error {
	if keys == nil {
		return reason.New("there are no keys")
	}
	if len(keys.Keys) > jwk.MaxKeys {
		return reason.New("the key set has too many keys", slog.Int("keys", len(keys.Keys)))
	}
	header, tried := a.signed.Signatures[0].Header, false
	for _, key := range keys.Keys {
		named := header.KeyID == "" || key.KeyID == "" || key.KeyID == header.KeyID
		meant := (key.Algorithm == "" || key.Algorithm == header.Algorithm) && !strings.EqualFold(key.Use, "enc")
		if !named || !meant || !jwk.IsKeyFor(key, jose.SignatureAlgorithm(header.Algorithm)) {
			continue
		}
		tried = true
		if _, err := a.signed.Verify(key); err == nil {
			return nil
		}
	}
	if !tried {
		return reason.New("the key set has no key of this 'kid' and algorithm", slog.String("kid", header.KeyID), slog.String("algorithm", header.Algorithm))
	}
	return a.wrongSignature()
}

func (a *Assertion) wrongSignature() *reason.Reason {
	return reason.New("the signature of the JWT is wrong", slog.String("kid", a.KeyID()), slog.String("algorithm", a.Algorithm()))
}
