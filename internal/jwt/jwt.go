// Package jwt reads JWTs of untrusted origin (RFC 7519) in one strict way: header, claims
// and keys are read as JSON by package strictjson. Nothing in them may be trusted before
// the signature is verified.
package jwt

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ParseSigned parses a signed JWT in compact form (RFC 7515 section 7.1) whose algorithm
// is one of the algorithms.
func ParseSigned(text string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	if err := checkHeader(text); err != nil {
		return nil, err
	}
	return jose.ParseSignedCompact(text, algorithms)
}

// ParseEncrypted parses an encrypted JWT in compact form (RFC 7516 section 7.1) whose
// algorithms are among the algorithms and encryptions.
func ParseEncrypted(text string, algorithms []jose.KeyAlgorithm, encryptions []jose.ContentEncryption) (*jose.JSONWebEncryption, error) {
	if err := checkHeader(text); err != nil {
		return nil, err
	}
	return jose.ParseEncryptedCompact(text, algorithms, encryptions)
}

// checkHeader refuses a header that different readers may read differently (RFC 7515
// section 10.12). go-jose compares names exactly, but accepts invalid UTF-8, and
// duplicate names in parts that it ignores.
func checkHeader(text string) error {
	encoded, _, _ := strings.Cut(text, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	members, err := strictjson.Object(header)
	if err != nil {
		return err
	}
	if names, critical := members["crit"]; critical {
		return &CriticalError{string(names)}
	}
	return nil
}

// Type returns the media type in a header's "typ", in lowercase and without the optional
// prefix "application/" (RFC 7515 section 4.1.9). It is empty when the header has none. A
// "typ" that is not a string matches no type.
func Type(header jose.Header) string {
	typ, given := header.ExtraHeaders[jose.HeaderType]
	if !given {
		return ""
	}
	return TypeName(fmt.Sprint(typ))
}

// TypeName returns a media type in the form that [Type] returns.
func TypeName(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "application/") }

// CriticalError means that a JWT has critical header parameters, which the recipient must
// understand (RFC 7515 section 4.1.11). This package understands none.
type CriticalError struct {
	// Names is the header's "crit", as JSON.
	Names string
}

// Error names the critical header parameters.
func (e *CriticalError) Error() string {
	return "the JWT has critical header parameters that are not understood: " + e.Names
}

// Audience is the claim "aud": a string or an array of strings (RFC 7519 section 4.1.3).
type Audience []string

// UnmarshalJSON reads a string or an array of strings.
func (a *Audience) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		return strictjson.Unmarshal(text, (*[]string)(a))
	}
	var one *string
	if err := strictjson.Unmarshal(text, &one); err != nil || one == nil {
		return err
	}
	*a = Audience{*one}
	return nil
}
