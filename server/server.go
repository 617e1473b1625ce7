package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/construct"
	"github.com/gormoauth/gormoauth/internal/crossorigin"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server/indicator"
)

// Server is an authorization server. Create one with [New], or declare one and call [Server.Init]
// later. Register grants, endpoints and extensions before it starts serving; after that it is
// safe for concurrent use.
type Server struct {
	config      Config
	given       Config // config without the defaults
	initialized bool
	registrations

	generators         map[string]TokenGenerator
	resourceGenerators []resourceGenerator
	crossOrigin        *crossorigin.Sharing
}

// registrations are everything that is registered with a server.
type registrations struct {
	grants     []registration
	endpoints  map[string]Endpoint
	methods    []ClientAuthMethod
	extensions []any
	repeatable []string
	observers  Observers
	lookups    []ClientLookupHook
	// otherHooks are the endpoints, by name, and the client authentication methods that are hooks
	// as well.
	otherHooks []any
}

// registration is a grant with its extensions, the grant first.
type registration struct {
	grant      any
	given      []any // the extensions that it was registered with
	extensions []any
}

// TokenGrant issues tokens at the token endpoint (RFC 6749 section 4).
type TokenGrant interface {
	// GrantType returns the grant_type that the grant answers.
	GrantType() string
	// PrepareIssuance reads the grant's own parameters of the request and returns what is to be
	// issued. The client has authenticated and may use the grant; the engine afterwards checks
	// what all grants have in common.
	PrepareIssuance(ctx context.Context, req *Request) (*Issuance, error)
}

// AuthorizationGrant answers authorization requests (RFC 6749 section 3.1).
type AuthorizationGrant interface {
	// ResponseTypes returns the response_type values that the grant answers.
	ResponseTypes() []string
	// ResponseMode returns the default mode of its responses: "query" or "fragment".
	ResponseMode() string
	// Authorize returns the response's parameters. req.User has granted the request.
	Authorize(ctx context.Context, req *Request) (map[string][]string, error)
}

// WrappingGrant is implemented by a grant that issues what another grant issues, and more.
// Everything that applies to the other grant applies to it as well: the other grant is a hook for
// its requests, and so are the extensions of the grant that answers the other's response types on
// this server, or the other's default extensions if there is none. An extension that the wrapping
// grant is registered with replaces one of these of the same type.
type WrappingGrant interface {
	// WrappedGrant returns the other grant.
	WrappedGrant() AuthorizationGrant
}

// ConfigChecker is implemented by a grant, an endpoint, a hook or a client authentication method
// that has requirements of its own. CheckConfig returns all faults, each naming the field and the
// remedy, and changes nothing.
type ConfigChecker interface {
	CheckConfig(config *Config) error
}

// New returns a server, or all faults of the configuration at once.
func New(config Config) (*Server, error) {
	s := new(Server)
	if err := s.Init(config); err != nil {
		return nil, err
	}
	return s, nil
}

// Init configures a server that was declared before its settings were known. It also checks what
// was registered before. It returns all faults at once, and then leaves the server as it was.
func (s *Server) Init(config Config) error {
	if s.initialized {
		return errors.New("server: Init was called before")
	}
	given := config
	config, err := config.withDefaults()
	faults := []error{err}
	for _, r := range s.grants {
		faults = append(faults, checkConfig(&config, r.extensions...)) // the grant is the first of them
	}
	for _, name := range slices.Sorted(maps.Keys(s.endpoints)) {
		faults = append(faults, checkConfig(&config, s.endpoints[name]))
	}
	for _, m := range slices.Concat(s.methods, config.ClientAuthMethods) {
		faults = append(faults, checkGiven(m), checkConfig(&config, m))
	}
	faults = append(faults, checkConfig(&config, s.extensions...))
	before := s.registrations
	s.config, s.given, s.initialized, s.crossOrigin = config, given, true, crossorigin.New(config.AllowOrigin)
	faults = append(faults, s.registerMethods(config.ClientAuthMethods, construct.Join(faults...) != nil))
	if err := construct.Join(faults...); err != nil {
		s.config, s.given, s.initialized, s.crossOrigin, s.registrations = Config{}, Config{}, false, nil, before
		return err
	}
	s.tellRegistered()
	if len(config.Secrets) == 0 {
		config.Logger.Info("Config.Secrets is empty", slog.String("off", offWithoutSecrets))
	}
	return nil
}

// registerMethods registers the client authentication methods of the settings, so that every
// [RegistrationHook] is called. If the settings are faulty already, a hook may panic on them,
// which is ignored.
func (s *Server) registerMethods(methods []ClientAuthMethod, faulty bool) (err error) {
	defer func() {
		if faulty && recover() != nil {
			err = nil
		}
	}()
	methods = slices.DeleteFunc(slices.Clone(methods), func(m ClientAuthMethod) bool { return checkGiven(m) != nil })
	return s.change(adding(methods))
}

// register changes what is registered, and tells the hooks once it is.
func (s *Server) register(change func(*registrations)) error {
	if err := s.change(change); err != nil || !s.initialized {
		return err
	}
	s.tellRegistered()
	return nil
}

func (s *Server) tellRegistered() {
	tell(&Request{Server: s}, func(hook RegisteredHook) { hook.Registered(s) })
}

// change changes what is registered. If a [RegistrationHook] refuses the result, the change is
// undone.
func (s *Server) change(change func(*registrations)) error {
	before := s.registrations
	s.registrations = registrations{
		slices.Clone(before.grants), maps.Clone(before.endpoints), slices.Clone(before.methods), slices.Clone(before.extensions),
		slices.Clone(before.repeatable), nil, nil, nil,
	}
	change(&s.registrations)
	s.inherit()
	s.publishKeys()
	s.noteHooks()
	if !s.initialized {
		return nil
	}
	var faults []error
	tell(&Request{Server: s}, func(hook RegistrationHook) { faults = append(faults, hook.CheckRegistration(s)) })
	if err := construct.Join(faults...); err != nil {
		s.registrations = before
		return err
	}
	return nil
}

// check returns what is wrong with values that are about to be registered. Before [Server.Init]
// it only checks that they are not nil.
func (s *Server) check(values ...any) error {
	if err := checkGiven(values...); err != nil || !s.initialized {
		return err
	}
	return checkConfig(&s.config, values...)
}

// checkGiven refuses values that are nil, or that hold a nil behind an interface.
func checkGiven(values ...any) error {
	var faults []error
	for _, value := range values {
		if err := construct.Given(value); err != nil {
			faults = append(faults, fmt.Errorf("server: %w", err))
		}
	}
	return errors.Join(faults...)
}

// checkConfig returns all faults of the values.
func checkConfig(config *Config, values ...any) error {
	var faults []error
	for _, value := range values {
		if checker, ok := value.(ConfigChecker); ok && !construct.IsNil(value) {
			faults = append(faults, checker.CheckConfig(config))
		}
		if wrapped := wrappedBy(value); wrapped != nil {
			faults = append(faults, checkConfig(config, wrapped))
		}
	}
	return construct.Join(faults...)
}

// wrappedBy returns the grant that a grant wraps, or nil.
func wrappedBy(grant any) AuthorizationGrant {
	wrapping, ok := grant.(WrappingGrant)
	if !ok {
		return nil
	}
	return wrapping.WrappedGrant()
}

// RegisterGrant adds a grant: a [TokenGrant], an [AuthorizationGrant] or both. The extensions are
// hooks for the requests of this grant only. A later grant of the same grant type or response
// type replaces an earlier one. On an error nothing is registered.
func (s *Server) RegisterGrant(grant any, extensions ...any) error {
	_, isToken := grant.(TokenGrant)
	_, isAuthorization := grant.(AuthorizationGrant)
	if !isToken && !isAuthorization {
		return fmt.Errorf("server: RegisterGrant: %T is neither a TokenGrant nor an AuthorizationGrant", grant)
	}
	if err := errors.Join(checkGiven(append([]any{grant}, extensions...)...), checkHooks(extensions)); err != nil {
		return fmt.Errorf("server: RegisterGrant(%T): %w", grant, err)
	}
	for _, extension := range extensions {
		if _, ok := extension.(ObserveHook); ok {
			return fmt.Errorf("server: RegisterGrant(%T): %T observes requests before their grant is known: use Server.Register", grant, extension)
		}
		if _, ok := extension.(ClientLookupHook); ok {
			return fmt.Errorf("server: RegisterGrant(%T): %T looks up clients before the grant is known: use Server.Register", grant, extension)
		}
	}
	added := registration{grant, extensions, withDefaultExtensions(extensions, defaultExtensions(grant))}
	added.extensions = slices.Insert(added.extensions, 0, grant)
	if err := s.check(added.extensions...); err != nil {
		return err
	}
	return s.register(func(r *registrations) {
		r.noteRepeatable(added.extensions)
		r.grants = slices.Insert(r.grants, 0, added)
	})
}

// defaultExtensions returns the extensions that a grant brings along, including those of a grant
// that it wraps.
func defaultExtensions(grant any) (extensions []any) {
	if wrapped := wrappedBy(grant); wrapped != nil {
		extensions = append(extensions, wrapped)
		extensions = append(extensions, defaultExtensions(wrapped)...)
	}
	if hook, ok := grant.(DefaultExtensionsHook); ok {
		extensions = append(extensions, hook.DefaultExtensions()...)
	}
	return extensions
}

// inherit gives a wrapping grant the extensions of the grant that answers the wrapped grant's
// requests on this server, because that is where its codes are redeemed.
func (r *registrations) inherit() {
	for i, wrapping := range r.grants {
		wrapped := wrappedBy(wrapping.grant)
		if wrapped == nil || len(wrapped.ResponseTypes()) == 0 {
			continue
		}
		if other := r.answering(wrapped.ResponseTypes()[0]); other != nil && other.grant != wrapping.grant {
			inherited := append([]any{wrapped}, other.extensions[1:]...)
			r.grants[i].extensions = slices.Insert(withDefaultExtensions(wrapping.given, inherited), 0, wrapping.grant)
		}
	}
}

func withDefaultExtensions(given, defaults []any) []any {
	all := slices.Clone(given)
	for _, d := range defaults {
		sameType := func(e any) bool { return typeName(e) == typeName(d) }
		if !slices.ContainsFunc(given, sameType) {
			all = append(all, d)
		}
	}
	return all
}

// typeName returns the name of a value's type, the same for a pointer and what it points to.
func typeName(value any) string { return strings.TrimPrefix(fmt.Sprintf("%T", value), "*") }

// Register adds hooks for every request. On an error nothing is registered.
func (s *Server) Register(hooks ...any) error {
	if err := checkHooks(hooks); err != nil {
		return fmt.Errorf("server: Register: %w", err)
	}
	if err := s.check(hooks...); err != nil {
		return err
	}
	return s.register(func(r *registrations) {
		r.noteRepeatable(hooks)
		r.extensions = append(r.extensions, hooks...)
	})
}

func checkHooks(values []any) error {
	for _, value := range values {
		if !isHook(value) {
			return fmt.Errorf("%T implements no hook: see the interfaces in hooks.go, and check whether its methods have a pointer receiver", value)
		}
	}
	return nil
}

func (r *registrations) noteRepeatable(values []any) {
	for _, value := range values {
		if hook, ok := value.(RepeatableParametersHook); ok {
			r.repeatable = append(r.repeatable, hook.RepeatableParameters()...)
		}
	}
}

// Issuer returns the server's identifier.
func (s *Server) Issuer() string { return s.config.Issuer }

// GivenConfig returns the settings as they were given, with zero values for defaults.
func (s *Server) GivenConfig() Config { return s.given }

// Logger returns the configured logger, or one that logs nothing.
func (s *Server) Logger() *slog.Logger { return s.config.Logger }

// Now returns the current time by Config.Clock.
func (s *Server) Now() time.Time { return s.config.Clock() }

// GrantLife returns the longest time that a grant can last after it was granted or last
// refreshed. It is negative if a grant can last forever.
func (s *Server) GrantLife() time.Duration {
	life := time.Duration(defaultTokenExpiresIn)
	for _, d := range s.config.TokenExpiresIn {
		life = max(life, d)
	}
	switch refresh := s.config.RefreshTokenExpiresIn; {
	case s.config.NoRefreshTokens:
	case refresh < 0:
		return refresh
	default:
		life = max(life, refresh)
	}
	return life
}

// MaxRequestBytes returns the maximum size of a request body.
func (s *Server) MaxRequestBytes() int64 { return s.config.MaxRequestBytes }

// RegisterClientAuthMethod adds client authentication methods. A later one of the same name
// replaces an earlier one. Each also serves every hook that it implements. On an error none is
// registered.
func (s *Server) RegisterClientAuthMethod(methods ...ClientAuthMethod) error {
	var faults []error
	for _, m := range methods {
		faults = append(faults, s.check(m))
	}
	if err := construct.Join(faults...); err != nil {
		return err
	}
	return s.register(adding(methods))
}

// adding returns the change that adds client authentication methods.
func adding(methods []ClientAuthMethod) func(*registrations) {
	return func(r *registrations) {
		for _, m := range methods {
			sameName := func(other ClientAuthMethod) bool { return other.AuthMethod() == m.AuthMethod() }
			r.methods = append(slices.DeleteFunc(r.methods, sameName), m)
		}
	}
}

// noteHooks collects the endpoints and client authentication methods that are hooks as well, all
// hooks that observe requests, and all that look up clients.
func (r *registrations) noteHooks() {
	for _, name := range slices.Sorted(maps.Keys(r.endpoints)) {
		if isHook(r.endpoints[name]) {
			r.otherHooks = append(r.otherHooks, r.endpoints[name])
		}
	}
	for _, m := range r.methods {
		if isHook(m) {
			r.otherHooks = append(r.otherHooks, m)
		}
	}
	for _, value := range slices.Concat(r.extensions, r.otherHooks) {
		if hook, ok := value.(ObserveHook); ok {
			r.observers = append(r.observers, hook)
		}
		if hook, ok := value.(ClientLookupHook); ok {
			r.lookups = append(r.lookups, hook)
		}
	}
}

// RegisterTokenGenerator sets the access token generator of one grant type, which is used instead
// of Config.AccessTokenGenerator.
func (s *Server) RegisterTokenGenerator(grantType string, generator TokenGenerator) {
	if s.generators == nil {
		s.generators = make(map[string]TokenGenerator)
	}
	s.generators[grantType] = generator
}

// resourceGenerator is the generator of access tokens for a resource.
type resourceGenerator struct {
	resource  string
	generator TokenGenerator
}

// RegisterResourceTokenGenerator sets the access token generator for a resource (RFC 8707), which
// is used instead of that of the grant type. For example, one API may accept signed JWTs while
// another introspects its tokens. A token for several resources is generated by the generator
// that was registered first.
func (s *Server) RegisterResourceTokenGenerator(resource string, generator TokenGenerator) {
	i := slices.IndexFunc(s.resourceGenerators, func(r resourceGenerator) bool { return indicator.Same(r.resource, resource) })
	if i >= 0 {
		s.resourceGenerators[i].generator = generator
		return
	}
	s.resourceGenerators = append(s.resourceGenerators, resourceGenerator{resource, generator})
}

// RegisterEndpoint adds an endpoint, which [Server.CreateEndpointResponse] serves under its name.
// It also serves every hook that it implements. On an error it is not registered.
func (s *Server) RegisterEndpoint(endpoint Endpoint) error {
	if err := s.check(endpoint); err != nil {
		return err
	}
	if path := endpoint.EndpointPath(); path != "" {
		if err := weburi.CheckPath(path); err != nil {
			return fmt.Errorf("server: RegisterEndpoint(%T): EndpointPath returns %q, which %w", endpoint, path, err)
		}
	}
	return s.register(func(r *registrations) {
		if r.endpoints == nil {
			r.endpoints = make(map[string]Endpoint)
		}
		r.endpoints[endpoint.EndpointName()] = endpoint
	})
}

// ready reports whether the server is initialized. If it is not, ready answers the request.
func (s *Server) ready(w http.ResponseWriter) bool {
	if !s.initialized {
		http.Error(w, ErrNotInitialized.Error(), http.StatusInternalServerError)
	}
	return s.initialized
}

// tokenGrant returns the registration for a grant type.
func (s *Server) tokenGrant(grantType string) (TokenGrant, []any) {
	for _, r := range s.grants {
		if g, ok := r.grant.(TokenGrant); ok && g.GrantType() == grantType {
			return g, r.extensions
		}
	}
	return nil, nil
}

// authorizationGrant returns the registration for a response type, whose words may be in any
// order.
func (s *Server) authorizationGrant(responseType string) (AuthorizationGrant, []any) {
	if r := s.answering(responseType); r != nil {
		return r.grant.(AuthorizationGrant), r.extensions
	}
	return nil, nil
}

// answering returns the registration that answers a response type, or nil.
func (r *registrations) answering(responseType string) *registration {
	for i := range r.grants {
		if g, ok := r.grants[i].grant.(AuthorizationGrant); ok && slices.ContainsFunc(g.ResponseTypes(), sameWords(responseType)) {
			return &r.grants[i]
		}
	}
	return nil
}
