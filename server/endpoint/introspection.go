package endpoint

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/clientjwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Introspection is the token introspection endpoint (RFC 7662), named "introspection": an
// API in another program asks it whether a token is active, and what it is for.
type Introspection struct {
	// QueryToken finds an access token or a refresh token.
	QueryToken storage.QueryTokenFunc
	// APIs are the resources of APIs, by the client id of the API: such a client may
	// introspect access tokens for one of its resources (RFC 8707), as compared by
	// [indicator.Same]. The resources can also be stored with the client; see
	// models.ClientMixin.APIResources. Every client may introspect its own tokens; only its
	// own client may introspect a refresh token.
	APIs map[string][]string
	// DefaultResource is the resource of a token without an audience. If it is empty, no
	// API may introspect such a token.
	DefaultResource string
	// CheckPermission reports whether req.Client may introspect a token, instead of these
	// rules. nil means these rules. A client without permission is told that the token is
	// inactive, and the reason is logged.
	CheckPermission func(ctx context.Context, req *server.Request, token *storage.StoredToken) (bool, error)
	// Keys sign responses as JWTs (RFC 9701) for callers that ask for one. If nil, all
	// responses are JSON.
	Keys jwk.SigningKeys
	// Algorithms are the algorithms that a caller may choose from, by
	// introspection_signed_response_alg in its metadata. nil means all algorithms of Keys,
	// or RS256 if Keys does not list its algorithms. The default is RS256, or the first if
	// RS256 is not among them.
	Algorithms []jose.SignatureAlgorithm
	// Fetcher fetches the keys of callers with a jwks_uri that registered for encrypted
	// responses (introspection_encrypted_response_alg). nil refuses to encrypt for them.
	Fetcher *fetch.Fetcher
	// Username returns the human-readable name of the user. nil omits "username".
	Username func(user storage.User) string
}

// PublishedKeys returns the keys with which callers verify responses.
func (e *Introspection) PublishedKeys() jwk.SigningKeys { return e.Keys }

// EndpointName returns "introspection".
func (*Introspection) EndpointName() string { return "introspection" }

// EndpointPath returns "/oauth/introspect".
func (*Introspection) EndpointPath() string { return "/oauth/introspect" }

// PrepareMetadata adds the endpoint's URL and capabilities (RFC 8414 section 2).
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

// ClientMetadataMembers returns the members that select how a caller's JWT responses are
// signed and encrypted (RFC 9701 section 6). It returns nil if Keys is nil.
func (e *Introspection) ClientMetadataMembers() []string {
	if e.Keys == nil {
		return nil
	}
	return clientjwt.Answer{Called: "introspection"}.Members()
}

// CheckClientMetadata refuses algorithms that the server does not support.
func (e *Introspection) CheckClientMetadata(_ context.Context, req *server.Request, metadata *models.ClientMetadata) error {
	if e.Keys == nil {
		return nil
	}
	return e.answer(req.Server).CheckClientMetadata(metadata)
}

// CheckAuthMethod refuses public clients: otherwise anyone could scan for valid tokens (RFC
// 7662 section 2.1).
func (*Introspection) CheckAuthMethod(method string) bool { return method != models.None }

// CheckConfig returns an error for each missing or invalid field.
func (e *Introspection) CheckConfig(config *server.Config) error {
	var faults []error
	for _, clientID := range slices.Sorted(maps.Keys(e.APIs)) {
		if err := clientmeta.CheckAPIResources(e.APIs[clientID]); err != nil {
			faults = append(faults, fmt.Errorf("endpoint: Introspection.APIs[%q]: %w", clientID, err))
		}
	}
	if err := clientmeta.CheckAPIResources(strings.Fields(e.DefaultResource)); err != nil {
		faults = append(faults, fmt.Errorf("endpoint: Introspection.DefaultResource: %w", err))
	}
	if e.QueryToken == nil {
		faults = append(faults, errors.New("endpoint: Introspection.QueryToken is missing: write gormoauth.CreateIntrospectionEndpoint[Token](db)"))
	}
	if e.Keys != nil {
		faults = append(faults, clientjwt.CheckAlgorithms(config.Profile, "endpoint: Introspection", e.Algorithms, e.Keys))
	}
	return errors.Join(faults...)
}

// Diagnose checks that the look-up of a token that does not exist finds none, and that APIs
// are clients that can authenticate.
func (e *Introspection) Diagnose(ctx context.Context, s *server.Server) finding.List {
	findings := finding.LookUp("endpoint.Introspection.QueryToken", func() (bool, error) {
		token, err := e.QueryToken(ctx, storage.TokenQuery{AccessToken: secret.Digest(rand.Text())})
		return token != nil, err
	})
	return append(findings, e.diagnoseAPIs(ctx, s)...)
}

// Limits of a diagnosis: how many clients it looks up, and for how long in total.
const (
	maxDiagnosedAPIs  = 100
	diagnoseAPIsLimit = 10 * time.Second
)

// diagnoseAPIs finds APIs that are not clients, or that cannot authenticate.
func (e *Introspection) diagnoseAPIs(ctx context.Context, s *server.Server) (findings finding.List) {
	ctx, cancel := context.WithTimeout(ctx, diagnoseAPIsLimit)
	defer cancel()
	clientIDs := slices.Sorted(maps.Keys(e.APIs))
	for _, clientID := range clientIDs[:min(len(clientIDs), maxDiagnosedAPIs)] {
		client, err := s.QueryClient(ctx, clientID)
		if err != nil { // the look-up itself is diagnosed elsewhere
			continue
		}
		problem := "names a client that does not exist"
		if client != nil {
			if slices.ContainsFunc(s.AuthMethods(), func(method string) bool {
				return e.CheckAuthMethod(method) && client.CheckEndpointAuthMethod(method, e.EndpointName())
			}) {
				continue
			}
			problem = "names a client that cannot authenticate here"
		}
		findings = append(findings, finding.Finding{
			Check: "api_client", Severity: finding.Warning, Where: fmt.Sprintf("endpoint.Introspection.APIs[%q]", clientID), Problem: problem,
			Consequence: "no API can introspect a token for " + strings.Join(e.APIs[clientID], " "),
			Remedy:      "make a client with this ClientID by gormoauth.CreateClientFactory, with a secret or a key and without grant types, or correct the id",
		})
	}
	return findings
}

// IsReplaySafe marks the endpoint as one where a replayed request does no harm: it changes
// nothing.
func (*Introspection) IsReplaySafe() {}

// CreateResponse returns the state of the token. For a token that is unknown, revoked or
// expired, that the client may not introspect, or whose user is gone, the response says
// only that it is inactive (RFC 7662 section 2.2).
func (e *Introspection) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	token := req.Params.Get("token")
	if token == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'token'.")
	}
	claims, reason, err := e.introspect(ctx, req, token)
	if err != nil {
		return nil, err
	}
	if reason != nil {
		claims = map[string]any{"active": false}
	}
	if e.Keys == nil || !accepts(req.HTTP, introspectionMediaType) {
		return &server.Response{Body: claims, Reason: reason}, nil
	}
	text, err := e.answer(req.Server).Sign(ctx, req.Client, req.Time, "token-introspection+jwt", map[string]any{
		"iss": req.Server.Issuer(), "aud": req.Client.GetClientID(), "iat": req.Time.Unix(), "token_introspection": claims,
	})
	if err != nil {
		return nil, err
	}
	return &server.Response{Header: http.Header{"Content-Type": {introspectionMediaType}}, Body: []byte(text), Reason: reason}, nil
}

const introspectionMediaType = "application/token-introspection+jwt"

// accepts reports whether the Accept header of a request names a media type.
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

// introspect returns the claims of a token, or the reason why it is inactive for the
// client.
func (e *Introspection) introspect(ctx context.Context, req *server.Request, token string) (map[string]any, *reason.Reason, error) {
	stored, query, err := findToken(ctx, req, e.QueryToken, token)
	if err != nil {
		return nil, nil, err
	}
	if stored == nil {
		return nil, reason.New("the token is unknown"), nil
	}
	if reason := whyDead(req, stored.Token, query); reason != nil {
		return nil, reason, nil
	}
	if reason, err := e.checkPermission(ctx, req, stored, query); err != nil || reason != nil {
		return nil, reason, err
	}
	if reason, err := endedByClient(ctx, req, stored.Token); err != nil || reason != nil {
		return nil, reason, err
	}
	claims, why := claimsOf(stored.Token, query)
	if why != nil {
		return nil, why, nil
	}
	claims["iss"] = req.Server.Issuer()
	if stored.UserID != "" {
		user, err := req.Server.QueryUser(ctx, stored.UserID)
		if err != nil {
			return nil, nil, err
		}
		if user == nil {
			return nil, reason.New("the user of the token is gone or disabled"), nil
		}
		if ended := storage.Ended(stored.Token.GetAuthorization(), 0, storage.GenerationOf(user)); ended != nil {
			return nil, ended, nil
		}
		claims["sub"] = e.subject(req, stored)
		if e.Username != nil {
			claims["username"] = e.Username(user)
		}
	} else {
		claims["sub"] = stored.Token.GetClientID()
	}
	return claims, nil, req.PrepareIntrospection(ctx, stored, claims)
}

// subject returns the user's id for an API, and the client's subject identifier of the
// user, which may differ (OpenID Connect Core section 8.1), for the client of the token.
func (*Introspection) subject(req *server.Request, stored *storage.StoredToken) string {
	if !stored.Token.CheckClient(req.Client.GetClientID()) {
		return stored.UserID
	}
	return cmp.Or(stored.Token.GetAuthorization().Subject, req.Server.Subject(req.Client, stored.UserID))
}

// whyDead returns why a token is not valid, or nil if it is valid.
func whyDead(req *server.Request, token storage.Token, query storage.TokenQuery) *reason.Reason {
	refresh := query.AccessToken == ""
	owner := slog.String("token_client_id", token.GetClientID())
	switch authorization := token.GetAuthorization(); {
	case !req.Server.Issued(authorization):
		return storage.NotIssued(authorization)
	case refresh && token.IsRefreshTokenRevoked(), !refresh && token.IsRevoked():
		return reason.New("the token was revoked", owner)
	case refresh && !token.CheckRefreshToken(query.RefreshToken):
		return reason.New("the refresh token was used before", owner)
	case refresh && token.IsRefreshTokenExpired(req.Time), !refresh && token.IsExpired(req.Time):
		return reason.New("the token has expired", owner)
	}
	return nil
}

// endedByClient returns why a token that is not itself revoked is no longer valid: its
// client is gone, or all of the client's grants were ended. It returns nil if neither is
// true.
func endedByClient(ctx context.Context, req *server.Request, token storage.Token) (*reason.Reason, error) {
	client, clientID := req.Client, token.GetClientID()
	if !token.CheckClient(client.GetClientID()) {
		var err error
		if client, err = req.Server.ClientOf(ctx, clientID); err != nil {
			return nil, err
		}
	}
	if client == nil {
		return req.WhyNoClient(reason.New("the client of the token is gone", slog.String("token_client_id", clientID))), nil
	}
	return storage.Ended(token.GetAuthorization(), storage.GenerationOf(client), 0), nil
}

// checkPermission returns why the client may not introspect a token, or nil if it may.
func (e *Introspection) checkPermission(ctx context.Context, req *server.Request, token *storage.StoredToken, query storage.TokenQuery) (*reason.Reason, error) {
	if e.CheckPermission == nil {
		return e.mayKnow(req, token.Token, query), nil
	}
	permitted, err := e.CheckPermission(ctx, req, token)
	if err != nil {
		return nil, fmt.Errorf("check the permission to introspect: %w", err)
	}
	if !permitted {
		return reason.New("Introspection.CheckPermission does not let the client introspect the token", slog.String("token_client_id", token.Token.GetClientID())), nil
	}
	return nil, nil
}

// mayKnow applies the default rules: the client must be the token's own, or an API that the
// token is for. An audience is compared with the resources that the operator gave the
// client, never with its client id, which a client with a metadata document chooses itself.
func (e *Introspection) mayKnow(req *server.Request, token storage.Token, query storage.TokenQuery) *reason.Reason {
	if token.CheckClient(req.Client.GetClientID()) {
		return nil
	}
	audience := strings.Fields(cmp.Or(token.GetAudience(), e.DefaultResource))
	resources := e.resourcesOf(req.Client)
	values := []slog.Attr{
		slog.String("token_client_id", token.GetClientID()), slog.String("token_audience", strings.Join(audience, " ")), slog.String("api_resources", strings.Join(resources, " ")),
	}
	switch {
	case query.AccessToken == "":
		return reason.New("only its own client may introspect a refresh token", values...)
	case len(resources) == 0:
		return reason.New("the token belongs to another client, and this client is not an API: see ClientMixin.APIResources and Introspection.APIs", values...)
	case len(audience) == 0:
		return reason.New("the token has no audience: see Introspection.DefaultResource", values...)
	case !slices.ContainsFunc(resources, func(one string) bool { return indicator.Has(audience, one) }):
		return reason.New("the token is not for a resource of this API", values...)
	}
	return nil
}

// resourcesOf returns the resources of which a client is the API.
func (e *Introspection) resourcesOf(client storage.Client) []string {
	resources := e.APIs[client.GetClientID()]
	if api, ok := client.(storage.ResourceServer); ok {
		resources = append(slices.Clone(resources), api.GetAPIResources()...)
	}
	return resources
}

// claimsOf returns the claims of a stored token. A refresh token has the scope of its
// grant, which may exceed that of the latest access token. It has no "token_type", which
// says how an access token is presented (RFC 7662 section 2.2), and can be told from an
// access token by that. If an access token's "cnf" or "act" is malformed, the token is
// inactive: without them it would be good for more.
func claimsOf(token storage.Token, query storage.TokenQuery) (map[string]any, *reason.Reason) {
	claims := map[string]any{"active": true, "client_id": token.GetClientID()}
	set := func(name string, value any, known bool) {
		if known {
			claims[name] = value
		}
	}
	if query.AccessToken == "" {
		scope, expiresAt := token.GetGranted().Scope, token.GetRefreshTokenExpiresAt()
		set("scope", scope, scope != "")
		set("exp", expiresAt, expiresAt != 0)
		return claims, nil
	}
	scope, expiresAt, audience := token.GetScope(), token.GetExpiresAt(), strings.Fields(token.GetAudience())
	claims["token_type"] = token.GetTokenType()
	claims["iat"] = token.GetIssuedAt()
	set("scope", scope, scope != "")
	set("exp", expiresAt, expiresAt != 0)
	set("aud", audience, len(audience) > 0)
	for name, text := range map[string]string{"cnf": token.GetConfirmation(), "act": token.GetActor()} {
		if fault := strictjson.ObjectFault(text); text != "" && fault != nil {
			return nil, reason.New("the stored token has malformed JSON", slog.String("claim", name), slog.String("fault", fault.Error()))
		}
		set(name, json.RawMessage(text), text != "")
	}
	details := token.GetAuthorizationDetails()
	set("authorization_details", json.RawMessage(details), details != "")
	how := server.AuthenticationOf(token.GetAuthorization())
	set("auth_time", how.Time, how.Time != 0)
	set("acr", how.ACR, how.ACR != "")
	set("amr", how.AMR, len(how.AMR) > 0)
	return claims, nil
}
