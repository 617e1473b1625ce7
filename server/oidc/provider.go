package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// User is a user of whom clients may learn something. The program's own user model
// implements it. A user without the method is known by the claim "sub" alone.
type User interface {
	server.User
	// GetClaims returns what is known of the user, by claim (OpenID Connect Core
	// section 5.1), as far as the scopes cover it. Any claim of a program's own may be
	// among it. What is unknown is left out, empty or nil.
	GetClaims(ctx context.Context, scopes []string) (map[string]any, error)
}

// Provider is the OpenID Provider. Keys is required; the zero value of every other
// field is a secure default. See [Provider.Register].
type Provider struct {
	// Keys sign ID tokens, UserInfo responses and logout tokens.
	Keys server.SigningKeys
	// Algorithms are those that a client may choose among; nil is RS256, which every
	// provider has to have (OpenID Connect Core section 15.1). A client that chooses
	// none gets RS256, or else the first.
	Algorithms []jose.SignatureAlgorithm
	// IDTokenExpiresIn is how long an ID token lasts; 0 is an hour.
	IDTokenExpiresIn time.Duration

	// Scopes are the claims of the program's own scopes, by scope, beside those of
	// profile, email, address and phone (OpenID Connect Core section 5.4). One of these
	// four that stands here has the claims that are named here and no others: name what
	// the users have, so that claims_supported lists nothing that nobody has.
	Scopes map[string][]string
	// ScopeClaimsInIDToken puts the claims of the granted scope into every ID token of
	// the token endpoint, where some relying parties look for a name and nowhere else.
	// Otherwise UserInfo has them, as OpenID Connect Core section 5.4 says, and an ID
	// token stays short: it goes along as an id_token_hint, and may be kept for long.
	ScopeClaimsInIDToken bool
	// Claims is asked about all that a client is about to be told: it may add claims,
	// and take some out, by the client, the user, and where they go. The claims of the
	// protocol itself it cannot change.
	Claims func(ctx context.Context, input *ClaimsInput) error
	// PairwiseSalt lets clients register for subjects that no other client knows (OpenID
	// Connect Core section 8.1): at least 32 random bytes, the same for ever and on every
	// instance, kept apart from the database. nil has public subjects alone. An API that
	// verifies such a client's JWTs by itself knows the user by that subject, too.
	PairwiseSalt []byte
	// PairwiseSubjects is PairwiseSalt for a program that leaves the salt to Keys, such as
	// those of gormstore: it is made once and kept encrypted by Config.Secrets, whose
	// rotation does not change it. Where an older instance may run, pairwise clients are
	// not served until Config.NoOlderInstances is set, as that one could not read the keys.
	PairwiseSubjects bool
	// ACRValues are the authentication context classes that the program's sign-in can
	// reach. Each sign-in says which one it reached ([server.Authentication]), and the
	// ID token has it as "acr".
	ACRValues []string
	// Fetcher gets what clients name by its address: their keys, sector identifiers, and
	// the addresses at which they are told of logouts. nil refuses clients that do.
	Fetcher *fetch.Fetcher

	// Sessions remembers to which clients a user's session has signed in, so that they
	// can be told when it ends. nil knows nothing of sessions.
	Sessions SessionStorage
	// SessionExpiresIn is how long a session may last in which nobody signs in to
	// anything any more; 0 is 30 days.
	SessionExpiresIn time.Duration
	// EndsWithSession says which grants end with the session that they began in, by
	// their scope; nil is those without offline_access (OpenID Connect Back-Channel
	// Logout 1.0 section 2.7).
	EndsWithSession func(scope string) bool
	// Logouts is the outbox of back-channel logout; nil leaves clients that have one
	// untold. See [Provider.DeliverLogouts].
	Logouts LogoutStorage
	// LogoutExpiresIn is for how long a client is told of a logout that does not answer;
	// 0 is three days.
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

// ErrNotRegistered is what a provider answers before [Provider.Register].
var ErrNotRegistered = errors.New("oidc: Provider.Register has not been called")

// Register registers the provider with a server: ID tokens for every request with
// the scope openid, the discovery document, and UserInfo, which the protector
// guards. The implicit and hybrid flows are grants of their own: [Implicit],
// [Hybrid].
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
func (p *Provider) PublishedKeys() server.SigningKeys { return p.Keys }

// publisher is for keys that know what they are for, and for how long they are
// published after they signed.
type publisher interface {
	SignatureAlgorithms() []jose.SignatureAlgorithm
	PublishedFor() time.Duration
}

// CheckConfig names what is missing.
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
				fault("Keys has none for %s: add it to gormstore.SigningKeyOptions.Algorithms, or leave it out of Provider.Algorithms", algorithm)
			}
		}
		if keys.PublishedFor() < p.idTokenExpiresIn() {
			fault("IDTokenExpiresIn is longer than keys are published that signed: make gormstore.SigningKeyOptions.KeepFor at least %s", p.idTokenExpiresIn())
		}
	}
	faults = append(faults, server.CheckAlgorithms(config.Profile, "oidc: Provider.Algorithms", p.algorithms()...))
	if p.PairwiseSalt != nil && len(p.PairwiseSalt) < minSalt {
		fault("PairwiseSalt must have at least %d random bytes", minSalt)
	}
	if p.PairwiseSubjects && p.PairwiseSalt == nil {
		if _, ok := p.Keys.(PairwiseSaltStorage); !ok || len(config.Secrets) == 0 {
			fault("PairwiseSubjects needs Config.Secrets, and Keys that keep the salt, such as those of gormoauth.CreateSigningKeys; or set PairwiseSalt")
		}
	}
	if p.IDTokenExpiresIn < 0 || p.SessionExpiresIn < 0 || p.LogoutExpiresIn < 0 {
		fault("IDTokenExpiresIn, SessionExpiresIn and LogoutExpiresIn must not be negative")
	}
	if p.Logouts != nil && (p.Sessions == nil || p.Fetcher == nil) {
		fault("Logouts needs Sessions, to know whom to tell, and Fetcher, to tell them")
	}
	return errors.Join(faults...)
}

// PrepareMetadata says what there is (OpenID Connect Discovery section 3).
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

// CheckAuthorizationRequest checks what OpenID Connect Core section 3.1.2.1 adds to
// an authorization request.
func (p *Provider) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	if req.ResponseType == "" { // which is not of a browser
		return nil
	}
	if err := checkPrompt(req); err != nil {
		return err
	}
	if display := req.Params.Get("display"); display != "" && !slices.Contains(displays(), display) {
		return server.NewError(server.InvalidRequest, "The 'display' is none that there is.").With(slog.String("display", req.Params.Get("display")))
	}
	if req.Params.Has("registration") {
		return server.NewError(server.RegistrationNotSupported, "The server takes no 'registration' in a request.")
	}
	p.applyDefaults(req)
	issuesCode := slices.Contains(strings.Fields(req.ResponseType), "code")
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
		return server.NewError(server.InvalidRequest, "The 'claims' are not what OpenID Connect Core section 5.5 says.").BecauseOf(err)
	}
	return nil
}

// IssuesIDTokens reports whether a scope has the word "openid".
func (*Provider) IssuesIDTokens(scope string) bool { return isOpenID(scope) }

// PrepareAuthorizationCode keeps with a code what its ID token will say.
func (p *Provider) PrepareAuthorizationCode(_ context.Context, req *server.Request, record *models.AuthorizationCodeMixin) error {
	if isOpenID(req.Scope) {
		record.Nonce = req.Params.Get("nonce")
	}
	p.bind(req, &record.Authorization)
	return nil
}

// PrepareToken keeps the same with a token that is issued at once. Any other has it of
// what it was exchanged for; the session of that one is remembered for as long as it lasts.
func (p *Provider) PrepareToken(ctx context.Context, req *server.Request, record *models.TokenMixin) error {
	if req.Credential == nil {
		p.bind(req, &record.Authorization)
	}
	return p.keepSession(ctx, req, record)
}

// bind has an authorization say what was asked for of the user, and in which session, if
// the request is one of OpenID Connect.
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

// PrepareTokenResponse adds the ID token to what a code, a refresh token or a device
// code is exchanged for (OpenID Connect Core sections 3.1.3.3 and 12.2).
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

// AccessTokenClaims are the claims of the program's own in access tokens that are
// JWTs:
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

// scopes are the claims of all scopes.
func (p *Provider) scopes() map[string][]string {
	all := standardScopes()
	maps.Copy(all, p.Scopes)
	return all
}

func isOpenID(scope string) bool { return slices.Contains(strings.Fields(scope), openidScope) }

func without(scope, word string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(scope), func(w string) bool { return w == word }), " ")
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
