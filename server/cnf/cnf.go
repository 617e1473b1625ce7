// Package cnf makes and reads confirmations: what says which key or certificate a token is bound to,
// as in the "cnf" of a JWT (RFC 7800).
package cnf

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// Confirmation methods, by which a token identifies the key it is bound to.
const (
	// JWKThumbprint identifies a public key by its thumbprint (RFC 9449 section 6.1).
	JWKThumbprint = "jkt"
	// CertificateThumbprint identifies a client certificate by its digest (RFC 8705 section 3.1).
	CertificateThumbprint = "x5t#S256"
)

// New returns a confirmation in its stored form, a JSON object (RFC 7800 section 3).
func New(method, value string) string {
	text, _ := json.Marshal(map[string]string{method: value}) // strings alone cannot fail
	return string(text)
}

// OfCertificate returns the confirmation of a certificate.
func OfCertificate(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return New(CertificateThumbprint, base64.RawURLEncoding.EncodeToString(sum[:]))
}

// Method returns the method of a confirmation. It returns "" if the confirmation is
// empty, and "?" if the method is unknown, so that an unknown binding is not mistaken for none.
func Method(confirmation string) string {
	if confirmation == "" {
		return ""
	}
	members, err := strictjson.Object([]byte(confirmation))
	if err != nil || len(members) != 1 {
		return "?"
	}
	for method := range members {
		if method == JWKThumbprint || method == CertificateThumbprint {
			return method
		}
	}
	return "?"
}
