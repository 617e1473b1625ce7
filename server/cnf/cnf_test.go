package cnf_test

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/server/cnf"
)

// A binding is of a known method, of an unknown one, or there is none: what cannot be read is not
// mistaken for none.
func TestMethods(t *testing.T) {
	for confirmation, method := range map[string]string{
		"":                                     "",
		cnf.New(cnf.JWKThumbprint, "x"):        "jkt",
		cnf.New(cnf.CertificateThumbprint, ""): "x5t#S256",
		`{"jwk":{}}`:                           "?",
		`{"jkt":"x","x5t#S256":"x"}`:           "?",
		`{"jkt":"x","jkt":"x"}`:                "?",
		`{}`:                                   "?",
		`null`:                                 "?",
		`"jkt"`:                                "?",
		`{`:                                    "?",
		" ":                                    "?",
	} {
		assert.Equal(t, method, cnf.Method(confirmation), "%q", confirmation)
	}
}

// RFC 8705 section 3.1: the digest is SHA-256, in base64url without padding.
func TestOfCertificate(t *testing.T) {
	assert.JSONEq(t, `{"x5t#S256":"ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"}`, cnf.OfCertificate(&x509.Certificate{Raw: []byte("abc")}))
}
