package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientCheck is a client's metadata before it is stored, see [Server.CheckClient].
type ClientCheck struct {
	// Source is where the client comes from: [models.ClientByHand], [models.ClientByRegistration]
	// or [models.ClientByDocument]. Empty means by hand.
	Source string
	// Metadata is the client's metadata. It is not modified.
	Metadata models.ClientMetadata
	// GrantTypes are the grant types that a client may have if it registers itself or comes from
	// a metadata document. nil allows those in which a user consents: authorization_code,
	// refresh_token and the device code grant type.
	GrantTypes []string
	// Scope is the most that such a client may have, space separated. Empty is every scope of the
	// server.
	Scope string
	// DefaultScope is the scope of such a client if it asks for none.
	DefaultScope string
	// Check is the operator's own check. It may modify the metadata, or refuse it with an error.
	// nil accepts valid metadata.
	Check func(ctx context.Context, metadata *models.ClientMetadata) error
}

// deviceCodeGrantType is the grant type of RFC 8628.
const deviceCodeGrantType = "urn:ietf:params:oauth:grant-type:device_code"

// consentedGrantTypes returns the grant types in which a user consents.
func consentedGrantTypes() []string {
	return []string{"authorization_code", "refresh_token", deviceCodeGrantType}
}

// CheckClient checks a client's metadata before it is stored. Every client goes through it,
// however it is created or changed. It returns the metadata to store, with the defaults of RFC
// 7591 section 2, checked by [Server.ValidateClientMetadata], by every registered
// [ClientMetadataHook] and by the operator's own check.
//
// For a client that registers itself or comes from a metadata document, CheckClient drops grant
// types, response types, scopes and members that the server does not support (RFC 7591 section
// 3.2.1). It refuses anything unsupported that such a client would rely on: addresses,
// authentication methods, algorithms, and members that require security, such as
// require_pushed_authorization_requests. A client created by hand is also refused for an unknown
// grant type, response type or authentication method, since the operator can correct it at once:
// register grants, extensions and authentication methods with the server before creating the
// first client.
//
// Faults of the metadata are returned as a [*clientmeta.Error], or as the error of a hook or
// the operator's check; for any other error see [AsError].
func (s *Server) CheckClient(ctx context.Context, check ClientCheck) (*models.ClientMetadata, error) {
	if !s.initialized {
		return nil, ErrNotInitialized
	}
	c := &clientCheck{ClientCheck: check, server: s, supported: s.Metadata(), hooks: s.clientMetadataHooks()}
	c.metadata = cloneMetadata(check.Metadata)
	c.normalize()
	c.refuseDemands()
	c.complete()
	if c.registersItself() {
		c.filter()
	} else {
		c.checkSupported()
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	req := RequestFromContext(ctx)
	if req == nil || req.Server != s {
		req = &Request{Server: s, Time: s.Now(), ctx: ctx}
	}
	for _, hook := range c.hooks {
		if err := hook.CheckClientMetadata(ctx, req, c.metadata); err != nil {
			return nil, err
		}
	}
	if c.Check != nil {
		if err := c.Check(ctx, c.metadata); err != nil {
			return nil, err
		}
	}
	if err := c.validate(); err != nil { // the hooks and the operator may have changed it
		return nil, err
	}
	return c.metadata, nil
}

// clientCheck is a check in progress.
type clientCheck struct {
	ClientCheck
	server    *Server
	supported Metadata
	hooks     []ClientMetadataHook
	metadata  *models.ClientMetadata
	faults    []clientmeta.Fault
}

// registersItself reports whether the client itself chose the metadata.
func (c *clientCheck) registersItself() bool {
	return clientrules.IsOwnChoice(c.Source)
}

func (c *clientCheck) fault(member, value, format string, args ...any) {
	c.faults = append(c.faults, clientmeta.Fault{Member: member, Value: value, Problem: fmt.Sprintf(format, args...)})
}

// validate returns the faults found so far together with those of the metadata itself.
func (c *clientCheck) validate() error {
	var invalid *clientmeta.Error
	if err := c.server.ValidateClientMetadata(c.metadata, cmp.Or(c.Source, models.ClientByHand)); errors.As(err, &invalid) {
		for _, fault := range invalid.Faults {
			if !slices.Contains(c.faults, fault) {
				c.faults = append(c.faults, fault)
			}
		}
	}
	if len(c.faults) == 0 {
		return nil
	}
	return &clientmeta.Error{Faults: c.faults}
}

// clientMetadataHooks returns all hooks that check metadata, each once: an extension may belong
// to several grants.
func (s *Server) clientMetadataHooks() (hooks []ClientMetadataHook) {
	for _, value := range s.registered() {
		hook, ok := value.(ClientMetadataHook)
		if ok && (!reflect.TypeOf(value).Comparable() || !slices.Contains(hooks, hook)) {
			hooks = append(hooks, hook)
		}
	}
	return hooks
}

// cloneMetadata returns a copy that shares nothing that the check modifies.
func cloneMetadata(m models.ClientMetadata) *models.ClientMetadata {
	m.RedirectURIs, m.GrantTypes, m.ResponseTypes = slices.Clone(m.RedirectURIs), slices.Clone(m.GrantTypes), slices.Clone(m.ResponseTypes)
	m.Extra = maps.Clone(m.Extra)
	return &m
}

// normalize reduces equivalent metadata to one form: a member that is null is removed (RFC 7592
// section 2.2), and a loopback redirect URI with any port becomes one without a port, which
// matches any port (RFC 8252 section 7.3).
func (c *clientCheck) normalize() {
	m := c.metadata
	if strictjson.IsNull(m.JWKs) {
		m.JWKs = nil
	}
	maps.DeleteFunc(m.Extra, func(_ string, value json.RawMessage) bool { return strictjson.IsNull(value) })
	for i, uri := range m.RedirectURIs {
		m.RedirectURIs[i] = withoutAnyPort(uri)
	}
}

// withoutAnyPort returns http://localhost:*/callback as http://localhost/callback.
func withoutAnyPort(uri string) string {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]", "http://localhost"} {
		rest, ok := strings.CutPrefix(uri, host+":*")
		if ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
			return host + rest
		}
	}
	return uri
}

// refuseDemands refuses members that require security which no hook provides. Dropping such a
// member would have the client rely on it in vain.
func (c *clientCheck) refuseDemands() {
	known := c.members()
	for _, name := range slices.Sorted(maps.Keys(c.metadata.Extra)) {
		switch {
		case slices.Contains(known, name):
		case (strings.HasPrefix(name, "require_") || strings.HasSuffix(name, "_bound_access_tokens")) && string(bytes.TrimSpace(c.metadata.Extra[name])) != "false",
			strings.HasSuffix(name, "_encrypted_response_alg"):
			c.fault(name, "", "requires something that this server does not support; leave it out")
		}
	}
}

// members returns the members beyond RFC 7591 that some hook understands.
func (c *clientCheck) members() (members []string) {
	for _, hook := range c.hooks {
		members = append(members, hook.ClientMetadataMembers()...)
	}
	return members
}

// complete sets missing members to the defaults of RFC 7591 section 2. A metadata document
// contains no secret, so its client is public by default.
func (c *clientCheck) complete() {
	m := c.metadata
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = models.ClientSecretBasic
		if c.Source == models.ClientByDocument {
			m.TokenEndpointAuthMethod = models.None
		}
	}
	if m.GrantTypes == nil {
		m.GrantTypes = []string{"authorization_code"}
	}
	if m.ResponseTypes == nil && slices.Contains(m.GrantTypes, "authorization_code") && !c.registersItself() {
		m.ResponseTypes = []string{"code"}
	}
}

// list returns a list from the server's metadata.
func (c *clientCheck) list(member string) []string {
	values, _ := c.supported[member].([]string)
	return values
}

// checkSupported refuses what a client created by hand could never use.
func (c *clientCheck) checkSupported() {
	c.checkAuthMethod(c.server.AuthMethods())
	for _, grantType := range c.metadata.GrantTypes {
		switch known := c.list("grant_types_supported"); {
		case !slices.Contains(known, grantType):
			c.fault("grant_types", grantType, "is not a grant type of this server, which supports %s; register the grant with the server first", words(known))
		case !c.server.mayUseGrant(grantType, c.metadata.TokenEndpointAuthMethod):
			c.fault("grant_types", grantType, clientrules.NotForAuthMethod, c.metadata.TokenEndpointAuthMethod)
		}
	}
	for _, responseType := range c.metadata.ResponseTypes {
		if known := c.list("response_types_supported"); !slices.ContainsFunc(known, sameWords(responseType)) {
			c.fault("response_types", responseType, "is not a response type of this server, which supports %s; register its grant with the server first", words(known))
		}
	}
}

func (c *clientCheck) checkAuthMethod(allowed []string) {
	if method := c.metadata.TokenEndpointAuthMethod; !slices.Contains(allowed, method) {
		c.fault("token_endpoint_auth_method", method, "cannot be registered here; choose one of %s", words(allowed))
	}
}

// words returns a list as part of a sentence.
func words(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// filter keeps the part of a client's own metadata that the server supports (RFC 7591 section
// 3.2.1).
func (c *clientCheck) filter() {
	methods := c.server.AuthMethods()
	if c.Source == models.ClientByDocument { // which is public
		methods = slices.DeleteFunc(methods, models.UsesClientSecret)
	}
	c.checkAuthMethod(methods)
	c.filterGrantTypes()
	c.filterScope()
	c.metadata.Extra = keepUnderstood(c.metadata.Extra, c.members())
}

// filterGrantTypes keeps the grant types that such a client may have, and the response types that
// go with them. refresh_token is not enough by itself, because a refresh token comes from another
// grant.
func (c *clientCheck) filterGrantTypes() {
	m, allowed := c.metadata, c.GrantTypes
	if allowed == nil {
		allowed = consentedGrantTypes()
	}
	allowed = slices.DeleteFunc(slices.Clone(c.list("grant_types_supported")), func(grantType string) bool {
		return !slices.Contains(allowed, grantType) || !c.server.mayUseGrant(grantType, m.TokenEndpointAuthMethod)
	})
	asked := m.GrantTypes
	m.GrantTypes = slices.DeleteFunc(slices.Clone(asked), func(grantType string) bool { return !slices.Contains(allowed, grantType) })
	c.filterResponseTypes()
	const refresh = "refresh_token"
	if slices.ContainsFunc(m.GrantTypes, func(grantType string) bool { return grantType != refresh }) {
		return
	}
	others := slices.DeleteFunc(allowed, func(grantType string) bool { return grantType == refresh })
	refused := slices.DeleteFunc(slices.Clone(asked), func(grantType string) bool { return slices.Contains(m.GrantTypes, grantType) })
	if len(refused) == 0 && len(m.GrantTypes) > 0 {
		c.fault("grant_types", refresh, "is not enough by itself, because a refresh token comes from another grant; add one of %s", words(others))
		return
	}
	c.fault("grant_types", strings.Join(refused, " "), "cannot be registered here for this client; choose from %s", words(others))
}

// mayUseGrant reports whether a client that authenticates by the method may use a grant type.
func (s *Server) mayUseGrant(grantType, authMethod string) bool {
	grant, _ := s.tokenGrant(grantType)
	hook, ok := grant.(AuthMethodHook)
	return !ok || hook.CheckAuthMethod(authMethod)
}

// filterResponseTypes keeps the response types whose grant types the client has, and drops grant
// types that need a response type and have none. If none of the requested response types is left,
// they are derived from the grant types.
func (c *clientCheck) filterResponseTypes() {
	m, known := c.metadata, c.list("response_types_supported")
	granted := func(responseType string) bool {
		return (clientrules.Issues("code")(responseType) || clientrules.Issues("token")(responseType)) &&
			(!clientrules.Issues("code")(responseType) || slices.Contains(m.GrantTypes, "authorization_code")) &&
			(!clientrules.Issues("token")(responseType) || slices.Contains(m.GrantTypes, "implicit"))
	}
	asked := slices.DeleteFunc(slices.Clone(m.ResponseTypes), func(responseType string) bool {
		return !slices.ContainsFunc(known, sameWords(responseType)) || !granted(responseType)
	})
	if m.ResponseTypes = asked; len(asked) == 0 {
		m.ResponseTypes = slices.DeleteFunc(slices.Clone(known), func(responseType string) bool {
			return !granted(responseType) || clientrules.Issues("code")(responseType) && clientrules.Issues("token")(responseType)
		})
	}
	for _, pair := range clientrules.ResponseTypes() {
		if !slices.ContainsFunc(m.ResponseTypes, clientrules.Issues(pair[0])) {
			m.GrantTypes = slices.DeleteFunc(m.GrantTypes, func(grantType string) bool { return grantType == pair[1] })
		}
	}
	if len(m.ResponseTypes) == 0 {
		m.ResponseTypes = nil
	}
}

// filterScope keeps the scopes that the client may have. A client that asks for none of them gets
// the default, plus offline_access if it may have it.
func (c *clientCheck) filterScope() {
	m, most := c.metadata, strings.Fields(c.Scope)
	may := func(word string) bool {
		return c.server.supports(word) && (c.Scope == "" && c.Source != models.ClientByDocument || slices.Contains(most, word))
	}
	if !clientrules.IsScope(m.Scope) { // validate refuses it
		return
	}
	if m.Scope = wordlist.Keep(m.Scope, may); m.Scope != "" {
		return
	}
	scope := strings.Fields(wordlist.Keep(c.DefaultScope, may))
	offered := slices.Contains(c.list("scopes_supported"), offlineAccess) && may(offlineAccess)
	if len(scope) > 0 && offered && slices.Contains(m.GrantTypes, "refresh_token") && !slices.Contains(scope, offlineAccess) {
		scope = append(scope, offlineAccess)
	}
	m.Scope = strings.Join(scope, " ")
}

// offlineAccess is the scope of OpenID Connect Core section 11.
const offlineAccess = "offline_access"

// keepUnderstood drops members that nothing understands (RFC 7591 section 2), except those in
// another language, such as client_name#ja (section 2.2).
func keepUnderstood(extra map[string]json.RawMessage, members []string) map[string]json.RawMessage {
	translated := []string{"client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"}
	maps.DeleteFunc(extra, func(name string, value json.RawMessage) bool {
		base, _, tagged := strings.Cut(name, "#")
		if tagged && slices.Contains(translated, base) {
			var words string
			return strictjson.Unmarshal(value, &words) != nil
		}
		return !slices.Contains(members, name)
	})
	return extra
}

// ValidateClientMetadata is like the function [clientmeta.Validate], for a client from the
// given source: [models.ClientByHand], [models.ClientByRegistration] or
// [models.ClientByDocument]. A client that chose its own metadata may only use the private-use
// schemes without a dot that are in Config.PrivateUseSchemes (RFC 8252 section 7.1).
func (s *Server) ValidateClientMetadata(m *models.ClientMetadata, source string) error {
	return clientmeta.ValidateBy(m, clientmeta.RulesOf(source, s.config.PrivateUseSchemes))
}

func (s *Server) uriRules(client storage.Client) clientmeta.URIRules {
	if clientrules.RegisteredItself(client) {
		return clientmeta.RulesOf(models.ClientByRegistration, s.config.PrivateUseSchemes)
	}
	return clientmeta.RulesOf(models.ClientByHand, nil)
}

// MayRedirect returns nil if a browser may be redirected to the client at the URI, and otherwise
// an error that says why not. It is called whenever a registered URI is used, because a row may
// be older than the rules, or may have been written by something else.
func (s *Server) MayRedirect(client storage.Client, uri string) error {
	if problem := s.uriRules(client).RedirectProblem(uri); problem != "" {
		return errors.New(problem)
	}
	return nil
}
