package resource

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/construct"
	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Config is a protector's settings. Its zero value is usable.
type Config struct {
	// Realm names what is protected in challenges; "api" when empty.
	Realm string
	// Metadata is what the API says of itself, by which it takes tokens alone
	// that were issued for it; nil says nothing, and takes all.
	Metadata *Metadata
	// Profile is a security profile to which tokens and proofs are held, such as
	// fapi.SecurityProfile: that of the authorization server. nil is none.
	Profile server.Profile
	// BoundTokensOnly refuses tokens that are not bound to a key or a certificate. A
	// Profile may require that as well.
	BoundTokensOnly bool
	// AllowOrigin says which pages of other origins may call the API, without
	// credentials; nil is those of every origin. A preflight is answered before a
	// token is looked for, so register the API's path for every method.
	AllowOrigin func(origin string) bool
	// ErrorURIs is the page about an error, by error code.
	ErrorURIs map[string]string
	// Translator translates the error descriptions of bodies; nil is English
	// and Chinese. Headers are always English.
	Translator *server.Translator
	// Logger gets what goes wrong inside, and one line for each refusal with its
	// reason, by the keys of [server.EventLog] and never with a token; nil logs
	// nothing.
	Logger *slog.Logger
	// RemoteAddress says where a request comes from, and RequestID names it in the
	// log, see [server.Config].
	RemoteAddress, RequestID func(r *http.Request) string
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
	// Observers are told of every token that is presented or missing, as of a request
	// to the endpoint "resource": of its validation, not of what it opens. That
	// its user has to sign in again is one of its own.
	Observers server.Observers
}

// TokenValidator validates the tokens of one authentication scheme.
type TokenValidator interface {
	// TokenType is the scheme of the Authorization header, such as "Bearer".
	TokenType() string
	// AuthenticateToken returns the token behind the text, or nil when there
	// is none. An error is a failure inside, or an [*server.Error] that says to the
	// log why there is none, see [server.Error.Because].
	AuthenticateToken(ctx context.Context, text string) (*server.StoredToken, error)
	// ValidateToken refuses a token that is not valid for the request, nil
	// included. scopes are alternatives, each a space separated list.
	ValidateToken(token *server.StoredToken, scopes []string, r *http.Request, now time.Time) error
}

// TokenAuthenticatedHook is told of every token that opened something.
type TokenAuthenticatedHook interface {
	TokenAuthenticated(ctx context.Context, r *http.Request, token *server.StoredToken)
}

// OnTokenAuthenticated makes a function a [TokenAuthenticatedHook].
type OnTokenAuthenticated func(ctx context.Context, r *http.Request, token *server.StoredToken)

// TokenAuthenticated calls the function.
func (f OnTokenAuthenticated) TokenAuthenticated(ctx context.Context, r *http.Request, token *server.StoredToken) {
	f(ctx, r, token)
}

// Protector lets requests with a valid token through. Register further validators
// before it serves; from then on it is safe for concurrent use.
type Protector struct {
	config     Config
	metadata   *url.URL // where it is, nil when there is none
	validators []TokenValidator
	hooks      []TokenAuthenticatedHook

	crossOrigin *server.CrossOrigin
}

// NewProtector returns a protector with its validators, of which it needs one at least,
// or everything that is wrong.
func NewProtector(config Config, validators ...TokenValidator) (*Protector, error) {
	if config.Realm == "" {
		config.Realm = "api"
	}
	var faults []error
	if !header.IsQuotable(config.Realm) {
		faults = append(faults, errors.New(`resource: Config.Realm must be printable ASCII without " and \`))
	}
	if config.Translator == nil {
		translator, err := server.NewTranslator(nil)
		config.Translator, faults = translator, append(faults, err)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Logger = slog.New(server.LogHandler(config.Logger.Handler()))
	if config.RemoteAddress == nil {
		config.RemoteAddress = ratelimit.RemoteAddress
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Profile != nil && config.Profile.RequiresBoundTokens() {
		config.BoundTokensOnly = true
	}
	p := &Protector{config: config, crossOrigin: server.NewCrossOrigin(config.AllowOrigin)}
	if config.Metadata != nil {
		var err error
		p.metadata, err = config.Metadata.address()
		faults = append(faults, err)
	}
	if len(validators) == 0 {
		faults = append(faults, errors.New("resource: NewProtector is given no validator, so that no token opens anything: write gormoauth.CreateBearerTokenValidator[Token](db)"))
	}
	for _, v := range validators {
		faults = append(faults, p.RegisterTokenValidator(v))
	}
	if err := construct.Join(faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// Profile returns the configured security profile, nil when there is none.
func (p *Protector) Profile() server.Profile { return p.config.Profile }

// Clock returns the configured clock.
func (p *Protector) Clock() func() time.Time { return p.config.Clock }

// ConfigChecker is for a validator that needs settings. It returns all faults,
// each naming the field and the remedy.
type ConfigChecker interface {
	CheckConfig() error
}

// ChallengeHook is for a validator that has something to add to its challenges.
type ChallengeHook interface {
	ChallengeParameters() map[string]string
}

// ProfileHook is for a validator whose checks a security profile narrows.
type ProfileHook interface {
	// WithProfile returns a validator that is held to the profile, or what the profile
	// does not allow.
	WithProfile(profile server.Profile) (TokenValidator, error)
}

// RegisterTokenValidator adds a validator. A later one of the same token type
// takes the place of an earlier one. On a fault it is not registered.
func (p *Protector) RegisterTokenValidator(v TokenValidator) error {
	if err := checkValidator(v); err != nil {
		return err
	}
	v, err := withProfile(v, p.config.Profile)
	if err != nil {
		return err
	}
	p.validators = slices.DeleteFunc(p.validators, func(other TokenValidator) bool {
		return strings.EqualFold(other.TokenType(), v.TokenType())
	})
	p.validators = append(p.validators, v)
	return nil
}

// withProfile returns a validator that is held to a profile, if there is one.
func withProfile(v TokenValidator, profile server.Profile) (TokenValidator, error) {
	hook, ok := v.(ProfileHook)
	if !ok || profile == nil {
		return v, nil
	}
	return hook.WithProfile(profile)
}

// checkValidator returns what is missing in a validator.
func checkValidator(v TokenValidator) error {
	if err := construct.Given(v); err != nil {
		return fmt.Errorf("resource: %w", err)
	}
	switch v := v.(type) {
	case *BearerTokenValidator:
		return v.check()
	case *JWTAccessTokenValidator:
		return v.check()
	case ConfigChecker:
		return v.CheckConfig()
	}
	return nil
}

// Diagnose returns what is wrong with the protector; hand it to [server.Server.Diagnose].
// It finds that a token for one API opens another (RFC 9700 section 4.9.2), and that one
// opens this API which nobody issued.
func (p *Protector) Diagnose(ctx context.Context, s *server.Server) (findings server.Findings) {
	for _, v := range p.validators {
		findings = append(findings, diagnoseTokens(ctx, v)...)
	}
	takesAll := p.config.Metadata == nil && slices.ContainsFunc(p.validators, takesEveryAudience)
	if !takesAll || loopback.Serves(s.Issuer()) {
		return findings
	}
	return append(findings, server.Finding{
		Check: "resource", Severity: server.Warning, Where: "resource.Config.Metadata", Problem: "is missing: the protector takes tokens of every resource",
		Consequence: "an API that is given a token can use it at this one",
		Remedy:      `Metadata: &resource.Metadata{Resource: "https://api.example.com", AuthorizationServers: []string{issuer}}, and grant.ResourceIndicators on the server`,
	})
}

// takesEveryAudience reports whether a validator leaves it to the protector for whom a
// token is.
func takesEveryAudience(v TokenValidator) bool {
	switch v := v.(type) {
	case *BearerTokenValidator:
		return true
	case *JWTAccessTokenValidator:
		return v.Audience == "" || v.Opaque != nil
	case *DPoPTokenValidator:
		return takesEveryAudience(v.Tokens)
	default: // of the program's own
		return false
	}
}

// diagnoseTokens has a validator look for a token that nobody issued.
func diagnoseTokens(ctx context.Context, v TokenValidator) server.Findings {
	var query server.QueryTokenFunc
	switch v := v.(type) {
	case *BearerTokenValidator:
		query = v.QueryToken
	case *JWTAccessTokenValidator:
		if v.Opaque != nil {
			return diagnoseTokens(ctx, v.Opaque)
		}
		query = v.QueryToken
	}
	if query == nil {
		return nil
	}
	return server.DiagnoseLookUp("resource.BearerTokenValidator.QueryToken", func() (bool, error) {
		token, err := query(ctx, server.TokenQuery{AccessToken: server.Digest(rand.Text())})
		return token != nil, err
	})
}

// Register adds hooks.
func (p *Protector) Register(hooks ...TokenAuthenticatedHook) { p.hooks = append(p.hooks, hooks...) }

// Require is middleware that lets a request through whose token has all of one
// of the scopes; without scopes, any valid token does. The token is in the
// request's context, see [TokenFromContext]. A page of another origin may call it by
// Config.AllowOrigin.
func (p *Protector) Require(scopes ...string) func(http.Handler) http.Handler {
	return p.middleware(false, scopes)
}

// Optional is Require for what is open to everybody: a request without a token
// passes without one in its context. A token that is presented must be valid.
func (p *Protector) Optional(scopes ...string) func(http.Handler) http.Handler {
	return p.middleware(true, scopes)
}

func (p *Protector) middleware(optional bool, scopes []string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if p.crossOrigin.Handle(w, r) {
				return
			}
			r = requestid.Enter(r, p.config.RequestID)
			if optional && len(r.Header.Values("Authorization")) == 0 {
				next.ServeHTTP(w, r)
				return
			}
			token, err := p.AcquireToken(r, scopes...)
			if err != nil {
				p.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, token)))
		})
	}
}

type tokenKey struct{}

// TokenFromContext returns the token that let the request through.
func TokenFromContext(ctx context.Context) (token *server.StoredToken, ok bool) {
	token, ok = ctx.Value(tokenKey{}).(*server.StoredToken)
	return token, ok
}

// AcquireToken returns the request's token when it is valid and has all of one
// of the scopes. Hand an error to [Protector.WriteError].
func (p *Protector) AcquireToken(r *http.Request, scopes ...string) (*server.StoredToken, error) {
	token, err := p.observe(r, func(r *http.Request) (*server.StoredToken, error) { return p.acquireToken(r, scopes) })
	if err != nil {
		failure := *server.AsError(err)
		return nil, failure.OfToken(token)
	}
	return token, nil
}

// acquireToken is AcquireToken; a token that it finds and refuses it returns as well.
func (p *Protector) acquireToken(r *http.Request, scopes []string) (*server.StoredToken, error) {
	validator, text, err := p.presented(r)
	if err != nil {
		return nil, needing(err, scopes)
	}
	token, err := validator.AuthenticateToken(r.Context(), text)
	if err != nil {
		return nil, err
	}
	if err := p.validate(validator, token, scopes, r); err != nil {
		return token, err
	}
	for _, hook := range p.hooks {
		hook.TokenAuthenticated(r.Context(), r, token)
	}
	return token, nil
}

// validate refuses a token that is not valid, or not for this API. What is not for it is
// not short of a scope either: a client that got more scopes would come again in vain.
func (p *Protector) validate(validator TokenValidator, token *server.StoredToken, scopes []string, r *http.Request) error {
	err := validator.ValidateToken(token, scopes, r, p.config.Clock())
	switch {
	case err != nil && server.AsError(err).Code != server.InsufficientScope:
		return err
	case token == nil:
		return errUnknownToken()
	}
	if p.config.BoundTokensOnly && token.Token.GetConfirmation() == "" {
		return server.NewError(server.InvalidToken, "The access token is bound to no key.")
	}
	if m := p.config.Metadata; m != nil && !server.HasResource(strings.Fields(token.Token.GetAudience()), m.Resource) {
		return server.NewError(server.InvalidToken, "The access token is for another resource.").
			With(slog.String("audience", token.Token.GetAudience()), slog.String("resource", m.Resource))
	}
	return err
}

// needing says to a request without a token, or with another scheme, which scope it
// would need.
func needing(err error, scopes []string) error {
	failure := server.AsError(err)
	if failure.Code == server.MissingAuthorization && len(scopes) > 0 {
		failure.Scope = scopes[0]
	}
	return failure
}

// presented reads the Authorization header (RFC 6750 section 2.1).
func (p *Protector) presented(r *http.Request) (TokenValidator, string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return nil, "", server.NewError(server.MissingAuthorization, "The request has no 'Authorization' header.")
	}
	if len(headers) > 1 {
		return nil, "", server.NewError(server.InvalidRequest, "The request has more than one 'Authorization' header.")
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	for _, v := range p.validators {
		if !strings.EqualFold(v.TokenType(), scheme) {
			continue
		}
		if text = strings.TrimSpace(text); text == "" || strings.ContainsAny(text, " ,\x00") || len(text) > maxTokenLength {
			return nil, "", server.NewError(server.InvalidRequest, "The 'Authorization' header has no well-formed token.")
		}
		return v, text, nil
	}
	return nil, "", server.NewError(server.MissingAuthorization, "The 'Authorization' header has another scheme than this API takes.").With(slog.String("scheme", schemeOf(scheme)))
}

// schemeOf is a scheme as a log has it: a header without one may be a token.
func schemeOf(text string) string {
	const longest, letters = 20, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if len(text) > longest || strings.Trim(text, letters) != "" {
		return "unknown"
	}
	return text
}

// maxTokenLength bounds what is hashed or verified for a stranger.
const maxTokenLength = 8 << 10

// Refusal returns an error with the challenges of a request that has no valid
// token. They name an error only to a request that presented one of a scheme that the
// API takes (RFC 6750 section 3.1).
func (p *Protector) Refusal(r *http.Request, err error) *server.Error {
	failure := *server.AsError(err)
	failure.Header = maps.Clone(failure.Header)
	if failure.URI == "" {
		failure.URI = p.config.ErrorURIs[failure.Code]
	}
	if failure.Status >= http.StatusInternalServerError {
		return &failure
	}
	if failure.Header == nil {
		failure.Header = make(http.Header)
	}
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for _, v := range p.validators {
		failure.Header.Add("Www-Authenticate", p.challenge(v, scheme, &failure, failure.URI))
	}
	return &failure
}

// WriteError answers a request that has no valid token, with its challenges.
func (p *Protector) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p.write(w, r, p.Refusal(r, err))
}

// write is the one way in which an error is answered, and logged.
func (p *Protector) write(w http.ResponseWriter, r *http.Request, failure *server.Error) {
	observation := server.Observation{Endpoint: endpoint, Status: failure.Status, Error: failure}
	token, _ := TokenFromContext(r.Context()) // of a request that was let through, and refused later on
	p.describe(&observation, requestid.Enter(r, p.config.RequestID), token)
	observation.LogError(r, p.config.Logger)
	text, _ := json.Marshal(failure.Members(p.config.Translator.Describe(r, failure))) // strings alone cannot fail
	failure.SetHeader(w)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(failure.Status)
	_, _ = w.Write(text)
}

// challenge is what a scheme says to a request, which may have used another one.
func (p *Protector) challenge(v TokenValidator, used string, failure *server.Error, uri string) string {
	parameters := []string{"realm", p.config.Realm}
	if p.metadata != nil {
		parameters = append(parameters, "resource_metadata", p.metadata.String()) // RFC 9728 section 5.1
	}
	add := func(values map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			parameters = append(parameters, name, values[name])
		}
	}
	if hook, ok := v.(ChallengeHook); ok {
		add(hook.ChallengeParameters())
	}
	if failure.Code != server.MissingAuthorization && strings.EqualFold(used, v.TokenType()) {
		parameters = append(parameters, "error", failure.Code, "error_description", failure.Text(), "error_uri", uri)
	}
	parameters = append(parameters, "scope", failure.Scope)
	add(failure.Parameters)
	return header.Challenge(v.TokenType(), parameters...)
}
