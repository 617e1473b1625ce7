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
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClaimsRequest is the claims parameter of a request (OpenID Connect Core section 5.5).
type ClaimsRequest struct {
	// UserInfo are the claims requested from UserInfo, by name.
	UserInfo map[string]*ClaimRequest `json:"userinfo"`
	// IDToken are the claims requested in the ID token, by name.
	IDToken map[string]*ClaimRequest `json:"id_token"`
}

// ClaimRequest has the details of a request for one claim. nil means that the request has
// only the claim's name.
type ClaimRequest struct {
	// Essential is whether the client needs the claim.
	Essential bool `json:"essential"`
	// Value is the value that the claim should have.
	Value json.RawMessage `json:"value"`
	// Values are the values of which the claim should have one.
	Values []json.RawMessage `json:"values"`
}

const maxRequestedClaims = 128

// ParseClaims parses a claims parameter, such as the Claims of a [server.Request]. An empty
// text is an empty request.
func ParseClaims(text string) (*ClaimsRequest, error) {
	request := new(ClaimsRequest)
	if text == "" {
		return request, nil
	}
	if err := strictjson.Unmarshal([]byte(text), &request); err != nil {
		return nil, fmt.Errorf("oidc: the claims parameter: %w", err)
	}
	if request == nil || len(request.UserInfo)+len(request.IDToken) > maxRequestedClaims {
		return nil, errors.New("oidc: the claims parameter is not an object, or has too many claims")
	}
	for _, claims := range []map[string]*ClaimRequest{request.UserInfo, request.IDToken} {
		maps.DeleteFunc(claims, func(name string, _ *ClaimRequest) bool { return !isClaimName(name) })
	}
	return request, nil
}

// isClaimName reports whether a claim can have the name. The consent page shows the names,
// so an unreadable name is ignored like that of an unknown claim (section 5.5).
func isClaimName(name string) bool { return name != "" && display.Text(name) == name }

// grantedClaims is ParseClaims for claims stored with a grant, which may be older than the
// strict parsing rules: ambiguous members are ignored.
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

// Names returns the sorted names of the requested claims, without protocol claims such as
// "sub", to show on a consent page beside the scope.
func (c *ClaimsRequest) Names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(c.UserInfo)), maps.Keys(c.IDToken))
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), isProtocolClaim)
}

// allows reports whether the request accepts the value of a claim.
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

// Target is where claims are sent.
type Target string

// Targets of claims.
const (
	InIDToken     Target = "id_token"
	InUserInfo    Target = "userinfo"
	InAccessToken Target = "access_token"
)

// ClaimsInput has the claims that are about to be sent to a client.
type ClaimsInput struct {
	// Client is the client that gets the claims.
	Client storage.Client
	// User is the user, or nil if there is none.
	User storage.User
	// Scope is the granted scope, separated by spaces.
	Scope string
	// Target is where the claims are sent.
	Target Target
	// Claims are the claims. The program may change the map or replace it.
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

// protocolClaims are the claims that only the provider sets.
var protocolClaims = [...]string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid", "events", "cnf", "act", "client_id", "scope",
}

// isProtocolClaim reports whether a claim is one of them, ignoring case, as some JSON
// readers do.
func isProtocolClaim(name string) bool {
	return slices.ContainsFunc(protocolClaims[:], func(one string) bool { return strings.EqualFold(one, name) })
}

// userClaims adds to input the claims of the user that the client may have: those of the
// scope if byScope is set, and those that were requested by name.
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

// release copies the known claims that are allowed. A claim with a language tag, such as
// "name#ja", counts as the claim itself (OpenID Connect Core section 5.2).
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

// scopeOf returns the scope that a claim belongs to, or "" if it belongs to none.
func (p *Provider) scopeOf(claim string) string {
	claim, _, _ = strings.Cut(claim, "#")
	for scope, claims := range p.scopes() {
		if slices.Contains(claims, claim) {
			return scope
		}
	}
	return ""
}

// customize calls the program's Claims function, and removes protocol claims that it has
// set.
func (p *Provider) customize(ctx context.Context, input *ClaimsInput) error {
	if p.Claims == nil {
		return nil
	}
	if err := p.Claims(ctx, input); err != nil {
		return fmt.Errorf("customize the claims of a user: %w", err)
	}
	input.Claims = maps.Clone(input.Claims) // the program may have replaced the map by one of its own
	if input.Claims == nil {
		input.Claims = make(map[string]any)
	}
	p.leaveProtocol(ctx, "oidc.Provider.Claims", input.Claims)
	return nil
}

// leaveProtocol removes the protocol claims.
func (p *Provider) leaveProtocol(ctx context.Context, from string, claims map[string]any) {
	ownclaims.Leave(ctx, p.server, from, claims, protocolClaims[:])
}
