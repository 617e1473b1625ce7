package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// formerIssuers are loopback issuers that the demo used before, because its port may change.
// Sessions then remain valid. They are read from the newest rows; a new database has none.
func formerIssuers(db *gorm.DB, cfg *config) (former []string) {
	if !cfg.demo {
		return nil
	}
	const newest = 1000
	var parts []string
	for _, table := range []string{"tokens", "authorization_codes", "device_codes"} {
		parts = append(parts, fmt.Sprintf("SELECT issuer FROM (SELECT issuer FROM %s ORDER BY id DESC LIMIT %d) AS newest WHERE issuer <> ''", table, newest))
	}
	var issuers []string
	quiet := db.Session(&gorm.Session{Logger: logger.Discard})
	if err := quiet.Raw(strings.Join(parts, " UNION ")).Scan(&issuers).Error; err != nil {
		return nil
	}
	for _, issuer := range issuers {
		u, err := url.Parse(issuer)
		if err == nil && isLoopback(u.Hostname()) && issuer != cfg.issuer {
			former = append(former, issuer)
		}
	}
	return former
}

// newServer assembles the authorization server.
func newServer(a *app) (*server.Server, error) {
	// For documents that clients name by URL. On a machine that nobody else can reach, they may
	// be on the machine itself.
	fetcher := fetch.New(fetch.Options{AllowPrivateAddresses: a.cfg.demo, Transport: &http.Transport{TLSClientConfig: a.cfg.tlsConfig()}})
	documents := gormoauth.CreateMetadataDocuments[Client](a.db, fetcher)
	documents.Scope = strings.Join(scopeNames(), " ")
	parts := []gormoauth.Part{
		gormoauth.Clients[Client](),
		gormoauth.Tokens[Token](),
		gormoauth.AuthorizationCodes[AuthorizationCode](),
		gormoauth.Users[User](enabled, false),
	}
	if a.cfg.fapi {
		parts = append(parts, gormoauth.FAPI2SecurityProfile[PushedRequest, Replay]())
	}
	srv, err := gormoauth.New(a.db, server.Config{
		Issuer:          a.cfg.issuer,
		FormerIssuers:   formerIssuers(a.db, a.cfg),
		ScopesSupported: scopeNames(),
		PKCE:            a.cfg.pkce,
		Secrets:         a.cfg.secrets,
		SlowSecrets:     a.passwords.checks,
		RenderError:     a.oauthErrorPage,
		Logger:          a.log,
		RemoteAddress:   a.cfg.remoteAddress(),

		NoOlderInstances: a.cfg.noOlderInstances,
	}, parts...)
	if err != nil {
		return nil, err
	}
	replays := gormoauth.CreateReplayStorage[Replay](a.db)
	introspection := gormoauth.CreateIntrospectionEndpoint[Token](a.db)
	introspection.Keys, introspection.Fetcher = a.keys, fetcher
	introspection.Username = func(user storage.User) string { return user.(*User).Username }
	exchange := gormoauth.CreateTokenExchangeGrant[Token](a.db)
	exchange.Policy = a.allowExchange
	a.openid = a.newProvider(fetcher)
	// Tokens for other APIs, and those of services, are signed JWTs, which any API can verify by
	// itself.
	signed := &generator.JWTAccessToken{Keys: a.keys}
	srv.RegisterTokenGenerator("client_credentials", signed.Generate)
	for _, resource := range a.cfg.resources {
		srv.RegisterResourceTokenGenerator(resource, signed.Generate)
	}
	err = errors.Join(
		srv.Register(
			&eventlog.Log{Logger: a.log},
			documents,
			grant.ResourceIndicators{Resources: append([]string{a.cfg.issuer}, a.cfg.resources...), Default: a.cfg.issuer},
			&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{paymentType: {Members: payment{}, Check: checkPayment}}},
			&grant.RequestObjects{Replays: replays, Fetcher: fetcher, Decryption: a.keys},
			&grant.JARM{Keys: a.keys, Fetcher: fetcher},
			&grant.CertificateBoundTokens{},
			&grant.RememberedConsent{Storage: a.consents},
		),
		a.openid.Register(srv, a.api),
		srv.RegisterEndpoint(introspection),
		srv.RegisterEndpoint(&endpoint.JWKS{Keys: a.keys}),
		srv.RegisterEndpoint(a.devices),
		srv.RegisterGrant(gormoauth.CreateDeviceCodeGrant[DeviceCode](a.db)),
		srv.RegisterGrant(exchange),
		srv.RegisterClientAuthMethod(
			&clientauth.PrivateKeyJWT{Replays: replays, Fetcher: fetcher},
			&clientauth.SelfSignedTLSClientAuth{Fetcher: fetcher},
		),
	)
	if !a.cfg.fapi {
		err = errors.Join(err, a.registerMore(srv, replays))
	}
	if a.cfg.clientCA != "" {
		roots, readErr := readCertificates(a.cfg.clientCA)
		err = errors.Join(err, readErr, srv.RegisterClientAuthMethod(&clientauth.TLSClientAuth{Roots: roots}))
	}
	if a.cfg.trustedIssuer != "" {
		trust := trustedIssuer{a, fetcher}
		exchange.Keys, exchange.QueryUser = trust.keys, trust.user
		err = errors.Join(err, srv.RegisterGrant(&grant.JWTBearer{Keys: trust.keys, QueryUser: trust.user, Replays: replays}))
	}
	if a.cfg.demo { // nobody else can reach the machine, so registration is open
		registration := gormoauth.CreateRegistrationEndpoint[Client, Token](a.db)
		registration.Open, registration.DefaultScope = true, "openid profile email address phone"
		registration.GrantTypes = []string{"authorization_code", "refresh_token", deviceCodeGrantType, "implicit"}
		err = errors.Join(err, srv.RegisterEndpoint(registration))
	}
	return srv, err
}

// registerMore registers what the FAPI 2.0 Security Profile does in another way or forbids.
func (a *app) registerMore(srv *server.Server, replays storage.Replays) error {
	codes := gormoauth.CreateAuthorizationCodeGrant[AuthorizationCode](a.db)
	err := errors.Join(
		srv.Register(gormoauth.CreateDPoP[Replay](a.db)),
		srv.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[PushedRequest](a.db)),
		srv.RegisterGrant(&oidc.Hybrid{Provider: a.openid, Code: codes}),
		srv.RegisterGrant(&oidc.Implicit{Provider: a.openid}),
		// OAuth 2.1 no longer has these two. They are here for the client demo-legacy, and no
		// other client is registered for them. Leave them out of a new server.
		srv.RegisterGrant(&grant.Password{AuthenticateUser: a.authenticateUser}),
		srv.RegisterGrant(&grant.Implicit{AllowConfidentialClients: true}),
	)
	if len(a.cfg.secrets) > 0 {
		err = errors.Join(err, srv.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Key: a.cfg.oldest(), Replays: replays}))
	}
	return err
}

// newProvider returns the extension that makes the server an OpenID Provider.
func (a *app) newProvider(fetcher *fetch.Fetcher) *oidc.Provider {
	sessions := gormoauth.CreateSessionStorage[ClientSession, Logout, Token, AuthorizationCode](a.db)
	provider := &oidc.Provider{Keys: a.keys, Algorithms: a.cfg.signingAlgorithms(), Fetcher: fetcher, Sessions: sessions, Logouts: sessions, ACRValues: []string{acrPassword}}
	if a.cfg.noOlderInstances {
		provider.PairwiseSubjects = len(a.cfg.secrets) > 0
	} else { // older instances could not read the keys if the salt were stored among them
		provider.PairwiseSalt = a.cfg.pairwiseSalt()
	}
	return provider
}

// allowExchange allows clients with the token exchange grant to exchange tokens for this
// program's API only.
func (a *app) allowExchange(_ context.Context, _ *server.Request, exchange *grant.Exchange) error {
	if len(exchange.Audience) == 0 {
		exchange.Audience = []string{a.cfg.issuer}
	}
	if slices.ContainsFunc(exchange.Audience, func(one string) bool { return !indicator.Same(one, a.cfg.issuer) }) {
		return server.NewError(server.InvalidTarget, "This server does not issue tokens for one of the requested 'resource' values.")
	}
	return nil
}

// trustedIssuer is another issuer whose JWTs stand for users of the same name (RFC 7523, RFC
// 8693).
type trustedIssuer struct {
	*app
	fetcher *fetch.Fetcher
}

func (t trustedIssuer) keys(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error) {
	if issuer != t.cfg.trustedIssuer {
		return nil, nil
	}
	text, err := t.fetcher.KeySet(ctx, t.cfg.trustedKeys)
	if err != nil {
		return nil, err
	}
	return jwk.ParseSet(text)
}

func (t trustedIssuer) user(ctx context.Context, _ *server.Request, assertion *assertion.Assertion) (storage.User, error) {
	var user User
	found := t.db.WithContext(ctx).Where("username = ?", assertion.Subject).Where(enabled, false).Limit(1).Find(&user)
	if found.Error != nil || found.RowsAffected == 0 {
		return nil, found.Error
	}
	return &user, nil
}

// readCertificates reads a file of PEM blocks.
func readCertificates(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return pool, nil
}

// authenticateUser returns a bare nil for a wrong password: a nil *User in the interface would
// not be nil. Failures are counted by the address that sent the request, as on the sign-in page.
// For an application that runs on a server, that is the server's.
func (a *app) authenticateUser(ctx context.Context, req *server.Request, username, password string) (storage.User, error) {
	user, err := a.passwords.check(ctx, req.RemoteAddress(), username, password)
	if err != nil {
		return nil, err
	}
	return user, nil
}

// newProtector protects the API. It is in the same program as the server, so it looks up JWTs as
// well, and refuses a revoked one at once.
func newProtector(a *app) (*resource.Protector, error) {
	issuer, db, log := a.cfg.issuer, a.db, a.log
	tokens := &resource.JWTAccessTokenValidator{Issuer: issuer, Keys: a.keys, QueryToken: a.tokens.Query, Opaque: gormoauth.CreateBearerTokenValidator[Token](db)}
	bound := gormoauth.CreateDPoPTokenValidator[Replay](db, issuer, tokens)
	protector, err := resource.NewProtector(resource.Config{Realm: "example", Logger: log, RemoteAddress: a.cfg.remoteAddress(), Profile: a.cfg.profile(), Metadata: &resource.Metadata{
		Resource: issuer, AuthorizationServers: []string{issuer}, ScopesSupported: scopeNames(), ResourceName: "gormoauth example",
	}}, tokens, bound)
	if err != nil {
		return nil, err
	}
	protector.Register(resource.OnTokenAuthenticated(func(ctx context.Context, _ *http.Request, token *storage.StoredToken) {
		if err := noteUse(ctx, db, token.Token.(*Token), time.Now()); err != nil {
			log.ErrorContext(ctx, "a token's last use could not be noted", slog.String("cause", err.Error()))
		}
	}))
	return protector, nil
}

// noteUse records when a token was last used, at most once a minute.
func noteUse(ctx context.Context, db *gorm.DB, token *Token, now time.Time) error {
	if now.Unix() < token.LastUsedAt+60 {
		return nil
	}
	return db.WithContext(ctx).Model(&Token{}).Where("id = ?", token.ID).UpdateColumn("last_used_at", now.Unix()).Error
}

// oauthErrorPage shows the user what is wrong with an authorization request, if the error must
// not be sent to the application, or not without the user's action.
func (a *app) oauthErrorPage(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
	failure := page.Error
	heading, message := "This request cannot be answered", "The application that sent you here made a mistake, or the link is damaged. Nothing was shared with it."
	if failure.Status == http.StatusTooManyRequests || failure.Status >= http.StatusInternalServerError { // not the application's fault
		heading, message = inWords(failure.Status)
	}
	a.pages.render(w, failure.Status, "error", errorView{
		layout:  layout{Title: heading},
		Heading: heading,
		Message: message,
		Detail:  failure.Code + ": " + page.Description,
		WayBack: template.URL(page.WayBack), //nolint:gosec // G203: a redirect URI that the application registered, and no script
		Place:   display.Host(page.WayBack),
	})
}
