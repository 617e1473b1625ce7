package jwk_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// A key verifies by the algorithms of its own kind and, if it is elliptic, of its own
// curve (RFC 7518 section 3.4).
func TestIsKeyFor(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	all := append(jwk.SignatureAlgorithms(), jose.HS256, jose.HS384, jose.HS512, "none", "")
	ofRSA := []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	for rule, row := range map[string]struct {
		key  crypto.PublicKey
		want []jose.SignatureAlgorithm
	}{
		"P-256":              {oauthtest.NewKeyFor(t, jose.ES256).Public(), []jose.SignatureAlgorithm{jose.ES256}},
		"P-384":              {oauthtest.NewKeyFor(t, jose.ES384).Public(), []jose.SignatureAlgorithm{jose.ES384}},
		"P-521":              {oauthtest.NewKeyFor(t, jose.ES512).Public(), []jose.SignatureAlgorithm{jose.ES512}},
		"Ed25519":            {oauthtest.NewKeyFor(t, jose.EdDSA).Public(), []jose.SignatureAlgorithm{jose.EdDSA}},
		"RSA of 2048 bits":   {oauthtest.NewKeyFor(t, jose.RS256).Public(), ofRSA},
		"RSA of 1024 bits":   {short.Public(), nil},
		"a private key":      {oauthtest.NewKey(t), nil},
		"a shared secret":    {[]byte("0123456789abcdef0123456789abcdef"), nil},
		"no key":             {nil, nil},
		"a key without bits": {&rsa.PublicKey{}, nil},
	} {
		for _, algorithm := range all {
			assert.Equal(t, slices.Contains(row.want, algorithm), jwk.IsKeyFor(jose.JSONWebKey{Key: row.key}, algorithm), "%s by %q", rule, algorithm)
		}
	}
}
