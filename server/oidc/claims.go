package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/ownclaims"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server"
)

// ClaimsRequest is the claims parameter of a request (OpenID Connect Core section
// 5.5): what it asks for, claim by claim.
type ClaimsRequest struct {
	// UserInfo is what is wanted from UserInfo.
	UserInfo map[string]*ClaimRequest `json:"userinfo"`
	// IDToken is what is wanted in the ID token.
	IDToken map[string]*ClaimRequest `json:"id_token"`
}

// ClaimRequest is what a request says of one claim; nil is nothing but its name.
type ClaimRequest struct {
	// Essential is whether the client cannot do without.
	Essential bool `json:"essential"`
	// Value is the value that it should have.
	Value json.RawMessage `json:"value"`
	// Values are those of which it should have one.
	Values []json.RawMessage `json:"values"`
}

const maxRequestedClaims = 128

// ParseClaims reads a claims parameter, such as the Claims of a [server.Request].
// Nothing asks for nothing.
func ParseClaims(text string) (*ClaimsRequest, error) {
	request := new(ClaimsRequest)
	if text == "" {
		return request, nil
	}
	if err := strictjson.Unmarshal([]byte(text), &request); err != nil {
		return nil, fmt.Errorf("oidc: the claims parameter: %w", err)
	}
	if request == nil || len(request.UserInfo)+len(request.IDToken) > maxRequestedClaims {
		return nil, errors.New("oidc: the claims parameter is no object of a few claims")
	}
	for _, claims := range []map[string]*ClaimRequest{request.UserInfo, request.IDToken} {
		maps.DeleteFunc(claims, func(name string, _ *ClaimRequest) bool { return !isClaimName(name) })
	}
	return request, nil
}

// isClaimName reports whether a claim could have the name. A page shows what is asked
// for: a name that nobody can read is that of no claim, which is left out like any that
// is not known (section 5.5).
func isClaimName(name string) bool { return name != "" && server.DisplayText(name) == name }

// grantedClaims is ParseClaims for what was stored with a grant, which may be older than
// the rule by which claims are read: what has two readings asks for nothing.
func grantedClaims(text string) *ClaimsRequest {
	request, err := ParseClaims(text)
	if err == nil {
		return request
	}
	request = new(ClaimsRequest)
	members, _, _ := strictjson.Stored([]byte(text))
	_ = strictjson.Unmarshal(members["userinfo"], &request.UserInfo)
	_ = strictjson.Unmarshal(members["id_token"], &request.IDToken)
	return request
}

// Names are the claims that are asked for, in order, but for those of the protocol
// itself: what a page shows beside the scope.
func (c *ClaimsRequest) Names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(c.UserInfo)), maps.Keys(c.IDToken))
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), isProtocolClaim)
}

// allows reports whether a claim has a value that the request wants.
func (c *ClaimRequest) allows(value string) bool {
	if c == nil {
		return true
	}
	wanted := c.Values
	if c.Value != nil {
		wanted = append(slices.Clone(wanted), c.Value)
	}
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(raw json.RawMessage) bool {
		var text string
		return strictjson.Unmarshal(raw, &text) == nil && text == value
	})
}

// Target is where claims go.
type Target string

// Where claims go.
const (
	InIDToken     Target = "id_token"
	InUserInfo    Target = "userinfo"
	InAccessToken Target = "access_token"
)

// ClaimsInput is what a client is about to be told.
type ClaimsInput struct {
	// Client is who is told.
	Client server.Client
	// User is the user, nil where there is none.
	User server.User
	// Scope is what was granted, space separated.
	Scope string
	// Target is where the claims go.
	Target Target
	// Claims are the claims, to be changed, or to be replaced by a map of the program's own.
	Claims map[string]any
}

// standardScopes are the claims of the scopes of OpenID Connect Core section 5.4.
func standardScopes() map[string][]string {
	return map[string][]string{
		"profile": {
			"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender",
			"birthdate", "zoneinfo", "locale", "updated_at",
		},
		"email":   {"email", "email_verified"},
		"address": {"address"},
		"phone":   {"phone_number", "phone_number_verified"},
	}
}

// protocolClaims are those that only the provider says anything about.
var protocolClaims = [...]string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid", "events", "cnf", "act", "client_id", "scope",
}

// isProtocolClaim reports whether a claim is one of them, or a reader that folds case
// takes it for one.
func isProtocolClaim(name string) bool {
	return slices.ContainsFunc(protocolClaims[:], func(one string) bool { return strings.EqualFold(one, name) })
}

// userClaims returns what a client may know of a user: what the scope covers where
// byScope says so, and what was asked for claim by claim.
func (p *Provider) userClaims(ctx context.Context, input *ClaimsInput, byScope bool, requested map[string]*ClaimRequest) error {
	user, ok := input.User.(User)
	if !ok {
		return p.customize(ctx, input)
	}
	granted := strings.Fields(input.Scope)
	if byScope {
		known, err := user.GetClaims(ctx, granted)
		if err != nil {
			return fmt.Errorf("get the claims of a user: %w", err)
		}
		p.release(ctx, input.Claims, known, func(claim string) bool {
			scope := p.scopeOf(claim)
			return scope == "" || slices.Contains(granted, scope)
		})
	}
	var scopes []string
	for claim := range requested {
		if scope := p.scopeOf(claim); scope != "" && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) > 0 {
		known, err := user.GetClaims(ctx, scopes)
		if err != nil {
			return fmt.Errorf("get the claims of a user: %w", err)
		}
		p.release(ctx, input.Claims, known, func(claim string) bool { _, asked := requested[claim]; return asked })
	}
	return p.customize(ctx, input)
}

// release copies the claims that are known and allowed. One in another language,
// such as "name#ja", is the same claim (OpenID Connect Core section 5.2).
func (p *Provider) release(ctx context.Context, into, known map[string]any, allowed func(claim string) bool) {
	known = maps.Clone(known)
	p.leaveProtocol(ctx, "User.GetClaims", known)
	for name, value := range known {
		claim, _, _ := strings.Cut(name, "#")
		if value != nil && value != "" && allowed(claim) {
			into[name] = value
		}
	}
}

// scopeOf returns the scope that a claim belongs to, empty when it is none's.
func (p *Provider) scopeOf(claim string) string {
	claim, _, _ = strings.Cut(claim, "#")
	for scope, claims := range p.scopes() {
		if slices.Contains(claims, claim) {
			return scope
		}
	}
	return ""
}

// customize asks the program, and takes back what only the provider may say.
func (p *Provider) customize(ctx context.Context, input *ClaimsInput) error {
	if p.Claims == nil {
		return nil
	}
	if err := p.Claims(ctx, input); err != nil {
		return fmt.Errorf("customize the claims of a user: %w", err)
	}
	input.Claims = maps.Clone(input.Claims) // it may be a map of the program's own by now
	if input.Claims == nil {
		input.Claims = make(map[string]any)
	}
	p.leaveProtocol(ctx, "oidc.Provider.Claims", input.Claims)
	return nil
}

// leaveProtocol leaves out what only the provider says anything about.
func (p *Provider) leaveProtocol(ctx context.Context, from string, claims map[string]any) {
	ownclaims.Leave(ctx, p.server, from, claims, protocolClaims[:])
}
