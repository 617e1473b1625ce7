package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// SigningKeys are the key pairs with which the server signs.
type SigningKeys interface {
	// SigningKey returns the key that signs by the algorithm now: a private key
	// with its id and algorithm.
	SigningKey(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time) (*jose.JSONWebKey, error)
	// PublicKeys returns every key by which a signature is to be verified,
	// announced and retired ones among them.
	PublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error)
}

// DecryptionKeys are the key pairs for which others encrypt what only the server
// is to read. Their public keys are among those of [SigningKeys], with the use
// "enc".
type DecryptionKeys interface {
	// EncryptionAlgorithms are those by which others may encrypt.
	EncryptionAlgorithms() []jose.KeyAlgorithm
	// DecryptionKeys returns the private keys, each with its id and algorithm.
	DecryptionKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error)
}

// SignatureAlgorithms are those that this library signs by and, but for what a
// client signs with its secret, takes signatures by. "none" is no signature.
func SignatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}
}

// SignJWT returns a signed JWT of the type, such as "at+jwt" (RFC 9068 section
// 2.1).
func SignJWT(ctx context.Context, keys SigningKeys, algorithm jose.SignatureAlgorithm, now time.Time, typ string, claims map[string]any) (string, error) {
	key, err := keys.SigningKey(ctx, algorithm, now)
	if err != nil {
		return "", fmt.Errorf("find the signing key: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
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
