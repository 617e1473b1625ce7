package server

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// Confirmation methods: how a token says which key it is bound to.
const (
	// JWKThumbprint is a public key by its thumbprint (RFC 9449 section 6.1).
	JWKThumbprint = "jkt"
	// CertificateThumbprint is a client certificate by its digest (RFC 8705
	// section 3.1).
	CertificateThumbprint = "x5t#S256"
)

// NewConfirmation returns a confirmation as it is stored, a JSON object (RFC
// 7800 section 3).
func NewConfirmation(method, value string) string {
	text, _ := json.Marshal(map[string]string{method: value}) // strings alone cannot fail
	return string(text)
}

// CertificateConfirmation returns the confirmation of a certificate.
func CertificateConfirmation(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return NewConfirmation(CertificateThumbprint, base64.RawURLEncoding.EncodeToString(sum[:]))
}

// ConfirmationMethod returns how a confirmation is given: "" for an empty one,
// and "?" for one that is not understood, so that nobody takes it for none.
func ConfirmationMethod(confirmation string) string {
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
