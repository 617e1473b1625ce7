package oidc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/clientjwt"
	"github.com/gormoauth/gormoauth/server"
)

// idToken has the content of an ID token that does not come from its request (OpenID
// Connect Core section 2).
type idToken struct {
	authentication server.Authentication
	nonce          string
	subject        string // the subject identifier stored with the grant, if it is not the user's id
	claims         string // the claims parameter
	sid            string
	// Values that are sent with it, whose hashes it has; empty if not sent.
	accessToken, code, state string
	// byScope is whether it has the claims of the granted scope.
	byScope bool
}

// idToken returns the signed ID token for a request.
func (p *Provider) idToken(ctx context.Context, req *server.Request, token idToken) (string, error) {
	input := &ClaimsInput{Client: req.Client, User: req.User, Scope: req.Scope, Target: InIDToken, Claims: make(map[string]any)}
	err := p.userClaims(ctx, input, token.byScope, grantedClaims(token.claims).IDToken)
	if err != nil {
		return "", err
	}
	claims, answer := input.Claims, p.answer("id_token")
	now, how, algorithm := req.Time.Unix(), token.authentication, answer.Algorithm(req.Client)
	set := func(name string, value any, known bool) {
		if known {
			claims[name] = value
		}
	}
	claims["iss"] = req.Server.Issuer()
	claims["sub"] = cmp.Or(token.subject, req.Server.Subject(req.Client, req.User.GetUserID()))
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
	return answer.Sign(ctx, req.Client, req.Time, "JWT", claims)
}

// halfHash returns the left half of the hash of text, by the hash function of the signature
// algorithm (OpenID Connect Core section 3.1.3.6), which the algorithm's name ends with.
// Ed25519 uses SHA-512.
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

// answer returns how a client's responses are signed and encrypted. called is their name in
// client metadata: "id_token" or "userinfo".
func (p *Provider) answer(called string) clientjwt.Answer {
	return clientjwt.Answer{Called: called, Keys: p.Keys, Algorithms: p.algorithms(), Fetcher: p.Fetcher}
}
