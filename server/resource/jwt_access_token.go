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
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// JWTAccessTokenValidator validates access tokens that are signed JWTs (RFC 9068) with the
// issuer's keys, without a database query. Other tokens go to the validator of opaque
// tokens, so that both kinds can be used.
type JWTAccessTokenValidator struct {
	// Issuer is the issuer whose tokens are accepted.
	Issuer string
	// Audience is the audience that a token must have. It can be omitted if the protector
	// has [Metadata], whose resource is required anyway.
	Audience string
	// Keys are the issuer's keys.
	Keys jwk.SigningKeys
	// Algorithms are the algorithms with which tokens may be signed. nil means those of the
	// protector's profile or, without one, [jwk.SignatureAlgorithms].
	Algorithms []jose.SignatureAlgorithm
	// Opaque validates tokens that are not JWTs. nil refuses them.
	Opaque *BearerTokenValidator
	// QueryToken also looks up every token in the database, so that a revoked token is
	// refused at once rather than when it expires. This costs the query that a JWT
	// otherwise saves. nil makes no query.
	QueryToken storage.QueryTokenFunc
	// ClientCertificates is the same as in [BearerTokenValidator].
	ClientCertificates forwarded.CertificatesFunc
	// Clock returns the time used to choose keys. nil means time.Now.
	Clock func() time.Time
}

// TokenType returns "Bearer".
func (*JWTAccessTokenValidator) TokenType() string { return "Bearer" }

// WithProfile returns the validator restricted to the algorithms of a profile, or an error
// if Algorithms has others.
func (v *JWTAccessTokenValidator) WithProfile(profile server.Profile) (TokenValidator, error) {
	held := *v
	if held.Algorithms == nil {
		held.Algorithms = profile.SignatureAlgorithms()
	}
	return &held, jwk.CheckAlgorithms(profile, "resource: JWTAccessTokenValidator.Algorithms", held.Algorithms...)
}

// check returns an error for each missing field.
func (v *JWTAccessTokenValidator) check() error {
	var faults []error
	if v.Issuer == "" {
		faults = append(faults, errors.New("resource: JWTAccessTokenValidator.Issuer is missing: set the issuer whose tokens are accepted"))
	}
	if v.Keys == nil {
		faults = append(faults, errors.New("resource: JWTAccessTokenValidator.Keys is missing: set the keys that sign the tokens"))
	}
	if v.Opaque != nil {
		faults = append(faults, v.Opaque.check())
	}
	return errors.Join(faults...)
}

// jwtLeeway is how much the clocks of issuer and API may differ, in seconds.
const jwtLeeway = 30

// jwtAccessToken has the claims of RFC 9068 section 2.2.
type jwtAccessToken struct {
	Issuer       string          `json:"iss"`
	Subject      string          `json:"sub"`
	ClientID     string          `json:"client_id"`
	Audience     jwt.Audience    `json:"aud"`
	ExpiresAt    jwt.NumericDate `json:"exp"`
	NotBefore    jwt.NumericDate `json:"nbf"`
	IssuedAt     jwt.NumericDate `json:"iat"`
	ID           string          `json:"jti"`
	Scope        string          `json:"scope"`
	AuthTime     jwt.NumericDate `json:"auth_time"`
	ACR          string          `json:"acr"`
	AMR          []string        `json:"amr"`
	Confirmation json.RawMessage `json:"cnf"`
	Actor        json.RawMessage `json:"act"`

	AuthorizationDetails json.RawMessage `json:"authorization_details"`
}

// AuthenticateToken verifies the token. The error for an invalid token says only that it is
// unknown; the log has the reason.
func (v *JWTAccessTokenValidator) AuthenticateToken(ctx context.Context, text string) (*storage.StoredToken, error) {
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
		stored, err := v.QueryToken(ctx, storage.TokenQuery{AccessToken: secret.Digest(text)})
		if err != nil {
			return nil, fmt.Errorf("query token: %w", err)
		}
		return stored, nil
	}
	tokenType, confirmation := "Bearer", compact(claims.Confirmation)
	if cnf.Method(confirmation) == cnf.JWKThumbprint {
		tokenType = "DPoP"
	}
	clientID, longClientID := models.SplitClientID(claims.ClientID)
	token := &storage.StoredToken{Token: &models.TokenMixin{
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

// compact returns JSON without whitespace, so that two confirmations can be compared.
func compact(text json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil { // the text is empty
		return string(text)
	}
	return b.String()
}

// verify makes the checks of RFC 9068 section 4, except for the expiry, which is checked
// for all tokens. why is the reason if the token is not valid.
func (v *JWTAccessTokenValidator) verify(ctx context.Context, text string) (claims *jwtAccessToken, why, err error) {
	algorithms := v.Algorithms
	if algorithms == nil {
		algorithms = jwk.SignatureAlgorithms()
	}
	signed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil, reason.New("the JWT is malformed, or signed with an algorithm that is not accepted", slog.String("fault", err.Error())), nil
	}
	header := signed.Signatures[0].Header
	if typ := jwt.Type(header); typ != "at+jwt" {
		return nil, reason.New("the JWT is not an access token", slog.String("typ", typ)), nil // such as an ID token
	}
	now := time.Now()
	if v.Clock != nil {
		now = v.Clock()
	}
	keys, err := jwk.PublicKeysFor(ctx, v.Keys, header.KeyID, now)
	if err != nil {
		return nil, nil, fmt.Errorf("find the issuer's keys: %w", err)
	}
	payload := verified(signed, keys, header)
	if payload == nil {
		return nil, reason.New("the signature of the JWT is wrong, or its key is unknown", slog.String("kid", header.KeyID), slog.String("algorithm", header.Algorithm)), nil
	}
	claims = new(jwtAccessToken)
	if err := strictjson.Unmarshal(payload, claims); err != nil {
		return nil, reason.New("the claims of the JWT are malformed", slog.String("fault", err.Error())), nil
	}
	return claims, v.checkClaims(claims, now), nil
}

// checkClaims returns what is wrong with the claims of a token.
func (v *JWTAccessTokenValidator) checkClaims(claims *jwtAccessToken, now time.Time) error {
	audience := slog.String("audience", strings.Join(claims.Audience, " "))
	switch {
	case claims.Issuer != v.Issuer:
		return reason.New("the JWT was issued by another issuer", slog.String("iss", claims.Issuer))
	case claims.Subject == "" || claims.ClientID == "" || claims.ID == "":
		return reason.New("the JWT has no 'sub', no 'client_id' or no 'jti'")
	case claims.ExpiresAt <= claims.IssuedAt || claims.IssuedAt == 0:
		return reason.New("the JWT has no 'iat', or no 'exp' after it")
	case int64(claims.NotBefore) > now.Unix()+jwtLeeway || int64(claims.IssuedAt) > now.Unix()+jwtLeeway:
		return reason.New("the JWT is not valid yet", slog.Int64("nbf", int64(claims.NotBefore)), slog.Int64("iat", int64(claims.IssuedAt)))
	case len(claims.Audience) == 0:
		return reason.New("the JWT has no 'aud'")
	case v.Audience != "" && !indicator.Has(claims.Audience, v.Audience):
		return reason.New("the JWT is for another resource", audience, slog.String("resource", v.Audience))
	}
	return nil
}

// verified returns the payload if the signature was made with the key that the header names
// and with that key's algorithm, or nil.
func verified(signed *jose.JSONWebSignature, keys *jose.JSONWebKeySet, header jose.Header) []byte {
	for _, key := range keys.Key(header.KeyID) {
		if key.Algorithm != header.Algorithm || !jwk.IsKeyFor(key, jose.SignatureAlgorithm(header.Algorithm)) {
			continue
		}
		if payload, err := signed.Verify(key); err == nil {
			return payload
		}
	}
	return nil
}

// ValidateToken refuses a token for the same reasons as [BearerTokenValidator].
func (v *JWTAccessTokenValidator) ValidateToken(token *storage.StoredToken, scopes []string, r *http.Request, now time.Time) error {
	return (&BearerTokenValidator{ClientCertificates: v.ClientCertificates}).ValidateToken(token, scopes, r, now)
}
