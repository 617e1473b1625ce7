package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"

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
)

// GetUserID returns the primary key.
func (u *user) GetUserID() string { return strconv.FormatUint(uint64(u.ID), 10) }

// prepare migrates, and stores the one user and client.
func prepare(db *gorm.DB) error {
	if err := gormoauth.AutoMigrate(db, &user{}, &client{}, &token{}, &authorizationCode{}); err != nil {
		return err
	}
	if err := db.Where("id = ?", 1).FirstOrCreate(&user{ID: 1}).Error; err != nil {
		return err
	}
	return db.Where("client_id = ?", clientID).FirstOrCreate(&client{ClientMixin: models.ClientMixin{
		ClientID: clientID, ClientSecret: models.HashClientSecret(clientSecret),
		ClientMetadata: models.ClientMetadata{
			TokenEndpointAuthMethod: models.ClientSecretBasic, RedirectURIs: []string{redirectURI}, ResponseTypes: []string{"code"},
			GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"}, Scope: "profile",
		},
	}}).Error
}

// library is this library, as its README has it.
type library struct {
	server *server.Server
	api    http.Handler
	prune  func(ctx context.Context, options gormstore.PruneOptions) error
}

func newOwn(db *gorm.DB) (contestant, error) {
	if err := prepare(db); err != nil {
		return nil, err
	}
	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example", RefreshTokenExpiresIn: 24 * tokenLife}, gormoauth.Users[user](),
		gormoauth.Clients[client](), gormoauth.Tokens[token](), gormoauth.AuthorizationCodes[authorizationCode]())
	if err != nil {
		return nil, err
	}
	protector, err := resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[token](db))
	if err != nil {
		return nil, err
	}
	api := protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return &library{srv, api, gormoauth.CreatePruneFunc[token, authorizationCode](db)}, nil
}

// Token is the token endpoint.
func (l *library) Token(w http.ResponseWriter, r *http.Request) { l.server.CreateTokenResponse(w, r) }

// API is the protected resource.
func (l *library) API(w http.ResponseWriter, r *http.Request) { l.api.ServeHTTP(w, r) }

// Prune removes what has expired.
func (l *library) Prune(ctx context.Context) error { return l.prune(ctx, gormstore.PruneOptions{}) }

// Code goes through the authorization endpoint.
func (l *library) Code(ctx context.Context) (string, error) {
	query := url.Values{"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI}, "scope": {"profile"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/?"+query.Encode(), http.NoBody)
	l.server.CreateAuthorizationResponse(w, r, &user{ID: 1})
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || location.Query().Get("code") == "" {
		return "", errors.New("no code: " + w.Body.String() + w.Header().Get("Location"))
	}
	return location.Query().Get("code"), nil
}
