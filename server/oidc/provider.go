package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// User is a user with claims. The program's user model implements it. For a user without
// the method, clients get only the claim "sub".
type User interface {
	storage.User
	// GetClaims returns the user's claims that the scopes cover, by name (OpenID Connect
	// Core section 5.1). The program may add claims of its own. An unknown claim is
	// omitted, empty or nil.
	GetClaims(ctx context.Context, scopes []string) (map[string]any, error)
}

// Provider is the OpenID Provider. Keys is required; the zero value of every other
// field is a secure default. See [Provider.Register].
type Provider struct {
	// Keys sign ID tokens, UserInfo responses and logout tokens.
	Keys jwk.SigningKeys
	// Algorithms are the algorithms that a client may choose from. nil means RS256, which
	// every provider must support (OpenID Connect Core section 15.1). The default is RS256,
	// or the first if RS256 is not among them.
	Algorithms []jose.SignatureAlgorithm
	// IDTokenExpiresIn is how long an ID token is valid. 0 means one hour.
	IDTokenExpiresIn time.Duration

	// Scopes are the claims of the program's own scopes, by scope, in addition to the
	// standard scopes profile, email, address and phone (OpenID Connect Core section 5.4).
	// A standard scope in this map has exactly the claims given here: list those that users
	// have, so that claims_supported is true.
	Scopes map[string][]string
	// ScopeClaimsInIDToken puts the claims of the granted scope into every ID token of the
	// token endpoint, for relying parties that read claims only from there. Otherwise the
	// claims are only in UserInfo responses (OpenID Connect Core section 5.4), which keeps
	// ID tokens short: clients send them as id_token_hint, and may store them for long.
	ScopeClaimsInIDToken bool
	// Claims is called before claims are sent to a client: it may add and remove claims,
	// depending on the client, the user and the target. It cannot change protocol claims
	// such as "sub".
	Claims func(ctx context.Context, input *ClaimsInput) error
	// PairwiseSalt lets clients register for pairwise subject identifiers (OpenID Connect
	// Core section 8.1). It must have at least 32 random bytes, be the same on every
	// instance, never change, and be stored apart from the database. nil allows only public
	// subject identifiers. An API that verifies such a client's JWTs itself also knows the
	// user by the pairwise subject.
	PairwiseSalt []byte
	// PairwiseSubjects is an alternative to PairwiseSalt in which Keys store the salt, as
	// those of gormstore do: it is made once and stored encrypted by Config.Secrets, whose
	// rotation does not change it. While an older instance may run, pairwise clients are
	// not served until Config.NoOlderInstances is set, since that instance could not read
	// the keys.
	PairwiseSubjects bool
	// ACRValues are the authentication context classes that the program's sign-in supports.
	// Each sign-in says which one it achieved ([server.Authentication]), and the ID token
	// has it as "acr".
	ACRValues []string
	// Fetcher requests the URLs of clients: their keys, sector identifiers and back-channel
	// logout endpoints. nil refuses clients that have such URLs.
	Fetcher *fetch.Fetcher

	// Sessions records which clients each session has signed in to, so that they can be
	// told when it ends. nil records no sessions.
	Sessions SessionStorage
	// SessionExpiresIn is how long a session is remembered, at least, after its last
	// sign-in to a client. 0 means 30 days.
	SessionExpiresIn time.Duration
	// EndsWithSession reports, by scope, whether a grant ends with the session in which it
	// began. nil means grants without offline_access (OpenID Connect Back-Channel Logout
	// 1.0 section 2.7).
	EndsWithSession func(scope string) bool
	// Logouts is the outbox of back-channel logout. nil disables back-channel logout. See
	// [Provider.DeliverLogouts].
	Logouts LogoutStorage
	// LogoutExpiresIn is how long a logout is retried while the client does not respond. 0
	// means three days.
	LogoutExpiresIn time.Duration

	server *server.Server
	wake   chan struct{}
	silent *silentClients
	salt   *keptSalt
}

const (
	openidScope        = "openid"
	offlineAccessScope = "offline_access"

	defaultIDTokenExpiresIn = time.Hour
	defaultSessionExpiresIn = 30 * 24 * time.Hour
	defaultLogoutExpiresIn  = 3 * 24 * time.Hour

	minSalt = 32
)

// ErrNotRegistered is returned by the methods of a provider before [Provider.Register] is
// called.
var ErrNotRegistered = errors.New("oidc: Provider.Register has not been called")

// Register registers the provider with a server: ID tokens for every request with the scope
// openid, the discovery document, and UserInfo, whose access tokens the protector
// validates. The implicit and hybrid flows are separate grants: [Implicit], [Hybrid].
func (p *Provider) Register(srv *server.Server, protector Protector) error {
	if p.wake == nil {
		p.wake, p.silent = make(chan struct{}, 1), new(silentClients)
		p.salt = new(keptSalt)
	}
	p.server = srv
	return errors.Join(
		srv.Register(p),
		srv.RegisterEndpoint(Discovery{}),
		srv.RegisterEndpoint(&UserInfo{Provider: p, Protector: protector}),
	)
}

// PublishedKeys returns the keys, so that discovery has a jwks_uri (OpenID Connect
// Discovery section 3).
func (p *Provider) PublishedKeys() jwk.SigningKeys { return p.Keys }

// publisher is implemented by keys that know their algorithms, and how long they stay
// published after they last signed.
type publisher interface {
	SignatureAlgorithms() []jose.SignatureAlgorithm
	PublishedFor() time.Duration
}

// CheckConfig returns an error for each missing or invalid field.
func (p *Provider) CheckConfig(config *server.Config) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("oidc: Provider."+format, args...))
	}
	if p.Keys == nil {
		fault("Keys is missing: write gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.RS256}})")
	}
	if keys, ok := p.Keys.(publisher); ok {
		for _, algorithm := range p.algorithms() {
			if !slices.Contains(keys.SignatureAlgorithms(), algorithm) {
				fault("Keys has no key for %s: add it to gormstore.SigningKeyOptions.Algorithms, or remove it from Provider.Algorithms", algorithm)
			}
		}
		if keys.PublishedFor() < p.idTokenExpiresIn() {
			fault("IDTokenExpiresIn is longer than signing keys stay published: make gormstore.SigningKeyOptions.KeepFor at least %s", p.idTokenExpiresIn())
		}
	}
	faults = append(faults, jwk.CheckAlgorithms(config.Profile, "oidc: Provider.Algorithms", p.algorithms()...))
	if p.PairwiseSalt != nil && len(p.PairwiseSalt) < minSalt {
		fault("PairwiseSalt must have at least %d random bytes", minSalt)
	}
	if p.PairwiseSubjects && p.PairwiseSalt == nil {
		if _, ok := p.Keys.(PairwiseSaltStorage); !ok || len(config.Secrets) == 0 {
			fault("PairwiseSubjects needs Config.Secrets, and Keys that store the salt, such as those of gormoauth.CreateSigningKeys; or set PairwiseSalt")
		}
	}
	if p.IDTokenExpiresIn < 0 || p.SessionExpiresIn < 0 || p.LogoutExpiresIn < 0 {
		fault("IDTokenExpiresIn, SessionExpiresIn and LogoutExpiresIn must not be negative")
	}
	if p.Logouts != nil && (p.Sessions == nil || p.Fetcher == nil) {
		fault("Logouts needs Sessions, to know which clients to tell, and Fetcher, to tell them")
	}
	return errors.Join(faults...)
}

// PrepareMetadata adds the provider's capabilities (OpenID Connect Discovery section 3).
func (p *Provider) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	p.answer("id_token").PrepareMetadata(metadata)
	p.answer("userinfo").PrepareMetadata(metadata)
	metadata.Add("subject_types_supported", "public")
	if p.servesPairwise() {
		metadata.Add("subject_types_supported", "pairwise")
	}
	metadata.Add("claims_supported", "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "amr", "azp", "at_hash")
	supported, restricted := metadata["scopes_supported"].([]string)
	for scope, claims := range p.scopes() {
		if !restricted || slices.Contains(supported, scope) {
			metadata.Add("claims_supported", claims...)
		}
	}
	metadata.Add("claim_types_supported", "normal")
	metadata["claims_parameter_supported"] = true
	metadata.Add("prompt_values_supported", prompts()...)
	metadata.Add("display_values_supported", displays()...)
	if len(p.ACRValues) > 0 {
		metadata.Add("acr_values_supported", p.ACRValues...)
		metadata.Add("claims_supported", "acr")
	}
	if p.Sessions == nil {
		return
	}
	metadata.Add("claims_supported", "sid")
	metadata["end_session_endpoint"] = s.PageURL("end_session", "/oauth/end_session")
	metadata["frontchannel_logout_supported"], metadata["frontchannel_logout_session_supported"] = true, true
	if p.Logouts != nil {
		metadata["backchannel_logout_supported"], metadata["backchannel_logout_session_supported"] = true, true
	}
}

// CheckAuthorizationRequest checks the parameters that OpenID Connect adds to an
// authorization request (OpenID Connect Core section 3.1.2.1).
func (p *Provider) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	if req.ResponseType == "" { // a request that does not come through a browser
		return nil
	}
	if err := checkPrompt(req); err != nil {
		return err
	}
	if display := req.Params.Get("display"); display != "" && !slices.Contains(displays(), display) {
		return server.NewError(server.InvalidRequest, "The 'display' has an unknown value. Use page, popup, touch or wap.").With(slog.String("display", req.Params.Get("display")))
	}
	if req.Params.Has("registration") {
		return server.NewError(server.RegistrationNotSupported, "The server does not support the parameter 'registration'.")
	}
	p.applyDefaults(req)
	issuesCode := wordlist.Has(req.ResponseType, "code")
	if !issuesCode { // OpenID Connect Core section 11
		req.Scope = without(req.Scope, offlineAccessScope)
	}
	if !isOpenID(req.Scope) {
		return nil
	}
	if !req.Params.Has("redirect_uri") {
		return server.NewError(server.InvalidRequest, "A request with the scope 'openid' must have a 'redirect_uri'.")
	}
	req.Authorization.Claims = req.Params.Get("claims")
	if _, err := ParseClaims(req.Authorization.Claims); err != nil {
		return server.NewError(server.InvalidRequest, "The 'claims' are malformed (OpenID Connect Core section 5.5).").BecauseOf(err)
	}
	return nil
}

// IssuesIDTokens reports whether a scope includes "openid".
func (*Provider) IssuesIDTokens(scope string) bool { return isOpenID(scope) }

// PrepareAuthorizationCode stores with a code what its ID token needs.
func (p *Provider) PrepareAuthorizationCode(_ context.Context, req *server.Request, record *models.AuthorizationCodeMixin) error {
	if isOpenID(req.Scope) {
		record.Nonce = req.Params.Get("nonce")
	}
	p.bind(req, &record.Authorization)
	return nil
}

// PrepareToken stores the same with a token that is issued without a credential; any other
// token has it from the credential that it was exchanged for. It also makes sure that the
// session is remembered for as long as the grant lasts.
func (p *Provider) PrepareToken(ctx context.Context, req *server.Request, record *models.TokenMixin) error {
	if req.Credential == nil {
		p.bind(req, &record.Authorization)
	}
	return p.keepSession(ctx, req, record)
}

// bind stores the requested claims and the session in an authorization, if the request is
// an OpenID Connect request.
func (p *Provider) bind(req *server.Request, authorization *models.Authorization) {
	authorization.Claims, authorization.SessionID = "", nil
	if req.Endpoint == authorizationEndpoint && isOpenID(req.Scope) {
		authorization.Claims, authorization.SessionID = req.Authorization.Claims, pointerTo(p.sid(req.Client, req.Authentication.SessionID))
	}
}

const (
	authorizationEndpoint = "authorization"
	tokenEndpoint         = "token"
)

// PrepareTokenResponse adds the ID token to the response for a code, a refresh token or a
// device code (OpenID Connect Core sections 3.1.3.3 and 12.2).
func (p *Provider) PrepareTokenResponse(ctx context.Context, req *server.Request, record *models.TokenMixin, response *server.TokenResponse) error {
	if req.Endpoint != tokenEndpoint || req.Credential == nil || req.User == nil || !isOpenID(req.Scope) {
		return nil
	}
	nonce := ""
	if code, ok := req.Credential.Record.(interface{ GetNonce() string }); ok {
		nonce = code.GetNonce()
	}
	text, err := p.idToken(ctx, req, idToken{
		authentication: server.AuthenticationOf(req.Credential.Authorization), nonce: nonce, subject: record.Subject, claims: record.Claims, sid: record.GetSessionID(), accessToken: response.AccessToken,
		byScope: p.ScopeClaimsInIDToken,
	})
	if err == nil {
		response.SetExtra("id_token", text)
	}
	return err
}

// AccessTokenClaims returns the claims that Provider.Claims adds to JWT access tokens:
//
//	generator.JWTAccessToken{Keys: keys, Claims: provider.AccessTokenClaims}
func (p *Provider) AccessTokenClaims(ctx context.Context, input server.TokenInput) (map[string]any, error) {
	own := &ClaimsInput{Client: input.Client, User: input.User, Scope: input.Scope, Target: InAccessToken, Claims: make(map[string]any)}
	err := p.customize(ctx, own)
	return own.Claims, err
}

func (p *Provider) algorithms() []jose.SignatureAlgorithm {
	if p.Algorithms == nil {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	return p.Algorithms
}

func (p *Provider) idTokenExpiresIn() time.Duration {
	return orDefault(p.IDTokenExpiresIn, defaultIDTokenExpiresIn)
}

// scopes returns the claims of all scopes.
func (p *Provider) scopes() map[string][]string {
	all := standardScopes()
	maps.Copy(all, p.Scopes)
	return all
}

func isOpenID(scope string) bool { return wordlist.Has(scope, openidScope) }

func without(scope, word string) string {
	return wordlist.Without(scope, word)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func pointerTo(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
