package oidc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// idToken is what an ID token says beyond its request (OpenID Connect Core section
// 2).
type idToken struct {
	authentication server.Authentication
	nonce          string
	claims         string // the claims parameter
	sid            string
	// What is delivered with it, and what it vouches for by a hash; empty is not.
	accessToken, code, state string
	// alone is whether no access token comes that UserInfo could be asked with.
	alone bool
}

// idToken returns the ID token of a request.
func (p *Provider) idToken(ctx context.Context, req *server.Request, token idToken) (string, error) {
	requested, err := ParseClaims(token.claims)
	if err != nil {
		return "", err
	}
	claims := make(map[string]any)
	err = p.userClaims(ctx, &ClaimsInput{Client: req.Client, User: req.User, Scope: req.Scope, Target: InIDToken, Claims: claims}, token.alone, requested.IDToken)
	if err != nil {
		return "", err
	}
	now, how, algorithm := req.Time.Unix(), token.authentication, p.algorithmOf(req.Client)
	set := func(name string, value any, known bool) {
		if known {
			claims[name] = value
		}
	}
	claims["iss"] = req.Server.Issuer()
	claims["sub"] = req.Server.Subject(req.Client, req.User.GetUserID())
	claims["aud"] = req.Client.GetClientID()
	claims["azp"] = req.Client.GetClientID()
	claims["iat"] = now
	claims["exp"] = now + int64(p.idTokenExpiresIn()/time.Second)
	set("auth_time", how.Time, how.Time != 0)
	set("acr", how.ACR, how.ACR != "")
	set("amr", how.AMR, len(how.AMR) > 0)
	set("nonce", token.nonce, token.nonce != "")
	set("sid", token.sid, token.sid != "")
	vouch := func(name, text string) {
		if text != "" {
			claims[name] = halfHash(algorithm, text)
		}
	}
	vouch("at_hash", token.accessToken)
	vouch("c_hash", token.code)
	vouch("s_hash", token.state)
	return p.sign(ctx, req.Client, req.Time, "JWT", algorithm, claims, "id_token")
}

// halfHash is the left half of a hash by the hash of the signature algorithm (OpenID
// Connect Core section 3.1.3.6), which its name ends with. Ed25519 signs by SHA-512.
func halfHash(algorithm jose.SignatureAlgorithm, text string) string {
	hash := sha256.New()
	switch name := string(algorithm); {
	case strings.HasSuffix(name, "384"):
		hash = sha512.New384()
	case strings.HasSuffix(name, "512"), algorithm == jose.EdDSA:
		hash = sha512.New()
	}
	hash.Write([]byte(text))
	sum := hash.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// algorithmOf is what a client's ID tokens are signed by.
func (p *Provider) algorithmOf(client server.Client) jose.SignatureAlgorithm {
	chosen := jose.SignatureAlgorithm(textMember(metadataOf(client), "id_token_signed_response_alg"))
	algorithms := p.algorithms()
	switch {
	case slices.Contains(algorithms, chosen):
		return chosen
	case slices.Contains(algorithms, jose.RS256):
		return jose.RS256
	default:
		return algorithms[0]
	}
}

// sign signs claims, and encrypts the JWT for a client that wants that of what is
// called so in its metadata: "id_token" or "userinfo".
func (p *Provider) sign(ctx context.Context, client server.Client, now time.Time, typ string, algorithm jose.SignatureAlgorithm, claims map[string]any, called string) (string, error) {
	text, err := server.SignJWT(ctx, p.Keys, algorithm, now, typ, claims)
	metadata := metadataOf(client)
	if err != nil || textMember(metadata, called+"_encrypted_response_alg") == "" {
		return text, err
	}
	return p.encrypt(ctx, metadata, called, []byte(text), "JWT")
}

func keyAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256, jose.RSA_OAEP}
}

func contentEncryptions() []jose.ContentEncryption {
	return []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256CBC_HS512, jose.A128GCM, jose.A256GCM}
}

// encrypt encrypts a text for a client, by what its metadata says of what is called
// so (OpenID Connect Core section 10.2).
func (p *Provider) encrypt(ctx context.Context, metadata *models.ClientMetadata, called string, text []byte, contentType jose.ContentType) (string, error) {
	algorithm := jose.KeyAlgorithm(textMember(metadata, called+"_encrypted_response_alg"))
	encryption := jose.ContentEncryption(cmp.Or(textMember(metadata, called+"_encrypted_response_enc"), string(jose.A128CBC_HS256)))
	var recipient *jose.JSONWebKey
	_, err := p.Fetcher.InKeySet(ctx, metadata.JWKs, metadata.JWKsURI, func(keySet []byte) bool {
		recipient = encryptionKey(keySet, algorithm)
		return recipient != nil
	})
	if err != nil {
		return "", err
	}
	if recipient == nil {
		return "", server.NewError(server.InvalidRequest, "The client registered for encrypted answers, and has no key for them.")
	}
	options := new(jose.EncrypterOptions)
	if contentType != "" {
		options = options.WithContentType(contentType)
	}
	encrypter, err := jose.NewEncrypter(encryption, jose.Recipient{Algorithm: algorithm, Key: recipient.Key, KeyID: recipient.KeyID}, options)
	if err != nil {
		return "", fmt.Errorf("oidc: encrypt for a client: %w", err)
	}
	encrypted, err := encrypter.Encrypt(text)
	if err != nil {
		return "", fmt.Errorf("oidc: encrypt for a client: %w", err)
	}
	return encrypted.CompactSerialize()
}

// encryptionKey returns the key of a key set that is good for the algorithm, or nil.
func encryptionKey(keySet []byte, algorithm jose.KeyAlgorithm) *jose.JSONWebKey {
	var keys jose.JSONWebKeySet
	if json.Unmarshal(keySet, &keys) != nil {
		return nil
	}
	for _, key := range keys.Keys {
		if key.Use == "sig" || key.Algorithm != "" && key.Algorithm != string(algorithm) || !key.IsPublic() {
			continue
		}
		if _, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: algorithm, Key: key.Key}, nil); err == nil {
			return &key
		}
	}
	return nil
}
