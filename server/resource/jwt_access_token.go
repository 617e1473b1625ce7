package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// JWTAccessTokenValidator validates access tokens that are signed JWTs (RFC
// 9068) by the server's keys, without a query. What is no JWT goes to the
// validator of opaque tokens, so that both kinds can be in use.
type JWTAccessTokenValidator struct {
	// Issuer is whose tokens are taken.
	Issuer string
	// Audience is whom a token must be for. It may be left out where the
	// protector has [Metadata], whose resource is asked for anyway.
	Audience string
	// Keys are the issuer's.
	Keys server.SigningKeys
	// Algorithms are those by which tokens may be signed; nil is those of the
	// protector's profile, or else [server.SignatureAlgorithms].
	Algorithms []jose.SignatureAlgorithm
	// Opaque validates what is no JWT; nil refuses it.
	Opaque *BearerTokenValidator
	// QueryToken looks every token up as well, so that one that was revoked is
	// refused at once and not when it expires. It costs the query that a JWT
	// otherwise saves; nil asks nobody.
	QueryToken server.QueryTokenFunc
	// ClientCertificates is that of [BearerTokenValidator].
	ClientCertificates server.ClientCertificatesFunc
	// Clock tells the time by which keys are chosen; nil is time.Now.
	Clock func() time.Time
}

// TokenType returns "Bearer".
func (*JWTAccessTokenValidator) TokenType() string { return "Bearer" }

// WithProfile returns the validator with the algorithms of a profile.
func (v *JWTAccessTokenValidator) WithProfile(profile server.Profile) (TokenValidator, error) {
	held := *v
	if held.Algorithms == nil {
		held.Algorithms = profile.SignatureAlgorithms()
	}
	return &held, server.CheckAlgorithms(profile, "resource: JWTAccessTokenValidator.Algorithms", held.Algorithms...)
}

// check names what is missing.
func (v *JWTAccessTokenValidator) check() error {
	var faults []error
	if v.Issuer == "" {
		faults = append(faults, errors.New("resource: JWTAccessTokenValidator.Issuer is missing: whose tokens are taken?"))
	}
	if v.Keys == nil {
		faults = append(faults, errors.New("resource: JWTAccessTokenValidator.Keys is missing: write the keys that sign the tokens"))
	}
	if v.Opaque != nil {
		faults = append(faults, v.Opaque.check())
	}
	return errors.Join(faults...)
}

// jwtLeeway is by how much the clocks of issuer and API may differ, in seconds.
const jwtLeeway = 30

// jwtAccessToken is the claims of RFC 9068 section 2.2.
type jwtAccessToken struct {
	Issuer       string             `json:"iss"`
	Subject      string             `json:"sub"`
	ClientID     string             `json:"client_id"`
	Audience     jwt.Audience       `json:"aud"`
	ExpiresAt    server.NumericDate `json:"exp"`
	NotBefore    server.NumericDate `json:"nbf"`
	IssuedAt     server.NumericDate `json:"iat"`
	ID           string             `json:"jti"`
	Scope        string             `json:"scope"`
	AuthTime     server.NumericDate `json:"auth_time"`
	ACR          string             `json:"acr"`
	AMR          []string           `json:"amr"`
	Confirmation json.RawMessage    `json:"cnf"`
	Actor        json.RawMessage    `json:"act"`

	AuthorizationDetails json.RawMessage `json:"authorization_details"`
}

// AuthenticateToken verifies the token. One that is not the issuer's is unknown; the log
// has the reason.
func (v *JWTAccessTokenValidator) AuthenticateToken(ctx context.Context, text string) (*server.StoredToken, error) {
	if strings.Count(text, ".") != 2 {
		if v.Opaque == nil {
			return nil, nil
		}
		return v.Opaque.AuthenticateToken(ctx, text)
	}
	claims, why, err := v.verify(ctx, text)
	if err != nil {
		return nil, err
	}
	if why != nil {
		return nil, errUnknownToken().BecauseOf(why)
	}
	if v.QueryToken != nil {
		stored, err := v.QueryToken(ctx, server.TokenQuery{AccessToken: server.Digest(text)})
		if err != nil {
			return nil, fmt.Errorf("query token: %w", err)
		}
		return stored, nil
	}
	tokenType, confirmation := "Bearer", compact(claims.Confirmation)
	if server.ConfirmationMethod(confirmation) == server.JWKThumbprint {
		tokenType = "DPoP"
	}
	clientID, longClientID := models.SplitClientID(claims.ClientID)
	token := &server.StoredToken{Token: &models.TokenMixin{
		AuthTime: int64(claims.AuthTime),
		Authorization: models.Authorization{
			ClientID: clientID, LongClientID: longClientID, Confirmation: confirmation, ACR: claims.ACR, AMR: strings.Join(claims.AMR, " "),
		},
		TokenType: tokenType, Scope: claims.Scope, GrantedScope: claims.Scope, Audience: strings.Join(claims.Audience, " "),
		IssuedAt: int64(claims.IssuedAt), ExpiresIn: int64(claims.ExpiresAt - claims.IssuedAt),
		Actor: string(claims.Actor), AuthorizationDetails: string(claims.AuthorizationDetails),
	}}
	if claims.Subject != claims.ClientID {
		token.UserID = claims.Subject
	}
	return token, nil
}

// compact is JSON without spaces, so that two confirmations can be compared.
func compact(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil { // of nothing
		return string(text)
	}
	return b.String()
}

// verify checks what RFC 9068 section 4 asks for but the expiry, which all
// tokens have in common. why is what is wrong with the token.
func (v *JWTAccessTokenValidator) verify(ctx context.Context, text string) (claims *jwtAccessToken, why, err error) {
	algorithms := v.Algorithms
	if algorithms == nil {
		algorithms = server.SignatureAlgorithms()
	}
	signed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil, server.NewReason("the JWT is malformed, or signed by an algorithm that is not taken", slog.String("fault", err.Error())), nil
	}
	header := signed.Signatures[0].Header
	if typ := jwt.Type(header); typ != "at+jwt" {
		return nil, server.NewReason("the JWT is not an access token", slog.String("typ", typ)), nil // but an ID token, say
	}
	now := time.Now()
	if v.Clock != nil {
		now = v.Clock()
	}
	keys, err := server.PublicKeysFor(ctx, v.Keys, header.KeyID, now)
	if err != nil {
		return nil, nil, fmt.Errorf("find the issuer's keys: %w", err)
	}
	payload := verified(signed, keys, header)
	if payload == nil {
		return nil, server.NewReason("the signature of the JWT is wrong, or its key is unknown", slog.String("kid", header.KeyID), slog.String("algorithm", header.Algorithm)), nil
	}
	claims = new(jwtAccessToken)
	if err := strictjson.Unmarshal(payload, claims); err != nil {
		return nil, server.NewReason("the claims of the JWT are malformed", slog.String("fault", err.Error())), nil
	}
	return claims, v.checkClaims(claims, now), nil
}

// checkClaims returns what is wrong with the claims of a token.
func (v *JWTAccessTokenValidator) checkClaims(claims *jwtAccessToken, now time.Time) error {
	audience := slog.String("audience", strings.Join(claims.Audience, " "))
	switch {
	case claims.Issuer != v.Issuer:
		return server.NewReason("the issuer of the JWT is another one", slog.String("iss", claims.Issuer))
	case claims.Subject == "" || claims.ClientID == "" || claims.ID == "":
		return server.NewReason("the JWT has no 'sub', no 'client_id' or no 'jti'")
	case claims.ExpiresAt <= claims.IssuedAt || claims.IssuedAt == 0:
		return server.NewReason("the JWT has no 'iat', or no 'exp' after it")
	case int64(claims.NotBefore) > now.Unix()+jwtLeeway || int64(claims.IssuedAt) > now.Unix()+jwtLeeway:
		return server.NewReason("the JWT is not valid yet", slog.Int64("nbf", int64(claims.NotBefore)), slog.Int64("iat", int64(claims.IssuedAt)))
	case len(claims.Audience) == 0:
		return server.NewReason("the JWT has no 'aud'")
	case v.Audience != "" && !server.HasResource(claims.Audience, v.Audience):
		return server.NewReason("the JWT is for another resource", audience, slog.String("resource", v.Audience))
	}
	return nil
}

// verified returns the payload when the signature is that of the key that it
// names, by that key's own algorithm.
func verified(signed *jose.JSONWebSignature, keys *jose.JSONWebKeySet, header jose.Header) []byte {
	for _, key := range keys.Key(header.KeyID) {
		if key.Algorithm != header.Algorithm || !server.IsKeyFor(key, jose.SignatureAlgorithm(header.Algorithm)) {
			continue
		}
		if payload, err := signed.Verify(key); err == nil {
			return payload
		}
	}
	return nil
}

// ValidateToken refuses a token as [BearerTokenValidator] does.
func (v *JWTAccessTokenValidator) ValidateToken(token *server.StoredToken, scopes []string, r *http.Request, now time.Time) error {
	return (&BearerTokenValidator{ClientCertificates: v.ClientCertificates}).ValidateToken(token, scopes, r, now)
}
