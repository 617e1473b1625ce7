package generator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/ownclaims"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// JWTAccessToken makes access tokens that are signed JWTs (RFC 9068), so that an API can
// validate them by itself. They are stored like other tokens, by their digest, and can be
// introspected and revoked.
//
//	config.AccessTokenGenerator = (&generator.JWTAccessToken{Keys: keys, Audience: "https://api.example.com"}).Generate
type JWTAccessToken struct {
	// Keys sign the tokens.
	Keys jwk.SigningKeys
	// Algorithm is the signing algorithm. Empty means ES256.
	Algorithm jose.SignatureAlgorithm
	// Audience is the audience of a token whose request names no resource (RFC 8707). If it
	// is empty, such a request is refused with invalid_target.
	Audience string
	// Claims returns additional claims of the program. nil adds none. A claim with the name
	// of a protocol claim of RFC 9068, ignoring case, such as "Scope", is dropped, and its
	// name is logged at debug level.
	Claims func(ctx context.Context, input server.TokenInput) (map[string]any, error)
}

// protocolClaims are the claims of an access token that the program cannot set.
var protocolClaims = [...]string{
	"iss", "aud", "client_id", "sub", "iat", "exp", "nbf", "jti", "scope", "auth_time", "acr", "amr", "act", "authorization_details", "cnf",
}

// Generate returns a new token. It is a [server.TokenGenerator].
func (g *JWTAccessToken) Generate(ctx context.Context, input server.TokenInput) (string, error) {
	if g.Keys == nil {
		return "", errors.New("generator: JWTAccessToken.Keys is missing")
	}
	record := input.Record
	audience := strings.Fields(record.Audience)
	if len(audience) == 0 {
		if g.Audience == "" {
			return "", server.NewError(server.InvalidTarget, "The request has no 'resource', and the server has no default.")
		}
		audience = []string{g.Audience}
	}
	claims := make(map[string]any)
	if g.Claims != nil {
		own, err := g.Claims(ctx, input)
		if err != nil {
			return "", err
		}
		maps.Copy(claims, own)
		ownclaims.Leave(ctx, input.Request.Server, "generator.JWTAccessToken.Claims", claims, protocolClaims[:])
	}
	claims["iss"] = input.Request.Server.Issuer()
	claims["aud"] = audience
	claims["client_id"] = record.GetClientID()
	claims["sub"] = record.GetClientID() // RFC 9068 section 2.2
	if input.User != nil {
		claims["sub"] = cmp.Or(record.Subject, input.Request.Server.Subject(input.Client, input.User.GetUserID()))
	}
	claims["iat"] = record.IssuedAt
	claims["exp"] = record.IssuedAt + record.ExpiresIn
	claims["jti"] = cmp.Or(input.ID, rand.Text())
	setIf(claims, "scope", record.Scope, record.Scope != "")
	setIf(claims, "auth_time", record.AuthTime, record.AuthTime != 0)
	setIf(claims, "acr", record.ACR, record.ACR != "")
	setIf(claims, "amr", strings.Fields(record.AMR), record.AMR != "")
	setIf(claims, "act", json.RawMessage(record.Actor), record.Actor != "")
	setIf(claims, "authorization_details", json.RawMessage(record.AuthorizationDetails), record.AuthorizationDetails != "")
	setIf(claims, "cnf", json.RawMessage(record.Confirmation), record.Confirmation != "")
	algorithm := g.Algorithm
	if algorithm == "" {
		algorithm = jose.ES256
	}
	return jwk.SignJWT(ctx, g.Keys, algorithm, input.Request.Time, "at+jwt", claims)
}

func setIf(claims map[string]any, name string, value any, known bool) {
	if known {
		claims[name] = value
	}
}
