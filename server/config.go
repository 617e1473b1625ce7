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

	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/construct"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/locale"
	"github.com/gormoauth/gormoauth/server/logging"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Config holds a server's settings. Issuer, QueryClient, SaveToken and ClientAuthMethods are
// required; the zero value of every other field is a secure default.
type Config struct {
	// Issuer is the server's identifier: an https URL without query and fragment (RFC 8414
	// section 2). http is allowed only for loopback addresses.
	Issuer string

	// FormerIssuers are issuers that this server had before, for example under another host. What
	// they issued is still accepted. Any other issuer may share the tables: its codes, tokens and
	// device authorizations are unknown to this server.
	FormerIssuers []string

	// QueryClient looks up a client.
	QueryClient storage.QueryClientFunc
	// SaveToken stores a token and spends the credential it was exchanged for.
	SaveToken storage.SaveTokenFunc
	// RevokeGrant revokes all tokens of a grant. It is required for grants that exchange a
	// credential, and called when a credential is presented twice.
	RevokeGrant storage.RevokeGrantFunc
	// QueryUser is called at every exchange and refresh to check that the user may still be
	// served. If nil, every user is.
	QueryUser storage.QueryUserFunc
	// ClientAuthMethods are the methods by which clients may authenticate. clientauth.Defaults()
	// returns client_secret_basic, client_secret_post and none.
	ClientAuthMethods []ClientAuthMethod

	// Secrets are known to the program and not to its database, the newest first: at least 32
	// random bytes each, the same on every instance, stored apart from the database. From them
	// the server derives keys that encrypt the signing keys and other secrets at rest, create
	// nonces, and derive the secrets of clients that sign with them. If nil, none of these is
	// available. See [secret.Keyring] for rotation.
	Secrets secret.Keyring
	// NoOlderInstances states that no instance of an older release runs on the same database, now
	// or later. Signing keys are then encrypted with Secrets, which an older instance cannot
	// read. A new database starts that way. For an existing one, set it once all instances run
	// this release; until then keys are stored as before, and the doctor reports what is pending.
	NoOlderInstances bool

	// StorageBudget limits how long the storage work of one request may take, including waiting
	// for locks and for a free connection; 0 is [budget.Default]. A request that has used
	// it up gets 503 with Retry-After. COMMIT is not cut short by it, see [budget.OfCommit]. Calls
	// by the program outside a request have the default for each step. A program that sets a
	// longer StorageBudget should call [budget.With] with the same value for them, because
	// revoking all grants of a client waits for requests in progress.
	StorageBudget time.Duration

	// StrictClientSecretMethod requires a client with a secret to use the one of
	// client_secret_basic and client_secret_post that it is registered for. Otherwise it may use
	// either, unless the client insists by [clientmeta.RequireAuthMethod].
	StrictClientSecretMethod bool

	// Profile is a security profile, such as fapi.SecurityProfile; nil is none. Settings that are
	// left out get the profile's algorithms, and others are refused. If the profile is a hook,
	// register it as well, and pass it to the server's APIs.
	Profile Profile

	// ClientCertificates returns the certificates that a client presented, for authentication by
	// certificate and for certificate-bound tokens (RFC 8705); nil uses those of the connection.
	// Behind a proxy that terminates TLS, see [forwarded.ClientCertificates].
	ClientCertificates forwarded.CertificatesFunc

	// EndpointPaths sets the paths of endpoints by name, below the issuer's path. By default,
	// "authorization" is at /oauth/authorize, "token" at /oauth/token, and any other endpoint
	// where its EndpointPath method says. The server's metadata contains these addresses.
	EndpointPaths map[string]string

	// TokenExpiresIn is the lifetime of access tokens by grant type, in whole seconds. A grant
	// type that is not listed has one hour.
	TokenExpiresIn map[string]time.Duration
	// RefreshTokenExpiresIn is how long an unused refresh token lasts; 0 is 30 days, and a
	// negative value is forever.
	RefreshTokenExpiresIn time.Duration
	// AccessTokenGenerator generates access tokens; nil generates random ones.
	AccessTokenGenerator TokenGenerator
	// RefreshTokenGenerator generates a refresh token's own part; nil generates random ones. The
	// engine appends a part that identifies the grant, so that reuse of any earlier refresh token
	// of the grant is detected.
	RefreshTokenGenerator TokenGenerator
	// NoRefreshTokens turns refresh tokens off. Otherwise a client gets one if the refresh token
	// grant is registered and the client may use it.
	NoRefreshTokens bool
	// RefreshTokenGrace is how long a client may present the same refresh token again, until its
	// successor is used. This is for clients that refresh in several tabs at once or never
	// received the answer to a refresh. The client gets the same answer again or, if it asks for
	// another part of its grant, the same refresh token with another access token. After that, a
	// second use counts as reuse and revokes the grant. 0 is 30 seconds, and a negative value is
	// none: a thief has that time as well. Setting RefreshTokenGenerator turns it off.
	RefreshTokenGrace time.Duration
	// RefreshTokenKey derives the successors of refresh tokens, instead of a random salt in each
	// grant's row: at least 32 random bytes, the same on every instance, stored apart from the
	// database. nil uses the salt.
	RefreshTokenKey []byte
	// ErrorURIs is the URL of a page about an error, by error code. A code without one has no
	// error_uri.
	ErrorURIs map[string]string
	// ScopesSupported lists every scope of the server; nil leaves it to the clients'
	// registrations.
	ScopesSupported []string
	// StrictScope refuses a request that asks for a scope which the server does not know or the
	// client may not have. Otherwise such a word is left out, and the response says which scope
	// was granted (RFC 6749 section 3.3). A request is refused in any case if no scope would be
	// left, or if it asks for "openid" and would not get it.
	StrictScope bool
	// PKCE says which requests for a code must have a 'code_challenge'; empty is [PKCEWithNonce].
	PKCE PKCE
	// Generators are the token generators that settings may refer to by name, see [Config.Load].
	Generators map[string]TokenGenerator

	// FailedAuthentications limits how often a client may present a wrong secret or signature, by
	// client and network address, so that secrets cannot be guessed. nil allows 100 in ten
	// minutes, counted in this process. Other failures, such as a stale refresh token or an
	// expired secret, do not count. Use [ratelimit.Unlimited] if such a limit is enforced in
	// front of the program.
	FailedAuthentications ratelimit.Limiter
	// SlowSecrets limits how many secrets that are stored as a password hash are checked at once;
	// network addresses take turns. nil leaves half of the processors for everything else. A
	// program that checks passwords passes its own limit, so that both together leave that half.
	SlowSecrets *ratelimit.Concurrency
	// RemoteAddress returns the address that a request comes from; nil uses the other end of the
	// connection. Behind a proxy use [forwarded.Address]: otherwise all clients have the
	// proxy's address, and one that fails to authenticate locks out the others. Rate limits, the
	// log and the audit trail use this address.
	RemoteAddress func(r *http.Request) string
	// RequestID returns the id of a request, so that all its log lines have the same
	// "request_id"; nil uses the X-Request-Id header. An id that is empty, longer than 64
	// characters or contains anything except letters, digits and -._~:/+= is replaced by a random
	// one, because headers are written by strangers.
	RequestID func(r *http.Request) string

	// AllowOrigin says which origins' pages may call the endpoints for programs, without
	// credentials; nil allows every origin. The authorization endpoint is itself a page and never
	// readable by others.
	AllowOrigin func(origin string) bool

	// PrivateUseSchemes are the private-use URI schemes without a dot, such as "cursor", that are
	// allowed in the redirect URIs of a client that registered itself or comes from a metadata
	// document; nil is [clientmeta.DefaultPrivateUseSchemes]. Schemes with a dot, which are reversed domain
	// names (RFC 8252 section 7.1), are always allowed. A client that the operator created may
	// have any scheme that does not start programs or scripts.
	PrivateUseSchemes []string

	// TokenPrefix begins every generated secret, so that leak scanners can find them: at most 16
	// lowercase letters and digits; [secret.DefaultPrefix] if empty.
	TokenPrefix string
	// MaxRequestBytes limits the size of a body and of a query; 0 is 64 KiB.
	MaxRequestBytes int64
	// RenderError shows the user an error of the authorization endpoint that must not be sent to
	// a client. It writes the response with the Status of the page's error. The error's headers,
	// such as Retry-After, are already set. nil writes a page, or JSON if the caller is not a
	// browser.
	RenderError func(w http.ResponseWriter, r *http.Request, page ErrorPage)
	// Translator translates error descriptions; nil has English and the languages of package locale.
	Translator *locale.Translator
	// Logger receives internal errors, and one line for each refusal with its reason. The lines
	// use the keys of eventlog.Log and never contain a credential. nil logs nothing.
	Logger *slog.Logger
	// Clock returns the current time; nil is time.Now.
	Clock func() time.Time
}

// TokenGenerator returns the text of a token. An access token consists of the characters of RFC
// 6750 section 2.1 and must not be guessable.
type TokenGenerator func(ctx context.Context, input TokenInput) (string, error)

// TokenInput describes the token to generate.
type TokenInput struct {
	Client    storage.Client
	GrantType string
	User      storage.User // nil if there is none
	Scope     string
	Request   *Request
	// Record is the token's record as it will be stored, without its digests.
	Record *models.TokenMixin
	// ID identifies the token, for example as the "jti" of a JWT (RFC 7519 section 4.1.7). It has
	// 130 random bits. If a generator returns the same text for the same input, ID included, a
	// repeated refresh returns the same access token again; otherwise it returns another one.
	ID string
}

const (
	defaultTokenExpiresIn        = time.Hour
	defaultRefreshTokenExpiresIn = 30 * 24 * time.Hour
	defaultRefreshTokenGrace     = 30 * time.Second
	defaultMaxRequestBytes       = 64 << 10
)

// withDefaults returns a copy in which every field has its value, or all faults at once, each
// naming its field.
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
		if scope == "" || strings.Contains(scope, " ") || !clientrules.IsScope(scope) {
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
		c.TokenPrefix = secret.DefaultPrefix
	}
	if c.PrivateUseSchemes == nil {
		c.PrivateUseSchemes = clientmeta.DefaultPrivateUseSchemes()
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
		c.StorageBudget = budget.Default
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = defaultMaxRequestBytes
	}
	if c.Translator == nil {
		c.Translator = locale.Default()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = slog.New(logging.Handler(c.Logger.Handler()))
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.RefreshTokenGenerator == nil {
		prefix := c.TokenPrefix
		c.RefreshTokenGenerator = func(context.Context, TokenInput) (string, error) {
			return secret.Own(prefix, secret.RefreshToken), nil
		}
	}
	return c
}

func checkIssuer(issuer string) error {
	u, err := weburi.Parse(issuer)
	switch {
	case issuer == "":
		return errors.New("is missing: write the https URL by which clients know this server")
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
