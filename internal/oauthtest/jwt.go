package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"sync"
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

// SignRaw returns a JWT of a header and claims as they are written, signed by ES256:
// what no library would write.
func SignRaw(t testing.TB, key *ecdsa.PrivateKey, header, claims string) string {
	t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 // bytes of each half of a signature by P-256
	return input + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
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

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }) //nolint:mnd // bits

// NewKeyFor returns a key pair that signs by the algorithm. All of RSA are the same.
func NewKeyFor(t testing.TB, algorithm jose.SignatureAlgorithm) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsaKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// SignByWrongCurve returns a JWT whose header says ES384, signed by a key on the curve
// of ES256, which the verification of a JOSE library accepts (RFC 7518 section 3.4).
func SignByWrongCurve(t testing.TB, key *ecdsa.PrivateKey, header map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	header = maps.Clone(header)
	if header == nil {
		header = make(map[jose.HeaderKey]any)
	}
	header["alg"] = jose.ES384
	head, headErr := json.Marshal(header)
	payload, payloadErr := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha512.Sum384([]byte(text))
	r, s, signErr := ecdsa.Sign(rand.Reader, key, sum[:])
	if err := errors.Join(headErr, payloadErr, signErr); err != nil {
		t.Fatal(err)
	}
	const size = 48
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// KeySetOf returns the public keys as a key set, without ids.
func KeySetOf(t testing.TB, keys ...crypto.Signer) json.RawMessage {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public()})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
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
