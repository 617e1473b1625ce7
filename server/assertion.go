package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// Assertion is a signed JWT by which a client, or somebody whom the server
// trusts, says something (RFC 7523). Nothing in it is true before
// [Assertion.VerifiedBy].
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
// being [SignatureAlgorithms]. It returns nil for what is none.
func ParseAssertion(text string, algorithms []jose.SignatureAlgorithm) *Assertion {
	if len(text) > maxAssertion {
		return nil
	}
	if algorithms == nil {
		algorithms = SignatureAlgorithms()
	}
	signed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil
	}
	a := &Assertion{signed: signed}
	if a.Claims, err = strictjson.Object(signed.UnsafePayloadWithoutVerification()); err != nil {
		return nil
	}
	for name, into := range map[string]any{
		"iss": &a.Issuer, "sub": &a.Subject, "aud": &a.audience, "jti": &a.ID, "exp": &a.expiresAt, "nbf": &a.notBefore, "iat": &a.issuedAt,
	} {
		if value, ok := a.Claims[name]; ok && strictjson.Unmarshal(value, into) != nil {
			return nil
		}
	}
	a.ExpiresAt = a.expiresAt.Time()
	return a
}

// IsFor reports whether the assertion is valid at the request's time, and for
// this server and nobody else: another one to which it was shown could pass it
// on otherwise. An [AssertionHook] may ask for more.
func (a *Assertion) IsFor(req *Request) bool {
	ours := []string{req.Server.Issuer(), req.Server.EndpointURL(tokenEndpoint), req.Server.EndpointURL(req.Endpoint)}
	if len(a.audience) != 1 || a.audience[0] == "" || !slices.Contains(ours, a.audience[0]) ||
		a.Issuer == "" || a.Subject == "" || a.ID == "" || !a.IsCurrent(req.Time) {
		return false
	}
	will := true
	tell(req, func(hook AssertionHook) { will = will && hook.CheckAssertion(req, a) })
	return will
}

// IsAddressedTo reports whether the audience is among those for whom the
// assertion is.
func (a *Assertion) IsAddressedTo(audience string) bool { return slices.Contains(a.audience, audience) }

// Audience returns those for whom the assertion is.
func (a *Assertion) Audience() []string { return a.audience }

// IsCurrent reports whether the assertion is valid now, and will not be for
// long.
func (a *Assertion) IsCurrent(now time.Time) bool {
	return a.IsTimely(now) && a.expiresAt != 0 && int64(a.expiresAt) <= now.Add(maxAssertionLife).Unix()
}

// IsTimely reports whether now lies within the times that the assertion names. One
// that names none is valid at any time, which [Assertion.IsCurrent] does not take.
func (a *Assertion) IsTimely(now time.Time) bool {
	_, ends := a.Claims["exp"]
	return len(a.ID) <= maxAssertionIDSize && (!ends || now.Add(-assertionLeeway).Unix() < int64(a.expiresAt)) &&
		int64(a.notBefore) <= now.Add(assertionLeeway).Unix() && int64(a.issuedAt) <= now.Add(assertionLeeway).Unix()
}

// Algorithm returns what it is signed by.
func (a *Assertion) Algorithm() string { return a.signed.Signatures[0].Header.Algorithm }

// KeyID returns the id of the key that it names, empty when it names none.
func (a *Assertion) KeyID() string { return a.signed.Signatures[0].Header.KeyID }

// Type returns the media type that its header names, in small letters and without
// "application/", which need not be written (RFC 7515 section 4.1.9). It is empty
// when the header names none.
func (a *Assertion) Type() string {
	typ, _ := a.signed.Signatures[0].Header.ExtraHeaders[jose.HeaderType].(string)
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
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

// VerifiedWith reports whether a shared secret made the signature.
func (a *Assertion) VerifiedWith(secret []byte) bool {
	_, err := a.signed.Verify(secret)
	return err == nil
}

// VerifiedBy is [Assertion.VerifiedByKeys] for a key set as JSON.
func (a *Assertion) VerifiedBy(keySet []byte) bool {
	keys, err := ParseKeySet(keySet)
	return err == nil && a.VerifiedByKeys(keys)
}

// VerifiedByKeys reports whether one of the public keys of a key set made the
// signature: the one that it names, where it names one. nil has no keys.
func (a *Assertion) VerifiedByKeys(keys *jose.JSONWebKeySet) bool {
	if keys == nil || len(keys.Keys) > maxAssertionKeys {
		return false
	}
	header := a.signed.Signatures[0].Header
	return slices.ContainsFunc(keys.Keys, func(key jose.JSONWebKey) bool {
		named := header.KeyID == "" || key.KeyID == "" || key.KeyID == header.KeyID
		meant := (key.Algorithm == "" || key.Algorithm == header.Algorithm) && !strings.EqualFold(key.Use, "enc")
		if !named || !meant || !IsKeyFor(key, jose.SignatureAlgorithm(header.Algorithm)) {
			return false
		}
		_, err := a.signed.Verify(key)
		return err == nil
	})
}
