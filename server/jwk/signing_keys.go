// Package jwk has the keys of JSON Web Signatures and Encryption: the interfaces by which the server
// gets its own, which keys and algorithms are accepted, and key sets of others (RFC 7517).
package jwk

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the elliptic algorithms
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// SigningKeys are the key pairs that the server signs with.
type SigningKeys interface {
	// SigningKey returns the key that currently signs by the algorithm: a private key with its id
	// and algorithm.
	SigningKey(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time) (*jose.JSONWebKey, error)
	// PublicKeys returns every key that signatures are to be verified with, including announced
	// and retired ones.
	PublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error)
}

// FreshKeys is implemented by [SigningKeys] that cache what they read, as those of gormstore do.
type FreshKeys interface {
	// FreshPublicKeys is PublicKeys for a caller that has seen a key which is not among them.
	// Because strangers can name keys that do not exist, the keys are read again at most once a
	// second, and cached keys are kept.
	FreshPublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error)
}

// PublicKeysFor returns the public keys to verify a signature with that names a key id. If the
// key is not among the cached ones, it reads them again, because another instance may just have
// created it.
func PublicKeysFor(ctx context.Context, keys SigningKeys, keyID string, now time.Time) (*jose.JSONWebKeySet, error) {
	set, err := keys.PublicKeys(ctx, now)
	if err != nil || keyID == "" || len(set.Key(keyID)) > 0 {
		return set, err
	}
	if fresh, ok := keys.(FreshKeys); ok {
		return fresh.FreshPublicKeys(ctx, now)
	}
	return set, nil
}

// DecryptionKeys are the key pairs that others encrypt for, when only the server may read
// something. Their public keys are among those of [SigningKeys], with the use "enc".
type DecryptionKeys interface {
	// EncryptionAlgorithms returns the algorithms that others may encrypt with.
	EncryptionAlgorithms() []jose.KeyAlgorithm
	// DecryptionKeys returns the private keys, each with its id and algorithm.
	DecryptionKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error)
}

// SignatureAlgorithms returns the algorithms that are accepted for signatures with a key pair
// unless a setting says otherwise, and for which there can be signing keys (RFC 7518 section 3.1,
// RFC 8037 section 3.1). "none" and algorithms with a shared secret are never among them.
func SignatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
	}
}

// MaxKeys is how many keys of a set are tried at most to verify a signature.
const MaxKeys = 20

// MinRSABits is the minimum length of an RSA key (RFC 7518 sections 3.3 and 3.5).
const MinRSABits = 2048

// IsKeyFor reports whether a public key may verify signatures by an algorithm. It must be an RSA
// key of at least 2048 bits, an elliptic key on the algorithm's own curve (RFC 7518 section 3.4),
// which JOSE libraries do not check by themselves, or an Ed25519 key.
func IsKeyFor(key jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if !key.Valid() {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= MinRSABits && (strings.HasPrefix(string(algorithm), "RS") || strings.HasPrefix(string(algorithm), "PS"))
	case *ecdsa.PublicKey:
		return algorithm == map[elliptic.Curve]jose.SignatureAlgorithm{elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512}[public.Curve]
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	default:
		return false
	}
}

// IsEncryptionKeyFor reports whether something can be encrypted for a public key by the
// algorithm: ECDH-ES and its variants need an elliptic key, and RSA-OAEP and its variants an RSA
// key of at least 2048 bits (RFC 7518 sections 4.3 and 4.6).
func IsEncryptionKeyFor(key jose.JSONWebKey, algorithm jose.KeyAlgorithm) bool {
	if !key.Valid() {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= MinRSABits && strings.HasPrefix(string(algorithm), "RSA-OAEP")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(string(algorithm), "ECDH-ES")
	default:
		return false
	}
}

// SignJWT returns a signed JWT of the type, such as "at+jwt" (RFC 9068 section 2.1). With the
// same key, the same claims always give the same signature, except with the PS algorithms.
func SignJWT(ctx context.Context, keys SigningKeys, algorithm jose.SignatureAlgorithm, now time.Time, typ string, claims map[string]any) (string, error) {
	key, err := keys.SigningKey(ctx, algorithm, now)
	if err != nil {
		return "", fmt.Errorf("find the signing key: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: deterministic(key)}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// deterministic returns a key that always signs the same text with the same signature if it is an
// elliptic key (RFC 6979). It returns any other key unchanged.
func deterministic(key *jose.JSONWebKey) any {
	private, ok := key.Key.(*ecdsa.PrivateKey)
	if !ok {
		return key
	}
	return deterministicSigner{key, private}
}

// deterministicSigner is a [jose.OpaqueSigner].
type deterministicSigner struct {
	key     *jose.JSONWebKey
	private *ecdsa.PrivateKey
}

// Public returns the public key.
func (s deterministicSigner) Public() *jose.JSONWebKey {
	public := s.key.Public()
	return &public
}

// Algs returns the algorithm of the key's curve.
func (s deterministicSigner) Algs() []jose.SignatureAlgorithm {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512} {
		if IsKeyFor(s.key.Public(), algorithm) {
			return []jose.SignatureAlgorithm{algorithm}
		}
	}
	return nil
}

// SignPayload returns r and s, each as long as the curve's order (RFC 7518 section 3.4).
func (s deterministicSigner) SignPayload(payload []byte, algorithm jose.SignatureAlgorithm) ([]byte, error) {
	hash := map[jose.SignatureAlgorithm]crypto.Hash{jose.ES256: crypto.SHA256, jose.ES384: crypto.SHA384, jose.ES512: crypto.SHA512}[algorithm]
	if !slices.Contains(s.Algs(), algorithm) {
		return nil, fmt.Errorf("server: a key on the curve %s cannot sign with %s", s.private.Curve.Params().Name, algorithm)
	}
	h := hash.New()
	h.Write(payload)
	der, err := s.private.Sign(nil, h.Sum(nil), hash)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	size := (s.private.Curve.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	pair.R.FillBytes(signature[:size])
	pair.S.FillBytes(signature[size:])
	return signature, nil
}
