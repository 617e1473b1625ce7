package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
)

// The models of the library, and of the floors, so that all write the same
// rows.
type (
	user   struct{ ID uint }
	client struct {
		ID uint
		models.ClientMixin
	}
	token struct {
		ID     uint
		UserID *uint
		models.TokenMixin
	}
	authorizationCode struct {
		ID     uint
		UserID uint
		models.AuthorizationCodeMixin
	}
	deviceCode struct {
		ID     uint
		UserID *uint
		models.DeviceCodeMixin
	}
	replay struct {
		ID uint
		models.ReplayMixin
	}
	signingKey struct {
		ID uint
		models.SigningKeyMixin
	}
)

// GetUserID returns the primary key.
func (u *user) GetUserID() string { return strconv.FormatUint(uint64(u.ID), 10) }

// prepare migrates, and stores the one user and client.
func prepare(db *gorm.DB) error {
	if err := gormoauth.AutoMigrate(db, &user{}, &client{}, &token{}, &authorizationCode{}, &deviceCode{}, &replay{}, &signingKey{}); err != nil {
		return err
	}
	if err := db.Where("id = ?", 1).FirstOrCreate(&user{ID: 1}).Error; err != nil {
		return err
	}
	return db.Where("client_id = ?", clientID).FirstOrCreate(&client{ClientMixin: models.ClientMixin{
		ClientID: clientID, ClientSecret: models.HashClientSecret(clientSecret),
		ClientMetadata: models.ClientMetadata{
			TokenEndpointAuthMethod: models.ClientSecretBasic, RedirectURIs: []string{redirectURI}, ResponseTypes: []string{"code"},
			GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials", deviceGrantType}, Scope: "openid profile",
		},
	}}).Error
}

// library is this library, as its README has it, and as an OpenID Provider.
type library struct {
	*openIDProvider
	server *server.Server
	api    http.Handler
	prune  func(ctx context.Context, options gormstore.PruneOptions) error
}

func newOwn(db *gorm.DB) (contestant, error) {
	if err := prepare(db); err != nil {
		return nil, err
	}
	srv, err := newServer(db, nil)
	if err != nil {
		return nil, err
	}
	api, err := protect(gormoauth.CreateBearerTokenValidator[token](db))
	if err != nil {
		return nil, err
	}
	provider, err := newOpenIDProvider(db)
	return &library{provider, srv, api, gormoauth.CreatePruneFunc[token, authorizationCode](db)}, err
}

// newServer returns a server whose access tokens are of the generator's, or of its
// own when that is nil.
func newServer(db *gorm.DB, accessTokens server.TokenGenerator) (*server.Server, error) {
	// As the peers have it: a refresh token that comes back is reuse.
	config := server.Config{Issuer: issuer, RefreshTokenExpiresIn: 24 * tokenLife, RefreshTokenGrace: -1, AccessTokenGenerator: accessTokens}
	return gormoauth.New(db, config, gormoauth.Users[user](), gormoauth.Clients[client](), gormoauth.Tokens[token](), gormoauth.AuthorizationCodes[authorizationCode]())
}

// protect returns an API.
func protect(tokens resource.TokenValidator) (http.Handler, error) {
	protector, err := resource.NewProtector(resource.Config{}, tokens)
	if err != nil {
		return nil, err
	}
	return protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), nil
}

// Token is the token endpoint.
func (l *library) Token(w http.ResponseWriter, r *http.Request) { l.server.CreateTokenResponse(w, r) }

// API is the protected resource.
func (l *library) API(w http.ResponseWriter, r *http.Request) { l.api.ServeHTTP(w, r) }

// Prune removes what has expired.
func (l *library) Prune(ctx context.Context) error { return l.prune(ctx, gormstore.PruneOptions{}) }

// Code goes through the authorization endpoint.
func (l *library) Code(ctx context.Context) (string, error) {
	return authorize(ctx, l.server, url.Values{"scope": {"profile"}})
}

// Routes are the handlers of the other operations, by path.
func (l *library) Routes() map[string]http.HandlerFunc {
	all := l.openIDProvider.routes()
	all["POST "+introspectPath] = l.server.EndpointHandler("introspection")
	return all
}

// authorize has the one user, who has just signed in, grant a request.
func authorize(ctx context.Context, srv *server.Server, query url.Values) (string, error) {
	for name, value := range map[string]string{"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI,
		"code_challenge": challenge, "code_challenge_method": "S256"} {
		query.Set(name, value)
	}
	signedIn := server.SignedIn{User: &user{ID: 1}, Authentication: server.Authentication{Time: time.Now().Unix()}}
	page, err := srv.GetConsentGrant(httptest.NewRequestWithContext(ctx, http.MethodGet, "/?"+query.Encode(), http.NoBody), signedIn)
	if err != nil {
		return "", err
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, page.ReturnTo, strings.NewReader(server.DecisionField+"="+string(page.Decision)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	srv.CreateAuthorizationResponse(w, r, signedIn)
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		return "", errors.New("no code: " + w.Body.String() + w.Header().Get("Location"))
	}
	return location.Query().Get("code"), nil
}
