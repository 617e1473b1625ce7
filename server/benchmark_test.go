package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
)

// The engine's own cost: storage is a function that does nothing.

type benchClient struct{ models.ClientMixin }

type benchToken struct{ models.TokenMixin }

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int) {
	if status != http.StatusOK {
		panic(status)
	}
}

func BenchmarkIssueToken(b *testing.B) {
	client := &benchClient{models.ClientMixin{ClientID: "id", ClientSecret: models.HashClientSecret("secret"),
		ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}, Scope: "profile email"}}}
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example",
		QueryClient:       func(context.Context, string) (server.Client, error) { return client, nil },
		SaveToken:         func(context.Context, server.Exchange) error { return nil },
		ClientAuthMethods: clientauth.Defaults(),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := srv.RegisterGrant(&grant.ClientCredentials{}); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", http.NoBody)
	r.SetBasicAuth("id", "secret")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.ReportAllocs()
	for b.Loop() {
		body := strings.NewReader("grant_type=client_credentials&scope=profile")
		r.Body, r.ContentLength = http.NoBody, int64(body.Len())
		r.Body = readCloser{body}
		r.Form, r.PostForm = nil, nil
		srv.CreateTokenResponse(&discard{http.Header{}}, r)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func BenchmarkValidateToken(b *testing.B) {
	token := &server.StoredToken{UserID: "1", Token: &benchToken{models.TokenMixin{
		TokenType: "Bearer", Scope: "profile email", IssuedAt: time.Now().Unix(), ExpiresIn: 3600,
	}}}
	protector, err := resource.NewProtector(resource.Config{}, &resource.BearerTokenValidator{
		QueryToken: func(context.Context, server.TokenQuery) (*server.StoredToken, error) { return token, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	handler := protector.Require("profile")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+secret.Generate("goa", secret.AccessToken))
	w := &discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(w, r)
	}
}
