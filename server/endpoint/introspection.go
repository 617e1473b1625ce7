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
	"github.com/gormoauth/gormoauth/server/fetch"
)

// Introspection is the token introspection endpoint (RFC 7662), named
// "introspection": an API in another program asks it what a token stands for.
type Introspection struct {
	// QueryToken finds a token.
	QueryToken server.QueryTokenFunc
	// APIs are the resources at which clients are the API, by client id: such a client
	// may know of access tokens that are for one of them (RFC 8707), by
	// [server.SameResource]. So may a client whose row says so, see
	// models.ClientMixin.APIResources. Any client may know of its own tokens, and a
	// refresh token is for its client alone.
	APIs map[string][]string
	// DefaultResource is what a token without an audience is for; empty is nothing, so
	// that no API may know of it.
	DefaultResource string
	// CheckPermission reports whether the client that asks, req.Client, may know of a
	// token, in place of these rules; nil is these. To a client that may not, the token
	// is inactive, and the log has the reason.
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

// PublishedKeys returns the keys, by which callers verify answers.
func (e *Introspection) PublishedKeys() server.SigningKeys { return e.Keys }

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
	for _, clientID := range slices.Sorted(maps.Keys(e.APIs)) {
		if err := server.CheckAPIResources(e.APIs[clientID]); err != nil {
			faults = append(faults, fmt.Errorf("endpoint: Introspection.APIs[%q]: %w", clientID, err))
		}
	}
	if err := server.CheckAPIResources(strings.Fields(e.DefaultResource)); err != nil {
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

// Diagnose finds tokens that are not there, and APIs that can ask nothing.
func (e *Introspection) Diagnose(ctx context.Context, s *server.Server) server.Findings {
	findings := server.DiagnoseLookUp("endpoint.Introspection.QueryToken", func() (bool, error) {
		token, err := e.QueryToken(ctx, server.TokenQuery{AccessToken: server.Digest(rand.Text())})
		return token != nil, err
	})
	return append(findings, e.diagnoseAPIs(ctx, s)...)
}

// How many clients a diagnosis looks up, and for how long altogether.
const (
	maxDiagnosedAPIs  = 100
	diagnoseAPIsLimit = 10 * time.Second
)

// diagnoseAPIs finds APIs that are not there, or that do not authenticate.
func (e *Introspection) diagnoseAPIs(ctx context.Context, s *server.Server) (findings server.Findings) {
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
		findings = append(findings, server.Finding{
			Check: "api_client", Severity: server.Warning, Where: fmt.Sprintf("endpoint.Introspection.APIs[%q]", clientID), Problem: problem,
			Consequence: "no API can ask what a token for " + strings.Join(e.APIs[clientID], " ") + " stands for",
			Remedy:      "make a client of this ClientID by gormoauth.CreateClientFactory, with a secret or a key and without grant types, or correct the id",
		})
	}
	return findings
}

// IsReplaySafe says that a replay does no harm: it changes nothing.
func (*Introspection) IsReplaySafe() {}

// CreateResponse tells what the token stands for. Of a token that is unknown, revoked or
// expired, that the client may not know of, or whose user is gone, it says that it is
// inactive and nothing more (RFC 7662 section 2.2).
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

// introspect returns what the client may know of a token, or why that is nothing.
func (e *Introspection) introspect(ctx context.Context, req *server.Request, token string) (map[string]any, *server.Reason, error) {
	stored, query, err := findToken(ctx, req, e.QueryToken, token)
	if err != nil {
		return nil, nil, err
	}
	if stored == nil {
		return nil, server.NewReason("the token is unknown"), nil
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
	claims, reason := claimsOf(stored.Token, query)
	if reason != nil {
		return nil, reason, nil
	}
	claims["iss"] = req.Server.Issuer()
	if stored.UserID != "" {
		user, err := req.Server.QueryUser(ctx, stored.UserID)
		if err != nil {
			return nil, nil, err
		}
		if user == nil {
			return nil, server.NewReason("the user of the token is gone or disabled"), nil
		}
		if ended := server.Ended(stored.Token.GetAuthorization(), 0, server.GenerationOf(user)); ended != nil {
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

// subject is the user's id, but for the client of the token itself, which may know
// the user by another (OpenID Connect Core section 8.1).
func (*Introspection) subject(req *server.Request, stored *server.StoredToken) string {
	if !stored.Token.CheckClient(req.Client.GetClientID()) {
		return stored.UserID
	}
	return cmp.Or(stored.Token.GetAuthorization().Subject, req.Server.Subject(req.Client, stored.UserID))
}

// whyDead returns why a token opens nothing any more, nil where it does.
func whyDead(req *server.Request, token server.Token, query server.TokenQuery) *server.Reason {
	refresh := query.AccessToken == ""
	owner := slog.String("token_client_id", token.GetClientID())
	switch authorization := token.GetAuthorization(); {
	case !req.Server.Issued(authorization):
		return server.NotIssued(authorization)
	case refresh && token.IsRefreshTokenRevoked(), !refresh && token.IsRevoked():
		return server.NewReason("the token was revoked", owner)
	case refresh && !token.CheckRefreshToken(query.RefreshToken):
		return server.NewReason("the refresh token was used before", owner)
	case refresh && token.IsRefreshTokenExpired(req.Time), !refresh && token.IsExpired(req.Time):
		return server.NewReason("the token has expired", owner)
	}
	return nil
}

// endedByClient returns why a token opens nothing any more that was not revoked yet itself:
// its client is gone, or all grants of that were ended.
func endedByClient(ctx context.Context, req *server.Request, token server.Token) (*server.Reason, error) {
	client, clientID := req.Client, token.GetClientID()
	if !token.CheckClient(client.GetClientID()) {
		var err error
		if client, err = req.Server.ClientOf(ctx, clientID); err != nil {
			return nil, err
		}
	}
	if client == nil {
		return req.WhyNoClient(server.NewReason("the client of the token is gone", slog.String("token_client_id", clientID))), nil
	}
	return server.Ended(token.GetAuthorization(), server.GenerationOf(client), 0), nil
}

// checkPermission returns why the client may not know of a token, nil where it may.
func (e *Introspection) checkPermission(ctx context.Context, req *server.Request, token *server.StoredToken, query server.TokenQuery) (*server.Reason, error) {
	if e.CheckPermission == nil {
		return e.mayKnow(req, token.Token, query), nil
	}
	permitted, err := e.CheckPermission(ctx, req, token)
	if err != nil {
		return nil, fmt.Errorf("check the permission to introspect: %w", err)
	}
	if !permitted {
		return server.NewReason("Introspection.CheckPermission does not let the client know of the token", slog.String("token_client_id", token.Token.GetClientID())), nil
	}
	return nil, nil
}

// mayKnow is the rule of a client that is the token's own, or the API that it is for. An
// audience is compared with what the operator says of the client, and never with its id,
// which a client that comes by a document chooses itself.
func (e *Introspection) mayKnow(req *server.Request, token server.Token, query server.TokenQuery) *server.Reason {
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
		return server.NewReason("a refresh token is for its own client alone", values...)
	case len(resources) == 0:
		return server.NewReason("the token is another client's, and this client is not an API: see ClientMixin.APIResources and Introspection.APIs", values...)
	case len(audience) == 0:
		return server.NewReason("the token is for no resource: see Introspection.DefaultResource", values...)
	case !slices.ContainsFunc(resources, func(one string) bool { return server.HasResource(audience, one) }):
		return server.NewReason("the token is not for a resource at which this client is the API", values...)
	}
	return nil
}

// resourcesOf returns the resources at which a client is the API.
func (e *Introspection) resourcesOf(client server.Client) []string {
	resources := e.APIs[client.GetClientID()]
	if api, ok := client.(server.ResourceServer); ok {
		resources = append(slices.Clone(resources), api.GetAPIResources()...)
	}
	return resources
}

// claimsOf is what the row says. A refresh token stands for its grant, which
// may be more than the access token of the day; it has no "token_type", which is how an access
// token is presented (RFC 7662 section 2.2), and is told from one by that. Of an access token whose row does not say
// in one way to which key it is bound, or who acts with it, nothing is told: without that
// it would stand for more.
func claimsOf(token server.Token, query server.TokenQuery) (map[string]any, *server.Reason) {
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
			return nil, server.NewReason("the row of the token has JSON that cannot be read", slog.String("claim", name), slog.String("fault", fault.Error()))
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
