package oidc

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
)

const implicitGrantType = "implicit"

// Implicit is the implicit flow (OpenID Connect Core section 3.2), for the response types
// "id_token" and "id_token token": the tokens are in the fragment of the redirect, or are
// posted with response_mode form_post.
type Implicit struct {
	// Provider issues the ID tokens.
	Provider *Provider
}

// ResponseTypes returns "id_token" and "id_token token".
func (*Implicit) ResponseTypes() []string { return []string{"id_token", "id_token token"} }

// ResponseMode returns "fragment".
func (*Implicit) ResponseMode() string { return "fragment" }

// CheckConfig returns an error if Provider is missing.
func (g *Implicit) CheckConfig(*server.Config) error { return needsProvider("Implicit", g.Provider) }

// PrepareMetadata adds the grant type "implicit", which no token request uses, and the
// claim "s_hash".
func (*Implicit) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("grant_types_supported", implicitGrantType)
	metadata.Add("claims_supported", "s_hash")
}

// CheckAuthorizationRequest checks the requirements of the flow (OpenID Connect Core
// section 3.2.2.1).
func (*Implicit) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	return checkFrontChannel(req)
}

// Authorize issues the ID token, and the access token if the response type has one.
func (g *Implicit) Authorize(ctx context.Context, req *server.Request) (map[string][]string, error) {
	return g.Provider.frontChannel(ctx, req, map[string][]string{}, "")
}

// Hybrid is the hybrid flow (OpenID Connect Core section 3.3), for the response types
// "code id_token", "code token" and "code id_token token".
type Hybrid struct {
	// Provider issues the ID tokens.
	Provider *Provider
	// Code is the authorization code grant, such as that of
	// gormoauth.CreateAuthorizationCodeGrant. The extensions of the server's grant for the
	// response type "code" apply to the hybrid flow too.
	Code server.AuthorizationGrant
}

// ResponseTypes returns "code id_token", "code token" and "code id_token token".
func (*Hybrid) ResponseTypes() []string {
	return []string{"code id_token", "code token", "code id_token token"}
}

// ResponseMode returns "fragment".
func (*Hybrid) ResponseMode() string { return "fragment" }

// RedeemedBy returns "authorization_code", the grant type that redeems the code.
func (*Hybrid) RedeemedBy() string { return "authorization_code" }

// WrappedGrant returns the authorization code grant, whose extensions apply to the hybrid
// flow too.
func (g *Hybrid) WrappedGrant() server.AuthorizationGrant { return g.Code }

// PrepareMetadata adds the claims "c_hash" and "s_hash".
func (*Hybrid) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("claims_supported", "c_hash", "s_hash")
}

// CheckConfig returns an error for each missing field.
func (g *Hybrid) CheckConfig(*server.Config) error {
	fault := needsProvider("Hybrid", g.Provider)
	if g.Code == nil {
		fault = errors.Join(fault, errors.New("oidc: Hybrid.Code is missing: write gormoauth.CreateAuthorizationCodeGrant[AuthorizationCode](db)"))
	}
	return fault
}

// CheckAuthorizationRequest checks the requirements of the flow (OpenID Connect Core
// section 3.3.2.1).
func (*Hybrid) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	if !req.Client.CheckGrantType("authorization_code") {
		return errMayNotUse()
	}
	return checkFrontChannel(req)
}

// Authorize issues a code, and the tokens of the response type.
func (g *Hybrid) Authorize(ctx context.Context, req *server.Request) (map[string][]string, error) {
	params, err := g.Code.Authorize(ctx, req)
	if err != nil {
		return nil, err
	}
	code := ""
	if values := params["code"]; len(values) == 1 {
		code = values[0]
	}
	return g.Provider.frontChannel(ctx, req, params, code)
}

func needsProvider(name string, provider *Provider) error {
	if provider == nil {
		return errors.New("oidc: " + name + ".Provider is missing: set the provider that is registered")
	}
	return nil
}

// checkFrontChannel checks a request for tokens that are sent through the browser.
func checkFrontChannel(req *server.Request) error {
	wantsIDToken := wordlist.Has(req.ResponseType, "id_token")
	switch {
	case !req.Client.CheckGrantType(implicitGrantType):
		return errMayNotUse()
	case wantsIDToken && !isOpenID(req.Scope):
		return server.NewError(server.InvalidScope, "An ID token needs the scope 'openid'.")
	case wantsIDToken && !req.Params.Has("nonce"):
		return server.NewError(server.InvalidRequest, "The request has no 'nonce'.")
	}
	return nil
}

func errMayNotUse() error {
	return server.NewError(server.UnauthorizedClient, "The client may not use this 'response_type'.")
}

// frontChannel adds to an authorization response the tokens that it carries. An access
// token beside a code ends with the code's grant.
func (p *Provider) frontChannel(ctx context.Context, req *server.Request, params map[string][]string, code string) (map[string][]string, error) {
	wanted := strings.Fields(req.ResponseType)
	token := idToken{
		authentication: req.Authentication, nonce: req.Params.Get("nonce"), claims: req.Authorization.Claims,
		sid: p.sid(req.Client, req.Authentication.SessionID), code: code, state: req.State,
	}
	if slices.Contains(wanted, "token") {
		response, err := req.IssueToken(ctx, implicitGrantType, &server.Issuance{User: req.User, Scope: req.Scope, GrantID: secret.Present(code).GrantID})
		if err != nil {
			return nil, err
		}
		for name, values := range response.Parameters() {
			params[name] = values
		}
		token.accessToken = response.AccessToken
	}
	if slices.Contains(wanted, "id_token") {
		token.byScope = token.accessToken == "" && code == "" // the client gets no access token for UserInfo
		text, err := p.idToken(ctx, req, token)
		if err != nil {
			return nil, err
		}
		params["id_token"] = []string{text}
	}
	return params, nil
}
