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
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Config is a server's settings. Issuer, QueryClient, SaveToken and
// ClientAuthMethods are required; the zero value of every other field is a
// secure default.
type Config struct {
	// Issuer is the server's identifier: an https URL without query and
	// fragment (RFC 8414 section 2). http is for loopback addresses alone.
	Issuer string

	// FormerIssuers are issuers that the server had before, such as under another host: what
	// they issued is still taken. Otherwise a code, a token or a device authorization of
	// another issuer that keeps its own in the same tables is unknown here.
	FormerIssuers []string

	// QueryClient finds a client.
	QueryClient QueryClientFunc
	// SaveToken stores a token and spends what it was exchanged for.
	SaveToken SaveTokenFunc
	// RevokeGrant revokes all tokens of a grant. Grants that exchange a
	// credential need it, for the day one is presented twice.
	RevokeGrant RevokeGrantFunc
	// QueryUser is asked, at every exchange and refresh, whether a user may
	// still be served. Without it every user is.
	QueryUser QueryUserFunc
	// ClientAuthMethods are the ways in which clients may authenticate;
	// clientauth.Defaults() is client_secret_basic, client_secret_post and none.
	ClientAuthMethods []ClientAuthMethod

	// Secrets are what the program knows and its database does not, the newest first: at
	// least 32 random bytes each, the same on every instance, kept apart from the
	// database. Keys are derived from them that encrypt the signing keys and other secrets
	// at rest, make nonces, and derive the secrets of clients that sign with them; nil has
	// none of these. See [Secrets] for how to rotate them.
	Secrets Secrets
	// NoOlderInstances says that no instance of an older release runs on the same database,
	// nor will again. Then signing keys are encrypted by Secrets, which an older instance
	// cannot read. A new database begins with that. For any other set it once all instances
	// run this release; until then keys are written as before, and the doctor says what is
	// pending.
	NoOlderInstances bool

	// StorageBudget is for how long the storage work of one request may take, waiting for
	// locks and for a free connection included; 0 is [DefaultStorageBudget]. A request that
	// has used it up is answered 503 with Retry-After. COMMIT is not cut by it, see
	// [CommitBudget]. What a program calls without a request has as much for each step, see
	// [WithStorageBudget]: one that gives requests more than the default does so there as well,
	// as whoever revokes all grants of a client waits for the requests that are under way.
	StorageBudget time.Duration

	// StrictClientSecretMethod holds a client with a secret to the one of
	// client_secret_basic and client_secret_post that it is registered for. Otherwise
	// either does, unless the client insists by [RequireAuthMethodMember].
	StrictClientSecretMethod bool

	// Profile is a security profile, such as fapi.SecurityProfile; nil is none. Settings
	// that are left out have its algorithms, and others are refused. Register it as
	// well, if it is a hook, and give it to the server's APIs.
	Profile Profile

	// ClientCertificates returns the certificates that a client presented, for
	// authentication by certificate and certificate-bound tokens (RFC 8705); nil
	// takes those of the connection. Behind a proxy that ends TLS, see
	// [TrustForwardedClientCertificates].
	ClientCertificates ClientCertificatesFunc

	// EndpointPaths is where endpoints are served, by name, where that is not
	// the usual place: "authorization" is at /oauth/authorize below the issuer's
	// path, "token" at /oauth/token, any other where its EndpointPath says. The
	// server's metadata names these.
	EndpointPaths map[string]string

	// TokenExpiresIn is the access token's lifetime by grant type, in whole
	// seconds; a grant type that is not named gets an hour.
	TokenExpiresIn map[string]time.Duration
	// RefreshTokenExpiresIn is how long a refresh token lasts without being
	// used; 0 is 30 days, less than 0 is without end.
	RefreshTokenExpiresIn time.Duration
	// AccessTokenGenerator makes access tokens; nil makes random ones.
	AccessTokenGenerator TokenGenerator
	// RefreshTokenGenerator makes a refresh token's own part; nil makes random
	// ones. The engine adds the part that names the grant, so that a reuse of
	// any earlier generation is recognised.
	RefreshTokenGenerator TokenGenerator
	// NoRefreshTokens turns refresh tokens off. Otherwise a client gets one
	// when it may use the refresh token grant and that grant is registered.
	NoRefreshTokens bool
	// RefreshTokenGrace is for how long a client that refreshes in several tabs at once, or
	// never saw the answer to a refresh, may present the same refresh token again, until
	// its successor is used. It gets the same answer, or, where it asks for another part of
	// its grant, the same refresh token with an access token for that. Otherwise a second
	// use is reuse, which revokes the grant. 0 is 30 seconds, and less than 0 none: a thief
	// has the time, too. A RefreshTokenGenerator turns it off.
	RefreshTokenGrace time.Duration
	// RefreshTokenKey derives the successors of refresh tokens in place of a random salt in
	// each grant's row: at least 32 random bytes, the same on every instance, kept apart
	// from the database. nil is the salt.
	RefreshTokenKey []byte
	// ErrorURIs is the page about an error, by error code. A code without one
	// has no error_uri.
	ErrorURIs map[string]string
	// ScopesSupported is every scope there is; nil leaves it to the clients'
	// registrations.
	ScopesSupported []string
	// StrictScope refuses a request that asks for a scope which the server does not
	// know or the client may not have. Otherwise such a word is left out, and the
	// answer says what was given (RFC 6749 section 3.3); a request of which nothing
	// would be left, or not the "openid" that it asks for, is refused in any case.
	StrictScope bool
	// PKCE says which requests for a code must have a 'code_challenge'; empty is
	// [PKCEWithNonce].
	PKCE PKCE
	// Generators are the token generators that settings may name, see
	// [Config.Load].
	Generators map[string]TokenGenerator

	// FailedAuthentications bounds how often a client may present a wrong secret or a
	// wrong signature, by client and network address, so that nobody guesses a
	// secret; nil allows 100 in ten minutes, counted in this process. Nothing else
	// counts: neither a stale refresh token nor a secret that has expired.
	// [ratelimit.Unlimited] is for a program that has such a bound in front of it.
	FailedAuthentications ratelimit.Limiter
	// SlowSecrets bounds how many secrets with a password's digest are checked at
	// once, by network address in turn; nil leaves half of the processors to
	// everything else. A program that checks passwords gives its own bound, so that
	// both together leave that half.
	SlowSecrets *ratelimit.Concurrency
	// RemoteAddress says where a request comes from; nil is the other end of the
	// connection. Behind a proxy write [TrustForwardedAddress]: otherwise all clients
	// have the proxy's address, and whoever fails shuts the others out. Limits, the log
	// and the audit trail have what it says.
	RemoteAddress func(r *http.Request) string
	// RequestID names a request, so that the lines of the log that come of it have the
	// same "request_id"; nil takes the header X-Request-Id. An id of more than 64
	// characters, or of others than letters, digits and -._~:/+=, is replaced by a
	// random one, and so is an empty one: strangers write headers.
	RequestID func(r *http.Request) string

	// AllowOrigin says which pages of other origins may call the endpoints that
	// programs call, without credentials; nil is those of every origin. The
	// authorization endpoint is a page itself, and no other page may read it.
	AllowOrigin func(origin string) bool

	// PrivateUseSchemes are the private-use URI schemes without a dot, such as "cursor",
	// that the redirect URIs of a client may have that registered itself or came by a
	// metadata document; nil is [DefaultPrivateUseSchemes]. Schemes with a dot, which are
	// a domain name in reverse (RFC 8252 section 7.1), need no permission, and a client
	// that the operator made has any that starts no programs or scripts.
	PrivateUseSchemes []string

	// TokenPrefix begins every generated secret, so that leak scanners find
	// them: lowercase letters and digits, [DefaultTokenPrefix] when empty.
	TokenPrefix string
	// MaxRequestBytes limits a body and a query; 0 is 64 KiB.
	MaxRequestBytes int64
	// RenderError shows a person an error of the authorization endpoint that
	// must not be sent to a client. It writes the answer with the error's Status, which
	// says whether the request is at fault (400), or comes too often (429) or at a bad
	// moment (503): its headers, such as Retry-After, are set already. nil writes a page,
	// or JSON for what is no browser.
	RenderError func(w http.ResponseWriter, r *http.Request, err *Error, description string)
	// Translator translates error descriptions; nil is English and Chinese.
	Translator *Translator
	// Logger gets what goes wrong inside, and one line for each refusal with its
	// reason, by the keys of [EventLog] and never with a credential; nil logs nothing.
	Logger *slog.Logger
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
}

// TokenGenerator makes a token's text. An access token may hold the
// characters of RFC 6750 section 2.1 and must not be guessable.
type TokenGenerator func(ctx context.Context, input TokenInput) (string, error)

// TokenInput is what a token is made for.
type TokenInput struct {
	Client    Client
	GrantType string
	User      User // nil when there is none
	Scope     string
	Request   *Request
	// Record is what the token will be stored as, but for its digests.
	Record *models.TokenMixin
	// ID names the token, such as the "jti" of a JWT (RFC 7519 section 4.1.7): 130 random
	// bits. A generator that makes the same text of the same input, the ID included, lets a
	// refresh that is repeated have the same access token again; any other has it get
	// another one.
	ID string
}

const (
	defaultTokenExpiresIn        = time.Hour
	defaultRefreshTokenExpiresIn = 30 * 24 * time.Hour
	defaultRefreshTokenGrace     = 30 * time.Second
	defaultMaxRequestBytes       = 64 << 10
)

// DefaultTokenPrefix begins generated secrets unless Config.TokenPrefix says
// otherwise.
const DefaultTokenPrefix = "goa"

// withDefaults returns a copy in which every field has its value, or all
// faults at once, each naming its field.
func (c Config) withDefaults() (Config, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("server: Config."+format, args...))
	}

	if err := construct.Given(c); err != nil {
		faults = append(faults, fmt.Errorf("server: %w", err))
	}
	if err := checkIssuer(c.Issuer); err != nil {
		fault("Issuer: %w", err)
	}
	for i, issuer := range c.FormerIssuers {
		if err := checkIssuer(issuer); err != nil {
			fault("FormerIssuers[%d]: %w", i, err)
		}
	}
	if c.QueryClient == nil {
		fault("QueryClient is missing: write gormoauth.CreateQueryClientFunc[Client](db)")
	}
	if c.SaveToken == nil {
		fault("SaveToken is missing: write gormoauth.CreateSaveTokenFunc[Token](db)")
	}
	if len(c.ClientAuthMethods) == 0 {
		fault("ClientAuthMethods is missing: write clientauth.Defaults()")
	}
	for _, name := range slices.Sorted(maps.Keys(c.EndpointPaths)) {
		if err := weburi.CheckPath(c.EndpointPaths[name]); err != nil {
			fault("EndpointPaths[%q]: %q %w", name, c.EndpointPaths[name], err)
		}
	}
	for _, grantType := range slices.Sorted(maps.Keys(c.TokenExpiresIn)) {
		if c.TokenExpiresIn[grantType] < time.Second {
			fault("TokenExpiresIn[%q] must be at least a second", grantType)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(c.ErrorURIs)) {
		if _, err := weburi.Parse(c.ErrorURIs[code]); err != nil {
			fault("ErrorURIs[%q] %w", code, err)
		}
	}
	for _, scope := range c.ScopesSupported {
		if scope == "" || strings.Contains(scope, " ") || !wellFormedScope(scope) {
			fault("ScopesSupported: %q is not one scope", scope)
		}
	}
	for _, scheme := range c.PrivateUseSchemes {
		if !weburi.IsPrivateUseScheme(scheme) {
			fault("PrivateUseSchemes: %q is not a scheme in lowercase that starts no programs or scripts; write it without the colon", scheme)
		}
	}
	if err := c.PKCE.check(); err != nil {
		fault("%w", err)
	}
	if strings.Trim(c.TokenPrefix, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || len(c.TokenPrefix) > 16 {
		fault("TokenPrefix must be at most 16 lowercase letters and digits")
	}
	faults = append(faults, c.Secrets.Check())
	if n := len(c.RefreshTokenKey); n > 0 && n < 32 {
		fault("RefreshTokenKey must have at least 32 random bytes; leave it out for a random salt in each grant's row")
	}
	if c.RefreshTokenGrace > 0 && c.RefreshTokenGenerator != nil {
		fault("RefreshTokenGrace needs the built-in generator of refresh tokens: leave RefreshTokenGenerator out")
	}
	if c.StorageBudget < 0 {
		fault("StorageBudget must not be negative")
	}
	if c.MaxRequestBytes < 0 {
		fault("MaxRequestBytes must not be negative")
	}
	return c.filled(), errors.Join(faults...)
}

func (c Config) filled() Config {
	if c.RefreshTokenExpiresIn == 0 {
		c.RefreshTokenExpiresIn = defaultRefreshTokenExpiresIn
	}
	if c.RefreshTokenGrace == 0 {
		c.RefreshTokenGrace = defaultRefreshTokenGrace
	}
	if c.TokenPrefix == "" {
		c.TokenPrefix = DefaultTokenPrefix
	}
	if c.PrivateUseSchemes == nil {
		c.PrivateUseSchemes = DefaultPrivateUseSchemes()
	}
	if c.FailedAuthentications == nil {
		c.FailedAuthentications = ratelimit.New(failedAuthentications, failedAuthenticationsPer)
	}
	if c.SlowSecrets == nil {
		c.SlowSecrets = newSlowSecrets()
	}
	if c.RemoteAddress == nil {
		c.RemoteAddress = ratelimit.RemoteAddress
	}
	if c.StorageBudget == 0 {
		c.StorageBudget = DefaultStorageBudget
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = defaultMaxRequestBytes
	}
	if c.Translator == nil {
		c.Translator = defaultTranslator()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = slog.New(LogHandler(c.Logger.Handler()))
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.RefreshTokenGenerator == nil {
		prefix := c.TokenPrefix
		c.RefreshTokenGenerator = func(context.Context, TokenInput) (string, error) {
			return ownPart(prefix, RefreshTokenKind), nil
		}
	}
	return c
}

func checkIssuer(issuer string) error {
	u, err := weburi.Parse(issuer)
	switch {
	case issuer == "":
		return errors.New("is missing: write the https URL under which clients know this server")
	case err != nil:
		return fmt.Errorf("%q is not an absolute URL: it %w", issuer, err)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return fmt.Errorf("%q must have no query and no fragment", issuer)
	}
	if _, err := weburi.ParseServed(issuer); err != nil {
		return fmt.Errorf("%q %w", issuer, err)
	}
	return nil
}
