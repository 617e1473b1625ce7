package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/clientjwt"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// Introspection is the token introspection endpoint (RFC 7662), named
// "introspection": an API in another program asks it what a token stands for.
type Introspection struct {
	// QueryToken finds a token.
	QueryToken server.QueryTokenFunc
	// CheckPermission reports whether the client that asks, req.Client, may
	// know of a token. To one that may not, the token is inactive. nil lets a
	// client know of its own tokens, and of those whose audience names it by its
	// client id; an API that others get tokens for needs more.
	CheckPermission func(ctx context.Context, req *server.Request, token *server.StoredToken) (bool, error)
	// Keys sign answers as JWTs (RFC 9701) for callers that ask for one; nil
	// answers all in JSON.
	Keys server.SigningKeys
	// Algorithms are those that a caller may choose among, by
	// introspection_signed_response_alg in its metadata; nil is every one that Keys
	// have, or RS256 where those do not say. A caller that does not say gets RS256, or
	// else the first.
	Algorithms []jose.SignatureAlgorithm
	// Fetcher gets the keys of callers with a jwks_uri that registered for encrypted
	// answers (introspection_encrypted_response_alg); nil refuses to encrypt for those.
	Fetcher *fetch.Fetcher
	// Username returns the name that people know the user by; nil tells none.
	Username func(user server.User) string
}

// EndpointName returns "introspection".
func (*Introspection) EndpointName() string { return "introspection" }

// EndpointPath returns "/oauth/introspect".
func (*Introspection) EndpointPath() string { return "/oauth/introspect" }

// PrepareMetadata names the endpoint (RFC 8414 section 2).
func (e *Introspection) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["introspection_endpoint"] = s.EndpointURL("introspection")
	metadata["introspection_endpoint_auth_methods_supported"] = slices.DeleteFunc(s.AuthMethods(), func(method string) bool {
		return !e.CheckAuthMethod(method)
	})
	if e.Keys != nil {
		e.answer(s).PrepareMetadata(metadata)
	}
}

func (e *Introspection) answer(s *server.Server) clientjwt.Answer {
	return clientjwt.Answer{Called: "introspection", Keys: e.Keys, Algorithms: clientjwt.Algorithms(s, e.Algorithms, e.Keys), Fetcher: e.Fetcher}
}

// ClientMetadataMembers returns the members by which a caller says how it wants answers
// that are JWTs (RFC 9701 section 6); none where there are no keys for them.
func (e *Introspection) ClientMetadataMembers() []string {
	if e.Keys == nil {
		return nil
	}
	return clientjwt.Answer{Called: "introspection"}.Members()
}

// CheckClientMetadata refuses algorithms that the server does not have.
func (e *Introspection) CheckClientMetadata(_ context.Context, req *server.Request, metadata *models.ClientMetadata) error {
	if e.Keys == nil {
		return nil
	}
	return e.answer(req.Server).CheckClientMetadata(metadata)
}

// CheckAuthMethod refuses a public client: whoever may ask could try out
// tokens (RFC 7662 section 2.1).
func (*Introspection) CheckAuthMethod(method string) bool { return method != models.None }

// CheckConfig names what is missing.
func (e *Introspection) CheckConfig(config *server.Config) error {
	var faults []error
	if e.QueryToken == nil {
		faults = append(faults, errors.New("endpoint: Introspection.QueryToken is missing: write gormoauth.CreateIntrospectionEndpoint[Token](db)"))
	}
	if e.Keys != nil {
		faults = append(faults, clientjwt.CheckAlgorithms(config.Profile, "endpoint: Introspection", e.Algorithms, e.Keys))
	}
	return errors.Join(faults...)
}

// CreateResponse tells what the token stands for. Of a token that is unknown,
// revoked, expired, somebody else's or of a user who is gone it says that it
// is inactive and nothing more (RFC 7662 section 2.2).
func (e *Introspection) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	token := req.Params.Get("token")
	if token == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'token'.")
	}
	claims, err := e.introspect(ctx, req, token)
	if err != nil {
		return nil, err
	}
	if claims == nil {
		claims = map[string]any{"active": false}
	}
	if e.Keys == nil || !accepts(req.HTTP, introspectionMediaType) {
		return &server.Response{Body: claims}, nil
	}
	text, err := e.answer(req.Server).Sign(ctx, req.Client, req.Time, "token-introspection+jwt", map[string]any{
		"iss": req.Server.Issuer(), "aud": req.Client.GetClientID(), "iat": req.Time.Unix(), "token_introspection": claims,
	})
	if err != nil {
		return nil, err
	}
	return &server.Response{Header: http.Header{"Content-Type": {introspectionMediaType}}, Body: []byte(text)}, nil
}

const introspectionMediaType = "application/token-introspection+jwt"

// accepts reports whether a request asks for a media type by its name.
func accepts(r *http.Request, mediaType string) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			if media, _, err := mime.ParseMediaType(part); err == nil && media == mediaType {
				return true
			}
		}
	}
	return false
}

// introspect returns nil for a token that is inactive to the client.
func (e *Introspection) introspect(ctx context.Context, req *server.Request, token string) (map[string]any, error) {
	stored, query, err := findToken(ctx, req, e.QueryToken, token)
	if err != nil || stored == nil || !alive(req, stored.Token, query) {
		return nil, err
	}
	if permitted, err := e.checkPermission(ctx, req, stored); err != nil || !permitted {
		return nil, err
	}
	claims := claimsOf(stored.Token, query)
	claims["iss"] = req.Server.Issuer()
	if stored.UserID != "" {
		user, err := req.Server.QueryUser(ctx, stored.UserID)
		if err != nil || user == nil {
			return nil, err
		}
		claims["sub"] = e.subject(req, stored)
		if e.Username != nil {
			claims["username"] = e.Username(user)
		}
	} else {
		claims["sub"] = stored.Token.GetClientID()
	}
	return claims, req.PrepareIntrospection(ctx, stored, claims)
}

// subject is the user's id, but for the client of the token itself, which may know
// the user by another (OpenID Connect Core section 8.1).
func (*Introspection) subject(req *server.Request, stored *server.StoredToken) string {
	if !stored.Token.CheckClient(req.Client.GetClientID()) {
		return stored.UserID
	}
	return req.Server.Subject(req.Client, stored.UserID)
}

func alive(req *server.Request, token server.Token, query server.TokenQuery) bool {
	if query.AccessToken != "" {
		return !token.IsRevoked() && !token.IsExpired(req.Time)
	}
	return token.CheckRefreshToken(query.RefreshToken) && !token.IsRefreshTokenRevoked() && !token.IsRefreshTokenExpired(req.Time)
}

func (e *Introspection) checkPermission(ctx context.Context, req *server.Request, token *server.StoredToken) (bool, error) {
	if e.CheckPermission == nil {
		id := req.Client.GetClientID()
		return token.Token.CheckClient(id) || slices.Contains(strings.Fields(token.Token.GetAudience()), id), nil
	}
	permitted, err := e.CheckPermission(ctx, req, token)
	if err != nil {
		return false, fmt.Errorf("check the permission to introspect: %w", err)
	}
	return permitted, nil
}

// claimsOf is what the row says. A refresh token stands for its grant, which
// may be more than the access token of the day.
func claimsOf(token server.Token, query server.TokenQuery) map[string]any {
	claims := map[string]any{"active": true, "client_id": token.GetClientID()}
	set := func(name string, value any, known bool) {
		if known {
			claims[name] = value
		}
	}
	if query.AccessToken == "" {
		scope, expiresAt := token.GetGrantedScope(), token.GetRefreshTokenExpiresAt()
		set("scope", scope, scope != "")
		set("exp", expiresAt, expiresAt != 0)
		return claims
	}
	scope, expiresAt, audience := token.GetScope(), token.GetExpiresAt(), strings.Fields(token.GetAudience())
	claims["token_type"] = token.GetTokenType()
	claims["iat"] = token.GetIssuedAt()
	set("scope", scope, scope != "")
	set("exp", expiresAt, expiresAt != 0)
	set("aud", audience, len(audience) > 0)
	confirmation := token.GetConfirmation()
	set("cnf", json.RawMessage(confirmation), confirmation != "")
	details := token.GetAuthorizationDetails()
	set("authorization_details", json.RawMessage(details), details != "")
	actor := token.GetActor()
	set("act", json.RawMessage(actor), actor != "")
	how := server.AuthenticationOf(token)
	set("auth_time", how.Time, how.Time != 0)
	set("acr", how.ACR, how.ACR != "")
	set("amr", how.AMR, len(how.AMR) > 0)
	return claims
}
