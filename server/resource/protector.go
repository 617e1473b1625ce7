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
	"github.com/gormoauth/gormoauth/internal/crossorigin"
	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/locale"
	"github.com/gormoauth/gormoauth/server/logging"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Config configures a protector. Its zero value is usable.
type Config struct {
	// Realm is the realm in challenges. Empty means "api".
	Realm string
	// Metadata is the metadata of the API. With it, the API accepts only tokens that were
	// issued for its resource. nil publishes no metadata, and accepts tokens for any
	// resource.
	Metadata *Metadata
	// Profile is a security profile that tokens and proofs must comply with, such as
	// fapi.SecurityProfile: the same as that of the authorization server. nil means none.
	Profile server.Profile
	// BoundTokensOnly refuses tokens that are not bound to a key or a certificate. A
	// Profile can require this too.
	BoundTokensOnly bool
	// AllowOrigin reports whether pages of an origin may call the API, without credentials.
	// nil allows every origin. A preflight request is answered without a token, so register
	// the API's path for every method.
	AllowOrigin func(origin string) bool
	// ErrorURIs are the URLs of pages about errors, by error code.
	ErrorURIs map[string]string
	// Translator translates the error descriptions in response bodies. nil means English
	// and the languages of package locale. Headers are always in English.
	Translator *locale.Translator
	// Logger logs internal errors, and one line for each refusal with its reason, with the
	// keys of [eventlog.Log] and never with a token. nil logs nothing.
	Logger *slog.Logger
	// RemoteAddress returns the address of a request's client, and RequestID the request's
	// id in the log; see [server.Config].
	RemoteAddress, RequestID func(r *http.Request) string
	// Clock returns the current time. nil means time.Now.
	Clock func() time.Time
	// Observers are told of the validation of every presented or missing token, as a
	// request to the endpoint "resource", but not of the request that the token authorizes.
	// A refusal by [Protector.RequireAuthentication] is a separate observation.
	Observers server.Observers
}

// TokenValidator validates the tokens of one authentication scheme.
type TokenValidator interface {
	// TokenType returns the scheme of the Authorization header, such as "Bearer".
	TokenType() string
	// AuthenticateToken returns the token with this text, or nil if there is none. An error
	// is an internal failure, or an [*server.Error] with the reason for the log why there
	// is none; see [server.Error.Because].
	AuthenticateToken(ctx context.Context, text string) (*storage.StoredToken, error)
	// ValidateToken returns an error if the token is nil or not valid for the request.
	// scopes are alternatives, each a space-separated list.
	ValidateToken(token *storage.StoredToken, scopes []string, r *http.Request, now time.Time) error
}

// TokenAuthenticatedHook is called with every token that authorized a request.
type TokenAuthenticatedHook interface {
	TokenAuthenticated(ctx context.Context, r *http.Request, token *storage.StoredToken)
}

// OnTokenAuthenticated adapts a function to a [TokenAuthenticatedHook].
type OnTokenAuthenticated func(ctx context.Context, r *http.Request, token *storage.StoredToken)

// TokenAuthenticated calls the function.
func (f OnTokenAuthenticated) TokenAuthenticated(ctx context.Context, r *http.Request, token *storage.StoredToken) {
	f(ctx, r, token)
}

// Protector authorizes requests that have a valid token. Register validators and hooks
// before it serves requests; after that it is safe for concurrent use.
type Protector struct {
	config     Config
	metadata   *url.URL // its URL, nil without Config.Metadata
	validators []TokenValidator
	hooks      []TokenAuthenticatedHook

	crossOrigin *crossorigin.Sharing
}

// NewProtector returns a protector with at least one validator, or an error with every
// fault of its configuration.
func NewProtector(config Config, validators ...TokenValidator) (*Protector, error) {
	if config.Realm == "" {
		config.Realm = "api"
	}
	var faults []error
	if !header.IsQuotable(config.Realm) {
		faults = append(faults, errors.New(`resource: Config.Realm must be printable ASCII without " and \`))
	}
	if config.Translator == nil {
		config.Translator = locale.Default()
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Logger = slog.New(logging.Handler(config.Logger.Handler()))
	if config.RemoteAddress == nil {
		config.RemoteAddress = ratelimit.RemoteAddress
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Profile != nil && config.Profile.RequiresBoundTokens() {
		config.BoundTokensOnly = true
	}
	p := &Protector{config: config, crossOrigin: crossorigin.New(config.AllowOrigin)}
	if config.Metadata != nil {
		var err error
		p.metadata, err = config.Metadata.address()
		faults = append(faults, err)
	}
	if len(validators) == 0 {
		faults = append(faults, errors.New("resource: NewProtector needs at least one validator: write gormoauth.CreateBearerTokenValidator[Token](db)"))
	}
	for _, v := range validators {
		faults = append(faults, p.RegisterTokenValidator(v))
	}
	if err := construct.Join(faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// Profile returns the configured security profile, or nil if there is none.
func (p *Protector) Profile() server.Profile { return p.config.Profile }

// Clock returns the configured clock.
func (p *Protector) Clock() func() time.Time { return p.config.Clock }

// ConfigChecker is implemented by a validator that has settings. CheckConfig returns all
// faults, each naming the field and the remedy.
type ConfigChecker interface {
	CheckConfig() error
}

// ChallengeHook is implemented by a validator that adds parameters to its challenges.
type ChallengeHook interface {
	ChallengeParameters() map[string]string
}

// ProfileHook is implemented by a validator that a security profile can restrict.
type ProfileHook interface {
	// WithProfile returns a validator that complies with the profile, or an error for
	// settings that the profile forbids.
	WithProfile(profile server.Profile) (TokenValidator, error)
}

// RegisterTokenValidator adds a validator. It replaces an earlier one of the same token
// type. On error, the validator is not registered.
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

// withProfile returns the validator restricted to the profile, if there is one.
func withProfile(v TokenValidator, profile server.Profile) (TokenValidator, error) {
	hook, ok := v.(ProfileHook)
	if !ok || profile == nil {
		return v, nil
	}
	return hook.WithProfile(profile)
}

// checkValidator returns an error for each missing setting of a validator.
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

// Diagnose returns what is wrong with the protector; pass the protector to
// [server.Server.Diagnose]. It reports if a token for another API is accepted here (RFC
// 9700 section 4.9.2), and if a token is found that was never issued.
func (p *Protector) Diagnose(ctx context.Context, s *server.Server) (findings finding.List) {
	for _, v := range p.validators {
		findings = append(findings, diagnoseTokens(ctx, v)...)
	}
	takesAll := p.config.Metadata == nil && slices.ContainsFunc(p.validators, takesEveryAudience)
	if !takesAll || loopback.Serves(s.Issuer()) {
		return findings
	}
	return append(findings, finding.Finding{
		Check: "resource", Severity: finding.Warning, Where: "resource.Config.Metadata", Problem: "is missing: the protector accepts tokens for any resource",
		Consequence: "another API that receives a token can use it at this one",
		Remedy:      `Metadata: &resource.Metadata{Resource: "https://api.example.com", AuthorizationServers: []string{issuer}}, and grant.ResourceIndicators on the server`,
	})
}

// takesEveryAudience reports whether a validator leaves the check of the audience to the
// protector.
func takesEveryAudience(v TokenValidator) bool {
	switch v := v.(type) {
	case *BearerTokenValidator:
		return true
	case *JWTAccessTokenValidator:
		return v.Audience == "" || v.Opaque != nil
	case *DPoPTokenValidator:
		return takesEveryAudience(v.Tokens)
	default: // a validator of the program
		return false
	}
}

// diagnoseTokens has a validator look up a token that was never issued.
func diagnoseTokens(ctx context.Context, v TokenValidator) finding.List {
	var query storage.QueryTokenFunc
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
	return finding.LookUp("resource.BearerTokenValidator.QueryToken", func() (bool, error) {
		token, err := query(ctx, storage.TokenQuery{AccessToken: secret.Digest(rand.Text())})
		return token != nil, err
	})
}

// Register adds hooks, which are called in the order of their registration.
func (p *Protector) Register(hooks ...TokenAuthenticatedHook) { p.hooks = append(p.hooks, hooks...) }

// Require returns middleware that passes on requests whose token has all values of at least
// one of the scopes; without scopes, it accepts any valid token. The token is in the
// request's context; see [TokenFromContext]. Config.AllowOrigin says which pages of other
// origins may call it.
func (p *Protector) Require(scopes ...string) func(http.Handler) http.Handler {
	return p.middleware(false, scopes)
}

// Optional is like Require, but also passes on a request without a token, without a token
// in its context. A token that is presented must be valid.
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

// TokenFromContext returns the token that authorized the request. ok is false if there is
// none.
func TokenFromContext(ctx context.Context) (token *storage.StoredToken, ok bool) {
	token, ok = ctx.Value(tokenKey{}).(*storage.StoredToken)
	return token, ok
}

// AcquireToken returns the request's token if it is valid and has all values of at least
// one of the scopes. Pass an error to [Protector.WriteError].
func (p *Protector) AcquireToken(r *http.Request, scopes ...string) (*storage.StoredToken, error) {
	token, err := p.observe(r, func(r *http.Request) (*storage.StoredToken, error) { return p.acquireToken(r, scopes) })
	if err != nil {
		failure := *server.AsError(err)
		return nil, failure.OfToken(token)
	}
	return token, nil
}

// acquireToken is AcquireToken, and also returns a token that it finds but refuses.
func (p *Protector) acquireToken(r *http.Request, scopes []string) (*storage.StoredToken, error) {
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

// validate refuses a token that is not valid, or not for this API. The audience takes
// precedence over a missing scope: with more scope, the token would still be refused.
func (p *Protector) validate(validator TokenValidator, token *storage.StoredToken, scopes []string, r *http.Request) error {
	err := validator.ValidateToken(token, scopes, r, p.config.Clock())
	switch {
	case err != nil && server.AsError(err).Code != server.InsufficientScope:
		return err
	case token == nil:
		return errUnknownToken()
	}
	if p.config.BoundTokensOnly && token.Token.GetConfirmation() == "" {
		return server.NewError(server.InvalidToken, "The access token must be bound to a key or a certificate.")
	}
	if m := p.config.Metadata; m != nil && !indicator.Has(strings.Fields(token.Token.GetAudience()), m.Resource) {
		return server.NewError(server.InvalidToken, "The access token is for another resource.").
			With(slog.String("audience", token.Token.GetAudience()), slog.String("resource", m.Resource))
	}
	return err
}

// needing adds the needed scope to the error for a request without a token or with another
// scheme.
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
	return nil, "", server.NewError(server.MissingAuthorization, "The scheme of the 'Authorization' header is not accepted by this API.").With(slog.String("scheme", schemeOf(scheme)))
}

// schemeOf returns a scheme for the log, or "unknown": a header without a scheme may be a
// token.
func schemeOf(text string) string {
	const longest, letters = 20, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if len(text) > longest || strings.Trim(text, letters) != "" {
		return "unknown"
	}
	return text
}

// maxTokenLength limits what is hashed or verified for an unauthenticated caller.
const maxTokenLength = 8 << 10

// Refusal returns err with the challenges for a request that has no valid token. They have
// an error code only if the request presented a token with an accepted scheme (RFC 6750
// section 3.1).
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

// WriteError writes the response to a request that has no valid token, with the challenges.
func (p *Protector) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p.write(w, r, p.Refusal(r, err))
}

// write writes and logs an error. Every error goes through it.
func (p *Protector) write(w http.ResponseWriter, r *http.Request, failure *server.Error) {
	observation := server.Observation{Endpoint: endpoint, Status: failure.Status, Error: failure}
	token, _ := TokenFromContext(r.Context()) // of a request that was authorized, and refused later
	p.describe(&observation, requestid.Enter(r, p.config.RequestID), token)
	observation.LogError(r, p.config.Logger)
	text, _ := json.Marshal(failure.Members(p.config.Translator.Describe(r, failure.Description, failure.Args...))) // strings alone cannot fail
	failure.SetHeader(w)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(failure.Status)
	_, _ = w.Write(text)
}

// challenge returns the challenge of one scheme. used is the scheme of the request.
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
