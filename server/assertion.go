package server

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
)

// Assertion is a signed JWT by which a client, or somebody whom the server
// trusts, says something (RFC 7523). Nothing in it is true before
// [Assertion.VerifyBy].
type Assertion struct {
	// Issuer is who says it.
	Issuer string
	// Subject is whom it is about.
	Subject string
	// ID tells it from others of the issuer.
	ID string
	// ExpiresAt is when it ends.
	ExpiresAt time.Time
	// Claims are all of its claims.
	Claims map[string]json.RawMessage

	signed    *jose.JSONWebSignature
	audience  jwt.Audience
	expiresAt NumericDate
	notBefore NumericDate
	issuedAt  NumericDate
}

// Limits of an assertion.
const (
	maxAssertion       = 16 << 10
	maxAssertionLife   = time.Hour
	maxAssertionIDSize = 512
	maxAssertionKeys   = 20
	assertionLeeway    = 30 * time.Second // by which clocks may differ
)

// ParseAssertion reads an assertion that is signed by one of the algorithms, nil
// being [SignatureAlgorithms]. The error is a [*Reason].
func ParseAssertion(text string, algorithms []jose.SignatureAlgorithm) (*Assertion, error) {
	if len(text) > maxAssertion {
		return nil, NewReason("the JWT is too long")
	}
	if algorithms == nil {
		algorithms = SignatureAlgorithms()
	}
	signed, err := parseSigned(text, algorithms)
	if err != nil {
		return nil, err
	}
	a := &Assertion{signed: signed}
	if a.Claims, err = strictjson.Object(signed.UnsafePayloadWithoutVerification()); err != nil {
		return nil, NewReason("the claims of the JWT are malformed", slog.String("fault", err.Error()))
	}
	for name, into := range map[string]any{
		"iss": &a.Issuer, "sub": &a.Subject, "aud": &a.audience, "jti": &a.ID, "exp": &a.expiresAt, "nbf": &a.notBefore, "iat": &a.issuedAt,
	} {
		if value, ok := a.Claims[name]; ok && strictjson.Unmarshal(value, into) != nil {
			return nil, NewReason("a claim of the JWT is malformed", slog.String("claim", name))
		}
	}
	a.ExpiresAt = a.expiresAt.Time()
	return a, nil
}

// parseSigned reads a JWT. The error is a [*Reason].
func parseSigned(text string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	signed, err := jwt.ParseSigned(text, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	var critical *jwt.CriticalError
	switch {
	case errors.As(err, &critical):
		return nil, NewReason("the JWT has a critical header parameter that is not understood", slog.String("crit", critical.Names))
	case errors.As(err, &algorithm):
		return nil, NewReason("the JWT is signed by an algorithm that is not taken", slog.String("algorithm", string(algorithm.Got)))
	case err != nil:
		return nil, NewReason("the JWT is malformed", slog.String("fault", err.Error()))
	}
	return signed, nil
}

// CheckFor returns nil for an assertion that is valid at the request's time, and for
// this server and nobody else: another one to which it was shown could pass it
// on otherwise. An [AssertionHook] may ask for more. The error is a [*Reason].
func (a *Assertion) CheckFor(req *Request) error {
	ours := []string{req.Server.Issuer(), req.Server.EndpointURL(tokenEndpoint), req.Server.EndpointURL(req.Endpoint)}
	switch {
	case len(a.audience) != 1 || a.audience[0] == "" || !slices.Contains(ours, a.audience[0]):
		return a.wrongAudience()
	case a.Issuer == "":
		return NewReason("the JWT has no 'iss'")
	case a.Subject == "":
		return NewReason("the JWT has no 'sub'")
	case a.ID == "":
		return NewReason("the JWT has no 'jti'")
	}
	if err := a.CheckCurrent(req.Time); err != nil {
		return err
	}
	return each(req, func(hook AssertionHook) error { return hook.CheckAssertion(req, a) })
}

// wrongAudience is why an assertion is refused that is for somebody else, or for others
// as well.
func (a *Assertion) wrongAudience() *Reason {
	return NewReason("the 'aud' of the JWT is not this server alone", slog.String("audience", strings.Join(a.audience, " ")))
}

// IsAddressedTo reports whether the audience is among those for whom the
// assertion is.
func (a *Assertion) IsAddressedTo(audience string) bool { return slices.Contains(a.audience, audience) }

// Audience returns those for whom the assertion is.
func (a *Assertion) Audience() []string { return a.audience }

// CheckCurrent returns nil for an assertion that is valid now, and is so for an hour at
// most: from now on, and from when it says that it was made or is valid. The error is a
// [*Reason].
func (a *Assertion) CheckCurrent(now time.Time) error {
	if err := a.CheckTimely(now); err != nil {
		return err
	}
	if a.expiresAt == 0 || int64(a.expiresAt) > now.Add(maxAssertionLife).Unix() {
		return NewReason("the JWT has no 'exp' within the hour", slog.Int64("exp", int64(a.expiresAt)))
	}
	for claim, begins := range map[string]NumericDate{"nbf": a.notBefore, "iat": a.issuedAt} {
		if a.Has(claim) && int64(a.expiresAt-begins) > int64((maxAssertionLife+assertionLeeway)/time.Second) {
			return NewReason("the JWT is valid for more than an hour", slog.Int64("exp", int64(a.expiresAt)), slog.Int64(claim, int64(begins)))
		}
	}
	return nil
}

// Has reports whether the assertion has a claim, and not null in its place.
func (a *Assertion) Has(claim string) bool {
	raw, given := a.Claims[claim]
	return given && string(raw) != "null"
}

// CheckTimely returns nil where now lies within the times that the assertion names. One
// that names none is valid at any time, which [Assertion.CheckCurrent] does not take.
// The error is a [*Reason].
func (a *Assertion) CheckTimely(now time.Time) error {
	_, ends := a.Claims["exp"] // null is an end that nobody can read
	latest := now.Add(assertionLeeway).Unix()
	switch {
	case len(a.ID) > maxAssertionIDSize:
		return NewReason("the 'jti' of the JWT is too long")
	case ends && now.Add(-assertionLeeway).Unix() >= int64(a.expiresAt):
		return NewReason("the JWT has expired", slog.Int64("exp", int64(a.expiresAt)))
	case int64(a.notBefore) > latest, int64(a.issuedAt) > latest:
		return NewReason("the JWT is not valid yet", slog.Int64("nbf", int64(a.notBefore)), slog.Int64("iat", int64(a.issuedAt)))
	}
	return nil
}

// Algorithm returns what it is signed by.
func (a *Assertion) Algorithm() string { return a.signed.Signatures[0].Header.Algorithm }

// KeyID returns the id of the key that it names, empty when it names none.
func (a *Assertion) KeyID() string { return a.signed.Signatures[0].Header.KeyID }

// Type returns the media type that its header names, in small letters and without
// "application/", which need not be written (RFC 7515 section 4.1.9). It is empty
// when the header names none.
func (a *Assertion) Type() string { return jwt.Type(a.signed.Signatures[0].Header) }

// CheckType returns nil where the header names no type, "JWT", or one of the others, written
// as by [Assertion.Type]. A JWT that was made for something else, such as a logout token or
// an access token, is no plain assertion (RFC 8725 sections 3.11 and 3.12). The error is a
// [*Reason].
func (a *Assertion) CheckType(others ...string) error {
	typ := a.Type()
	if typ == "" || typ == "jwt" || slices.ContainsFunc(others, func(other string) bool {
		return jwt.TypeName(other) == typ
	}) {
		return nil
	}
	return NewReason("the JWT is of another type", slog.String("typ", typ))
}

// ReplayKey is what the assertion is remembered by: its id, or else what it
// says. No two issuers share one, whatever they are called.
func (a *Assertion) ReplayKey() string {
	if a.ID == "" {
		return fmt.Sprintf("assertion %q without an id %s", a.Issuer, Digest(string(a.signed.UnsafePayloadWithoutVerification())))
	}
	return fmt.Sprintf("assertion %q %q", a.Issuer, a.ID)
}

// RememberUntil is when an assertion that ends could not be presented again anyway.
func (a *Assertion) RememberUntil() time.Time { return a.ExpiresAt.Add(assertionLeeway) }

// VerifyWith returns nil where a shared secret made the signature. The error is a
// [*Reason].
func (a *Assertion) VerifyWith(secret []byte) error {
	if _, err := a.signed.Verify(secret); err != nil {
		return a.wrongSignature()
	}
	return nil
}

// VerifyBy is [Assertion.VerifyByKeys] for a key set as JSON.
func (a *Assertion) VerifyBy(keySet []byte) error {
	keys, err := ParseKeySet(keySet)
	if err != nil {
		return NewReason("the key set is malformed", slog.String("fault", err.Error()))
	}
	return a.VerifyByKeys(keys)
}

// VerifyByKeys returns nil where one of the public keys of a key set made the
// signature: the one that it names, where it names one. nil has no keys. The error is a
// [*Reason].
func (a *Assertion) VerifyByKeys(keys *jose.JSONWebKeySet) error {
	if keys == nil {
		return NewReason("there are no keys")
	}
	if len(keys.Keys) > maxAssertionKeys {
		return NewReason("the key set has too many keys", slog.Int("keys", len(keys.Keys)))
	}
	header, tried := a.signed.Signatures[0].Header, false
	for _, key := range keys.Keys {
		named := header.KeyID == "" || key.KeyID == "" || key.KeyID == header.KeyID
		meant := (key.Algorithm == "" || key.Algorithm == header.Algorithm) && !strings.EqualFold(key.Use, "enc")
		if !named || !meant || !IsKeyFor(key, jose.SignatureAlgorithm(header.Algorithm)) {
			continue
		}
		tried = true
		if _, err := a.signed.Verify(key); err == nil {
			return nil
		}
	}
	if !tried {
		return NewReason("the key set has no key of this 'kid' and algorithm", slog.String("kid", header.KeyID), slog.String("algorithm", header.Algorithm))
	}
	return a.wrongSignature()
}

func (a *Assertion) wrongSignature() *Reason {
	return NewReason("the signature of the JWT is wrong", slog.String("kid", a.KeyID()), slog.String("algorithm", a.Algorithm()))
}
