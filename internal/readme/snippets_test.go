package readme_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/doctor"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// The code of the pages, which quote it. It compiles, and is not run.

type User struct {
	ID            uint
	Email         string
	EmailVerified bool
	models.UserMixin
}

func (u *User) GetUserID() string { return fmt.Sprint(u.ID) }

func (u *User) GetClaims(_ context.Context, scopes []string) (map[string]any, error) {
	claims := make(map[string]any)
	if slices.Contains(scopes, "email") {
		claims["email"], claims["email_verified"] = u.Email, u.EmailVerified
	}
	return claims, nil
}

type Client struct {
	ID uint
	models.ClientMixin
}

type Token struct {
	ID     uint
	UserID *uint `gorm:"index"`
	models.TokenMixin
}

type AuthorizationCode struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.AuthorizationCodeMixin
}

type Consent struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.ConsentMixin
}

type SigningKey struct {
	ID uint
	models.SigningKeyMixin
}

type ClientSession struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.SessionMixin
}

type Logout struct {
	ID uint
	models.LogoutMixin
}

type DeviceCode struct {
	ID     uint
	UserID *uint `gorm:"index"` // NULL until a user has typed the code
	models.DeviceCodeMixin
}

type PushedRequest struct {
	ID uint
	models.PushedRequestMixin
}

type Replay struct {
	ID uint
	models.ReplayMixin
}

type Audit struct {
	ID                uint
	UserID            *uint `gorm:"index:,composite:user,priority:1"`
	models.AuditMixin       // event, client, grant, scope, endpoint, address, time
}

// What the program has by other means.
var (
	ctx       context.Context
	db        *gorm.DB
	srv       *server.Server
	config    server.Config
	parts     []gormoauth.Part
	mux       *http.ServeMux
	logger    *slog.Logger
	secret    []byte
	keys      jwk.SigningKeys
	fetcher   *fetch.Fetcher
	codes     *grant.AuthorizationCode
	protector *resource.Protector
	claims    func(context.Context, *oidc.ClaimsInput) error
	types     map[string]grant.AuthorizationDetailType
	hook      server.ObserveHook
	user      storage.User
	roots     *x509.CertPool
	sessionID string
	allModels []any
	mcpServer http.Handler
	authorize http.Handler
	feed, all http.Handler

	err error
)

// README.md

func me(w http.ResponseWriter, r *http.Request) {
	token, _ := resource.TokenFromContext(r.Context())
	fmt.Fprintln(w, token.UserID, token.Token.(*Token).Scope)
}

func Example_protector() {
	protector, err := resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[Token](db))

	mux.Handle("/api/me", protector.Require("profile")(http.HandlerFunc(me)))  // 401 and 403 with the right challenge
	mux.Handle("/api/feed", protector.Optional()(feed))                        // open to all; a token that is sent must be valid
	mux.Handle("/api/admin", protector.Require("profile email", "admin")(all)) // either both scopes, or the third
	_ = err
}

// docs/authorization-endpoint.md

func Example_rememberedConsent() {
	err := srv.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[Consent, Token, AuthorizationCode](db)})
	_ = err
}

// docs/openid-connect.md

func Example_openID() {
	config.Secrets = [][]byte{secret} // 32 random bytes ('openssl rand 32'), stored apart from the database
	parts = append(parts, gormoauth.OpenID[User, SigningKey]())
	srv, err := gormoauth.New(db, config, parts...) // ID tokens, UserInfo, discovery, keys that rotate by themselves
	_, _ = srv, err
}

func Example_scopeClaims() {
	part := gormoauth.OpenID[User, SigningKey](func(p *oidc.Provider) { p.ScopeClaimsInIDToken = true })
	_ = part
}

func Example_provider() {
	keys := gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{
		Secrets: config.Secrets, Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256},
	})
	sessions := gormoauth.CreateSessionStorage[ClientSession, Logout, Token, AuthorizationCode](db)
	provider := &oidc.Provider{Keys: keys, PairwiseSubjects: true, Claims: claims, Fetcher: fetcher, Sessions: sessions, Logouts: sessions}
	err := errors.Join(
		provider.Register(srv, protector),                                // ID tokens, UserInfo, discovery
		srv.RegisterGrant(&oidc.Hybrid{Provider: provider, Code: codes}), // code id_token, code token, code id_token token
		srv.RegisterGrant(&oidc.Implicit{Provider: provider}),            // id_token, id_token token
	)
	go provider.DeliverLogouts(ctx) // back-channel logout, from an outbox table
	go srv.MaintainKeys(ctx)        // makes keys before they are needed
	_ = err

	ended, err := provider.EndSession(ctx, sessionID) // wherever a user signs out, or is signed out
	_, _ = ended, err
}

// docs/clients.md

func Example_clients() {
	clients := gormoauth.CreateClientFactory[Client](db, srv)
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		ClientName: "Reports", RedirectURIs: []string{"https://reports.example.com/callback"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"}, Scope: "profile",
	}}}
	secret, err := clients.Create(ctx, client) // the only time that the secret can be read
	_, _ = secret, err

	secret, err = clients.RotateSecret(ctx, client.ClientID, gormstore.SecretRotation{Overlap: 24 * time.Hour})
	_, _ = secret, err
}

func Example_apiClient() {
	clients := gormoauth.CreateClientFactory[Client](db, srv)

	api := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{}}, APIResources: "https://api.example.com"}}
	secret, err := clients.Create(ctx, api) // SetAPIResources changes the resources later
	_, _ = secret, err
}

func Example_registration() {
	registration := gormoauth.CreateRegistrationEndpoint[Client, Token](db)
	registration.Open = true // or CheckInitialAccessToken
	err := srv.RegisterEndpoint(registration)
	_ = err
}

func Example_metadataDocuments() {
	documents := gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))
	documents.Scope = "profile email"
	err := srv.Register(documents)
	_ = err
}

// docs/tokens.md

func Example_tokens() {
	signed := &generator.JWTAccessToken{Keys: keys}
	srv.RegisterTokenGenerator("client_credentials", signed.Generate)              // by grant type
	srv.RegisterResourceTokenGenerator("https://api.example.com", signed.Generate) // by resource (RFC 8707)
	err := srv.RegisterEndpoint(&endpoint.JWKS{Keys: keys})                        // the keys that APIs verify with
	_ = err
}

func Example_exchange() {
	exchange := gormoauth.CreateTokenExchangeGrant[Token](db)
	exchange.Policy = func(ctx context.Context, req *server.Request, exchange *grant.Exchange) error {
		exchange.Audience = []string{"https://orders.example.com"}
		return nil
	}
	err := srv.RegisterGrant(exchange)
	_ = err
}

// docs/devices.md

func Example_devices() {
	devices := gormoauth.CreateDeviceAuthorizationEndpoint[DeviceCode](db)
	err := errors.Join(
		srv.RegisterEndpoint(devices),
		srv.RegisterGrant(gormoauth.CreateDeviceCodeGrant[DeviceCode](db)),
	)
	_ = err

	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("confirm") != "" {
			err := devices.Decide(srv, r, user, r.PostFormValue("confirm") == "yes")
			if !errors.Is(err, server.ErrNoDecision) {
				devicePage(w, nil, err)
				return
			}
		}
		consent, err := devices.GetConsentGrant(srv, r, user)
		devicePage(w, consent, err)
	})
}

func devicePage(http.ResponseWriter, *server.ConsentGrant, error) {}

// docs/parts.md

func Example_joined() {
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example.com",
		QueryClient:       gormoauth.CreateQueryClientFunc[Client](db),
		QueryUser:         gormoauth.CreateQueryUserFunc[User](db),
		SaveToken:         gormoauth.CreateSaveTokenFunc[Token](db),
		RevokeGrant:       gormoauth.CreateRevokeGrantFunc[Token](db),
		ClientAuthMethods: clientauth.Defaults(),
	})
	_ = err
	err = errors.Join(
		srv.RegisterGrant(gormoauth.CreateAuthorizationCodeGrant[AuthorizationCode](db)),
		srv.RegisterGrant(gormoauth.CreateRefreshTokenGrant[Token](db)),
		srv.RegisterEndpoint(gormoauth.CreateRevocationEndpoint[Token](db)),
		srv.Register(on.TokenIssued(issued)), // one of the hooks in server/hooks.go
	)
	_ = err
}

func issued(context.Context, *server.Request, *models.TokenMixin) {}

func Example_more() {
	replays := gormoauth.CreateReplayStorage[Replay](db)
	err = errors.Join(
		srv.Register(
			grant.ResourceIndicators{Resources: []string{"https://api.example.com"}}, // RFC 8707
			gormoauth.CreateDPoP[Replay](db),                                         // RFC 9449
			&grant.CertificateBoundTokens{},                                          // RFC 8705
			&grant.RequestObjects{Replays: replays},                                  // RFC 9101
			&grant.AuthorizationDetails{Types: types},                                // RFC 9396
			&grant.JARM{Keys: keys},                                                  // JARM
		),
		srv.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[PushedRequest](db)), // RFC 9126
		srv.RegisterClientAuthMethod(
			&clientauth.PrivateKeyJWT{Replays: replays}, // RFC 7523
			&clientauth.TLSClientAuth{Roots: roots},     // RFC 8705
		),
	)
}

// docs/mcp.md

func Example_mcp() {
	mcp, err := gormoauth.MCP(db, gormoauth.MCPConfig{
		Server:   server.Config{Issuer: "https://example.com"},
		Resource: "https://example.com/mcp",
		Scopes:   []string{"tools"},
	}, gormoauth.Users[User](), gormoauth.Clients[Client](), gormoauth.Tokens[Token](), gormoauth.AuthorizationCodes[AuthorizationCode]())

	for path, handler := range mcp.Routes() {
		mux.Handle(path, handler)
	}
	mux.Handle("/mcp", mcp.Protector.Require("tools")(mcpServer))
	mux.Handle("/oauth/authorize", authorize) // mcp.AuthorizationHandler with your pages
	_ = err
}

// docs/fapi.md

func Example_fapi() {
	parts = append(parts, gormoauth.FAPI2SecurityProfile[PushedRequest, Replay]())
	srv, err := gormoauth.New(db, config, parts...)
	_ = err
	tokens := gormoauth.CreateBearerTokenValidator[Token](db)
	protector, err := resource.NewProtector(resource.Config{Profile: srv.Profile()}, tokens) // fapi.SecurityProfile{} in another program
	web := &http.Server{TLSConfig: fapi.TLSConfig(), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	_, _ = protector, err
	_ = web.ListenAndServeTLS("", "")
}

// docs/logging.md

func Example_observing() {
	err = srv.Register(
		hook,                                  // otel.New: spans and metrics, see otel/
		&eventlog.Log{Logger: slog.Default()}, // one line for each request, without secrets
	)
}

// docs/operations.md

func Example_pruning() {
	prune := gormoauth.CreatePruneFunc[Token, AuthorizationCode](db,
		gormoauth.CreateDeviceCodeStorage[DeviceCode](db), gormoauth.CreateReplayStorage[Replay](db))
	err := prune(ctx, gormstore.PruneOptions{})
	_ = err
}

func Example_ending() {
	revokeUser := gormoauth.CreateRevokeUserFunc[Token](db)
	err := revokeUser(context.WithoutCancel(ctx), user.GetUserID(), time.Now())
	_ = err
}

func Example_audit() {
	db, err = gormoauth.WithAudit[Audit](db) // then New, and all constructors, with this handle
}

func Example_schema() {
	sql, err := gormoauth.SchemaSQL(postgres.Open(os.Getenv("DSN")), &Client{}, &Token{}, &AuthorizationCode{})
	_, _ = sql, err
}

// docs/doctor.md

func Example_doctor() {
	findings := gormoauth.Diagnose(ctx, srv, db, allModels, doctor.Program{Handler: mux, Pages: []string{"/login"}})
	findings.Log(ctx, logger)
	err := findings.Err() // those that are grave
	_ = err
}

// docs/authlib.md

func Example_authlib() {
	err := gormoauth.AutoMigrate(db, &Client{}, &Token{}, &AuthorizationCode{}) // adds columns, keeps every row
	convert := gormoauth.CreateDigestPlaintextFunc[Token](db)
	for rows := 1; rows > 0 && err == nil; {
		rows, err = convert(ctx, 500)
	}
	_ = err
}
