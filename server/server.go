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
	"github.com/gormoauth/gormoauth/internal/weburi"
)

// Server is an authorization server. Make one with [New], or declare one and
// call [Server.Init] later. Register grants, endpoints and extensions before
// it serves; from then on it is safe for concurrent use.
type Server struct {
	config      Config
	given       Config // config without the defaults
	initialized bool
	registrations

	generators         map[string]TokenGenerator
	resourceGenerators []resourceGenerator
	crossOrigin        *CrossOrigin
}

// registrations are all that a server does.
type registrations struct {
	grants     []registration
	endpoints  map[string]Endpoint
	methods    []ClientAuthMethod
	extensions []any
	repeatable []string
	observers  Observers
	lookups    []ClientLookupHook
	// otherHooks are the endpoints, by name, and the client authentication
	// methods that are hooks as well.
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
	// GrantType is the grant_type that the grant answers.
	GrantType() string
	// PrepareIssuance reads what is the grant's own in the request and says
	// what is to be issued. The client has authenticated and may use the grant;
	// what all grants have in common the engine checks afterwards.
	PrepareIssuance(ctx context.Context, req *Request) (*Issuance, error)
}

// AuthorizationGrant answers authorization requests (RFC 6749 section 3.1).
type AuthorizationGrant interface {
	// ResponseTypes are the response_type values that the grant answers.
	ResponseTypes() []string
	// ResponseMode is where its response goes: "query" or "fragment".
	ResponseMode() string
	// Authorize returns the response's parameters. req.User has granted the
	// request.
	Authorize(ctx context.Context, req *Request) (map[string][]string, error)
}

// DefaultExtensionsHook is for a grant that is not safe alone: the extensions
// that it returns are registered with it, unless one of the same type is given
// in their place.
type DefaultExtensionsHook interface {
	DefaultExtensions() []any
}

// WrappingGrant is for a grant that gives what another one gives, and something
// beside it. What holds for the other holds for it as well: the other is a hook for
// its requests, and so are the extensions of the grant that answers the other's
// response types on this server, or the other's default ones where there is none. An
// extension of the same type that the wrapping grant is registered with takes the
// place of one of those.
type WrappingGrant interface {
	// WrappedGrant returns the other grant.
	WrappedGrant() AuthorizationGrant
}

// ConfigChecker is for a grant, an endpoint, a hook or a client authentication
// method that needs more than the engine
// does. It returns all faults, each naming the field and the remedy.
type ConfigChecker interface {
	CheckConfig(config *Config) error
}

// New returns a server, or every fault of the configuration at once.
func New(config Config) (*Server, error) {
	s := new(Server)
	if err := s.Init(config); err != nil {
		return nil, err
	}
	return s, nil
}

// ErrNotInitialized is what a server answers before [Server.Init].
var ErrNotInitialized = errors.New("server: Init has not been called")

// Init configures a server that was declared before its settings were known.
// What was registered before is checked now. It returns every fault at once
// and then leaves the server as it was.
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
	s.config, s.given, s.initialized, s.crossOrigin = config, given, true, NewCrossOrigin(config.AllowOrigin)
	faults = append(faults, s.registerMethods(config.ClientAuthMethods, construct.Join(faults...) != nil))
	if err := construct.Join(faults...); err != nil {
		s.config, s.given, s.initialized, s.crossOrigin, s.registrations = Config{}, Config{}, false, nil, before
		return err
	}
	if len(config.Secrets) == 0 {
		config.Logger.Info("Config.Secrets is empty", slog.String("off", offWithoutSecrets))
	}
	return nil
}

// registerMethods registers the client authentication methods of the settings, so that
// each [RegistrationHook] has its say. A server with faults may not be able to say what
// it is: then a hook that fails says nothing.
func (s *Server) registerMethods(methods []ClientAuthMethod, faulty bool) (err error) {
	defer func() {
		if faulty && recover() != nil {
			err = nil
		}
	}()
	methods = slices.DeleteFunc(slices.Clone(methods), func(m ClientAuthMethod) bool { return checkGiven(m) != nil })
	return s.addMethods(methods)
}

// register changes what is registered. What a [RegistrationHook] does not allow is
// undone.
func (s *Server) register(change func(*registrations)) error {
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

// check returns what is wrong with values that are about to be registered. Before
// [Server.Init] that is whether they are nil.
func (s *Server) check(values ...any) error {
	if err := checkGiven(values...); err != nil || !s.initialized {
		return err
	}
	return checkConfig(&s.config, values...)
}

// checkGiven refuses values that are nil, or hold one behind an interface.
func checkGiven(values ...any) error {
	var faults []error
	for _, value := range values {
		if err := construct.Given(value); err != nil {
			faults = append(faults, fmt.Errorf("server: %w", err))
		}
	}
	return errors.Join(faults...)
}

// checkConfig returns what is missing in values, all of it.
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

// RegisterGrant adds a grant: a [TokenGrant], an [AuthorizationGrant] or both.
// The extensions are hooks for its requests alone. A later grant of the same
// grant type or response type takes the place of an earlier one. On a fault
// nothing is registered.
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
			return fmt.Errorf("server: RegisterGrant(%T): %T finds clients before the grant is known: use Server.Register", grant, extension)
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

// defaultExtensions are those that a grant brings itself, what it wraps included.
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

// inherit gives a grant that wraps another the extensions of the one that answers
// the other's requests here: it is there that codes are redeemed.
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

// typeName is the name of a value's type, be it a pointer or not.
func typeName(value any) string { return strings.TrimPrefix(fmt.Sprintf("%T", value), "*") }

// Register adds hooks for every request. On a fault nothing is registered.
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
			return fmt.Errorf("%T implements no hook: see the interfaces in hooks.go, and whether its methods have a pointer receiver", value)
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

// GivenConfig returns the settings as they were given: what was left to its
// default is the zero value.
func (s *Server) GivenConfig() Config { return s.given }

// Logger returns the configured logger, or one that logs nothing.
func (s *Server) Logger() *slog.Logger { return s.config.Logger }

// Now returns the time by the configured clock.
func (s *Server) Now() time.Time { return s.config.Clock() }

// GrantLife returns how long a grant lasts at the most after it was granted or last
// refreshed, less than 0 for one without end.
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

// MaxRequestBytes returns how long a body may be.
func (s *Server) MaxRequestBytes() int64 { return s.config.MaxRequestBytes }

// RegisterClientAuthMethod adds ways for clients to authenticate. A later one
// of the same name takes the place of an earlier one. Each is used for every
// hook that it implements, as well. On a fault none is registered.
func (s *Server) RegisterClientAuthMethod(methods ...ClientAuthMethod) error {
	var faults []error
	for _, m := range methods {
		faults = append(faults, s.check(m))
	}
	if err := construct.Join(faults...); err != nil {
		return err
	}
	return s.addMethods(methods)
}

func (s *Server) addMethods(methods []ClientAuthMethod) error {
	return s.register(func(r *registrations) {
		for _, m := range methods {
			sameName := func(other ClientAuthMethod) bool { return other.AuthMethod() == m.AuthMethod() }
			r.methods = append(slices.DeleteFunc(r.methods, sameName), m)
		}
	})
}

// noteHooks collects the endpoints and client authentication methods that are
// hooks as well, all that observe requests, and all that find clients.
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

// RegisterTokenGenerator sets the access token generator of one grant type,
// in place of Config.AccessTokenGenerator.
func (s *Server) RegisterTokenGenerator(grantType string, generator TokenGenerator) {
	if s.generators == nil {
		s.generators = make(map[string]TokenGenerator)
	}
	s.generators[grantType] = generator
}

// resourceGenerator makes the access tokens for a resource.
type resourceGenerator struct {
	resource  string
	generator TokenGenerator
}

// RegisterResourceTokenGenerator sets the access token generator of tokens for a
// resource (RFC 8707), in place of that of the grant type: one API takes signed JWTs,
// say, and another one asks the server. A token for several resources is made by the
// generator that was registered first.
func (s *Server) RegisterResourceTokenGenerator(resource string, generator TokenGenerator) {
	i := slices.IndexFunc(s.resourceGenerators, func(r resourceGenerator) bool { return SameResource(r.resource, resource) })
	if i >= 0 {
		s.resourceGenerators[i].generator = generator
		return
	}
	s.resourceGenerators = append(s.resourceGenerators, resourceGenerator{resource, generator})
}

// RegisterEndpoint adds an endpoint, to be served by
// [Server.CreateEndpointResponse] under its name. It is used for every hook that
// it implements, as well. On a fault it is not registered.
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

// ready answers the request when the server is not initialized.
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

// authorizationGrant returns the registration for a response type, whose
// words may come in any order.
func (s *Server) authorizationGrant(responseType string) (AuthorizationGrant, []any) {
	if r := s.answering(responseType); r != nil {
		return r.grant.(AuthorizationGrant), r.extensions
	}
	return nil, nil
}

// answering returns the registration that answers a response type, or nil.
func (r *registrations) answering(responseType string) *registration {
	for i := range r.grants {
		if g, ok := r.grants[i].grant.(AuthorizationGrant); ok && slices.ContainsFunc(g.ResponseTypes(), SameWords(responseType)) {
			return &r.grants[i]
		}
	}
	return nil
}
