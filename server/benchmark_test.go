package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
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

func BenchmarkIssueToken(b *testing.B)    { benchmark(b, issuing) }
func BenchmarkValidateToken(b *testing.B) { benchmark(b, validating) }

func benchmark(b *testing.B, prepare func(tb testing.TB) (call func())) {
	b.Helper()
	call := prepare(b)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

func issuing(tb testing.TB) (call func()) {
	tb.Helper()
	client := &benchClient{models.ClientMixin{ClientID: "id", ClientSecret: models.HashClientSecret("secret"),
		ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}, Scope: "profile email"}}}
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example",
		QueryClient:       func(context.Context, string) (storage.Client, error) { return client, nil },
		SaveToken:         func(context.Context, storage.Exchange) error { return nil },
		ClientAuthMethods: clientauth.Defaults(),
	})
	require.NoError(tb, err)
	require.NoError(tb, srv.RegisterGrant(&grant.ClientCredentials{}))
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", http.NoBody)
	r.SetBasicAuth("id", "secret")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, w := strings.NewReader(""), &discard{http.Header{}}
	r.Body = readCloser{body}
	return func() {
		body.Reset("grant_type=client_credentials&scope=profile")
		r.ContentLength = int64(body.Len())
		r.Form, r.PostForm = nil, nil
		clear(w.header)
		srv.CreateTokenResponse(w, r)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func validating(tb testing.TB) (call func()) {
	tb.Helper()
	token := &storage.StoredToken{UserID: "1", Token: &benchToken{models.TokenMixin{
		TokenType: "Bearer", Scope: "profile email", IssuedAt: time.Now().Unix(), ExpiresIn: 3600,
	}}}
	protector, err := resource.NewProtector(resource.Config{}, &resource.BearerTokenValidator{
		QueryToken: func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) { return token, nil },
	})
	require.NoError(tb, err)
	handler := protector.Require("profile")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+secret.Generate("goa", secret.AccessToken))
	w := &discard{http.Header{}}
	return func() { handler.ServeHTTP(w, r) }
}
