package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// prover makes proofs of possession (RFC 9449) by a client's key.
type prover struct {
	signer     jose.Signer
	thumbprint string
}

func newProver() (*prover, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType(proofType)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, options)
	return &prover{signer, base64.RawURLEncoding.EncodeToString(sum)}, err
}

const proofType = "dpop+jwt"

// proof is the claims of RFC 9449 section 4.2.
type proof struct {
	ID              string `json:"jti"`
	Method          string `json:"htm"`
	Target          string `json:"htu"`
	IssuedAt        int64  `json:"iat"`
	AccessTokenHash string `json:"ath,omitempty"`
}

// prove makes a fresh proof. The access token is empty at the token endpoint.
func (p *prover) prove(method, target, access string) (string, error) {
	claims := proof{ID: rand.Text(), Method: method, Target: target, IssuedAt: time.Now().Unix()}
	if access != "" {
		claims.AccessTokenHash = accessTokenHash(access)
	}
	return sign(p.signer, claims)
}

func accessTokenHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sign returns the claims as a signed JWT.
func sign(signer jose.Signer, claims any) (string, error) {
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
