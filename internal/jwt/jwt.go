// Package jwt reads JWTs that others made (RFC 7519), in one strict way: header,
// claims and keys are JSON as package strictjson reads it. Nothing in them is true
// before the signature is verified.
package jwt

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ParseSigned reads a signed JWT in its compact form (RFC 7515 section 7.1) that
// names one of the algorithms.
func ParseSigned(text string, algorithms []jose.SignatureAlgorithm) (*jose.JSONWebSignature, error) {
	if err := checkHeader(text); err != nil {
		return nil, err
	}
	return jose.ParseSignedCompact(text, algorithms)
}

// ParseEncrypted reads an encrypted JWT in its compact form (RFC 7516 section 7.1)
// that names one of the algorithms of either kind.
func ParseEncrypted(text string, algorithms []jose.KeyAlgorithm, encryptions []jose.ContentEncryption) (*jose.JSONWebEncryption, error) {
	if err := checkHeader(text); err != nil {
		return nil, err
	}
	return jose.ParseEncryptedCompact(text, algorithms, encryptions)
}

// checkHeader refuses a header that two readers may read in two ways (RFC 7515
// section 10.12). go-jose compares names exactly, but takes text that is not valid
// UTF-8, and a name that stands twice in a part which it leaves out.
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

// Type returns the media type that a header names as "typ", in small letters and without
// "application/", which need not be written (RFC 7515 section 4.1.9). It is empty when the
// header names none. What is no text is no type either.
func Type(header jose.Header) string {
	typ, given := header.ExtraHeaders[jose.HeaderType]
	if !given {
		return ""
	}
	return TypeName(fmt.Sprint(typ))
}

// TypeName is a media type as [Type] writes it.
func TypeName(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "application/") }

// CriticalError is for a JWT with header parameters that whoever reads it has to
// understand (RFC 7515 section 4.1.11), of which none is known here.
type CriticalError struct {
	// Names is what the header has as "crit", as JSON.
	Names string
}

// Error names them.
func (e *CriticalError) Error() string {
	return "the JWT has critical header parameters that are not understood: " + e.Names
}

// Audience is the claim "aud": one text or a list of them (RFC 7519 section 4.1.3).
type Audience []string

// UnmarshalJSON reads either.
func (a *Audience) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return strictjson.Unmarshal(text, (*[]string)(a))
	}
	var one *string
	if err := strictjson.Unmarshal(text, &one); err != nil || one == nil {
		return err
	}
	*a = Audience{*one}
	return nil
}
