package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Protector validates the access token of a request. A resource.Protector is one.
type Protector interface {
	// AcquireToken returns the token if it is valid and has one of the scopes.
	AcquireToken(r *http.Request, scopes ...string) (*storage.StoredToken, error)
	// Refusal returns err as an error with its WWW-Authenticate challenges.
	Refusal(r *http.Request, err error) *server.Error
}

// UserInfo is the UserInfo endpoint (OpenID Connect Core section 5.3), named
// "userinfo". [Provider.Register] registers one.
type UserInfo struct {
	// Provider provides the claims.
	Provider *Provider
	// Protector validates the access token.
	Protector Protector
}

// EndpointName returns "userinfo".
func (*UserInfo) EndpointName() string { return "userinfo" }

// EndpointPath returns "/oauth/userinfo".
func (*UserInfo) EndpointPath() string { return "/oauth/userinfo" }

// Methods returns GET and POST.
func (*UserInfo) Methods() []string { return []string{http.MethodGet, http.MethodPost} }

// PrepareMetadata adds the endpoint's URL.
func (*UserInfo) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["userinfo_endpoint"] = s.EndpointURL("userinfo")
}

// CheckConfig returns an error for each missing or invalid field.
func (e *UserInfo) CheckConfig(config *server.Config) error {
	fault := needsProvider("UserInfo", e.Provider)
	if e.Protector == nil {
		fault = errors.Join(fault, errors.New("oidc: the Protector of UserInfo is missing: write resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[Token](db))"))
	}
	if held, ok := e.Protector.(interface{ Profile() server.Profile }); config.Profile != nil && (!ok || held.Profile() == nil) {
		fault = errors.Join(fault, errors.New("oidc: the Protector of UserInfo does not have the server's Config.Profile: set resource.Config.Profile"))
	}
	return fault
}

// CreateResponse returns the claims of the access token's user that its client may have.
func (e *UserInfo) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	r, err := withTokenOfBody(req)
	if err != nil {
		return nil, err
	}
	token, err := e.Protector.AcquireToken(r, openidScope)
	if err != nil {
		return nil, e.Protector.Refusal(r, err)
	}
	user, err := req.Server.QueryUser(ctx, token.UserID)
	if err != nil {
		return nil, err
	}
	client, err := req.Server.QueryClient(ctx, token.Token.GetClientID())
	if err != nil {
		return nil, err
	}
	if user == nil || client == nil || token.UserID == "" {
		why := reason.New("the user of the token is gone or disabled")
		if client == nil {
			why = req.WhyNoClient(reason.New("the client of the token is gone"))
		}
		return nil, e.Protector.Refusal(r, server.NewError(server.InvalidToken, "The user or the client of the access token is gone or disabled.").BecauseOf(why).OfToken(token))
	}
	if ended := storage.Ended(token.Token.GetAuthorization(), storage.GenerationOf(client), storage.GenerationOf(user)); ended != nil {
		return nil, e.Protector.Refusal(r, server.NewError(server.InvalidToken, "The access token was revoked.").BecauseOf(ended).OfToken(token))
	}
	claims, err := e.claims(ctx, client, user, token)
	if err != nil {
		return nil, err
	}
	claims["sub"] = cmp.Or(token.Token.GetAuthorization().Subject, req.Server.Subject(client, token.UserID))
	return e.respond(ctx, req, client, claims)
}

func (e *UserInfo) claims(ctx context.Context, client storage.Client, user storage.User, token *storage.StoredToken) (map[string]any, error) {
	input := &ClaimsInput{Client: client, User: user, Scope: token.Token.GetScope(), Target: InUserInfo, Claims: make(map[string]any)}
	err := e.Provider.userClaims(ctx, input, true, grantedClaims(token.Token.GetAuthorization().Claims).UserInfo)
	return input.Claims, err
}

// respond returns the claims as JSON or, for a client that registered for it, as a signed
// or encrypted JWT (OpenID Connect Core section 5.3.2).
func (e *UserInfo) respond(ctx context.Context, req *server.Request, client storage.Client, claims map[string]any) (*server.Response, error) {
	answer := e.Provider.answer("userinfo")
	if !answer.Signs(client) && !answer.Encrypts(client) {
		return &server.Response{Body: claims}, nil
	}
	var text string
	var err error
	if answer.Signs(client) {
		signed := maps.Clone(claims)
		signed["iss"], signed["aud"], signed["iat"] = req.Server.Issuer(), client.GetClientID(), req.Time.Unix()
		text, err = answer.Sign(ctx, client, req.Time, "JWT", signed)
	} else {
		var plain []byte
		if plain, err = json.Marshal(claims); err == nil {
			text, err = answer.Encrypt(ctx, client, plain, "")
		}
	}
	if err != nil {
		return nil, err
	}
	return &server.Response{Header: http.Header{"Content-Type": {"application/jwt"}}, Body: []byte(text)}, nil
}

// withTokenOfBody returns the request with the access token of its body, if it has one,
// moved to the Authorization header (RFC 6750 section 2.2).
func withTokenOfBody(req *server.Request) (*http.Request, error) {
	r := req.HTTP
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || media != "application/x-www-form-urlencoded" {
		return r, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, req.Server.MaxRequestBytes()))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		failure := server.NewError(server.InvalidRequest, "The body is too long.")
		failure.Status = http.StatusRequestEntityTooLarge
		return nil, failure
	}
	form, formErr := url.ParseQuery(string(body))
	if err != nil || formErr != nil {
		return nil, server.NewError(server.InvalidRequest, "The body is not form-urlencoded.")
	}
	tokens := form["access_token"]
	switch {
	case len(tokens) == 0:
		return r, nil
	case len(tokens) > 1 || r.Header.Get("Authorization") != "":
		return nil, server.NewError(server.InvalidRequest, "The request has more than one access token.")
	}
	with := r.Clone(r.Context())
	with.Header.Set("Authorization", "Bearer "+tokens[0])
	return with, nil
}
