package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// SignJWT returns a JWT of the claims with more in its header, signed by a key
// of anybody's.
func SignJWT(t testing.TB, key any, algorithm jose.SignatureAlgorithm, header map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// NewKey returns a key pair.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// KeySet returns the public key as a key set, with the id "1".
func KeySet(t testing.TB, key *ecdsa.PrivateKey) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Claims returns claims with some of them changed: "name", value, …; nil leaves
// one out.
func Claims(all map[string]any, more ...any) map[string]any {
	changed := maps.Clone(all)
	for i := 0; i+1 < len(more); i += 2 {
		if changed[more[i].(string)] = more[i+1]; more[i+1] == nil {
			delete(changed, more[i].(string))
		}
	}
	return changed
}

// DPoP returns a proof of the key for a request (RFC 9449), with some of its
// claims changed as by [Claims].
func (p *Provider) DPoP(key *ecdsa.PrivateKey, method, target string, more ...any) string {
	p.T.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": target, "iat": p.Now.Unix()}
	public := jose.JSONWebKey{Key: key.Public()}
	return SignJWT(p.T, key, jose.ES256, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": public}, Claims(claims, more...))
}

// Thumbprint returns the thumbprint of the public key (RFC 7638).
func Thumbprint(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}
