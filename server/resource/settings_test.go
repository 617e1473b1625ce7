package resource_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/logging"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// The address of an API whose tokens are bound to keys is one that a proof can be made for.
func TestTheAddressOfAnAPI(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for address, good := range map[string]bool{
		"https://api.example": true, "https://api.example:8443/v1": true, "http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]": true,
		"": false, "api.example": false, "https:///v1": false, "http://api.example": false, "ftp://127.0.0.1": false, "ftp://api.example": false, "https://api.example/?a=b": false,
		"https://api.example/#f": false, "https://api.example/%zz": false,
	} {
		validator := gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, address, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
		_, err := resource.NewProtector(resource.Config{}, validator)
		if good {
			assert.NoError(t, err, address)
			continue
		}
		assert.ErrorContains(t, err, "is not the https URL of the API", address)
	}
}

// finder is a validator of the program's own, which finds nothing and says no more.
type finder struct{}

func (finder) TokenType() string { return "Bearer" }
func (finder) AuthenticateToken(context.Context, string) (*storage.StoredToken, error) {
	return nil, nil
}
func (finder) ValidateToken(*storage.StoredToken, []string, *http.Request, time.Time) error {
	return nil
}

// What a validator of the program's leaves out, the protector does.
func TestAValidatorThatFindsNothing(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	p.Protector = p.NewProtector(resource.Config{}, finder{})
	a := p.Call("x")
	assert.Equal(t, http.StatusUnauthorized, a.Status)
	assert.Equal(t, `Bearer realm="api", error="invalid_token", error_description="The access token is unknown."`, a.Header.Get("Www-Authenticate"))

	for _, none := range []resource.TokenValidator{nil, (*finder)(nil), (*resource.BearerTokenValidator)(nil)} {
		_, err := resource.NewProtector(resource.Config{}, none)
		assert.ErrorContains(t, err, "resource: ")
		assert.ErrorContains(t, p.Protector.RegisterTokenValidator(none), "resource: ")
	}
	assert.Equal(t, http.StatusUnauthorized, p.Call("x").Status, "the one before stays")
}

// A profile that wants bound tokens has them wanted.
func TestAProfileWantsBoundTokens(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "scope=profile")).Body["access_token"]
	bearer := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	for _, row := range []struct {
		config resource.Config
		status int
	}{
		{resource.Config{}, http.StatusOK}, {resource.Config{BoundTokensOnly: true}, http.StatusUnauthorized}, {resource.Config{Profile: fapi.SecurityProfile{}}, http.StatusUnauthorized},
	} {
		p.Protector = p.NewProtector(row.config, bearer)
		a := p.Call(token)
		assert.Equal(t, row.status, a.Status)
		if row.status != http.StatusOK {
			assert.Equal(t, "The access token must be bound to a key or a certificate.", a.Body["error_description"])
		}
	}
}

// Pages of other origins may ask, where the API says so; what comes before a request is answered
// without one.
func TestPagesOfOtherOrigins(t *testing.T) {
	bearer := &resource.BearerTokenValidator{QueryToken: noToken}
	protector, err := resource.NewProtector(resource.Config{
		AllowOrigin: func(origin string) bool { return origin == "https://app.example" },
		Metadata:    &resource.Metadata{Resource: api, AuthorizationServers: []string{oauthtest.Issuer}},
	}, bearer)
	require.NoError(t, err)
	mux := http.NewServeMux()
	for path, handler := range protector.Routes() {
		mux.Handle(path, handler)
	}
	reached := false
	mux.Handle("/api", protector.Optional()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })))
	for _, path := range []string{"/api", "/.well-known/oauth-protected-resource/v1"} {
		for origin, allowed := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": ""} {
			r := httptest.NewRequest(http.MethodOptions, path, http.NoBody)
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", http.MethodGet)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			assert.Equal(t, allowed, w.Header().Get("Access-Control-Allow-Origin"), path+" "+origin)
			assert.Equal(t, http.StatusNoContent, w.Code, path+" "+origin)
			assert.Empty(t, w.Body.String())
		}
	}
	assert.False(t, reached)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-protected-resource/v1", http.NoBody))
	assert.Equal(t, http.Header{"Cache-Control": {"public, max-age=300"}, "Content-Type": {"application/json"}, "Vary": {"Origin"}}, w.Header())
}

// A request has one id, which its handler knows as well.
func TestAHandlerKnowsTheRequest(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	asked := 0
	protector := p.NewProtector(resource.Config{RequestID: func(*http.Request) string { asked++; return "the-id-of-a-request" }}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](p.DB))
	for name, middleware := range map[string]func(...string) func(http.Handler) http.Handler{"Require": protector.Require, "Optional": protector.Optional} {
		asked = 0
		client := p.NewClient(nil)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+p.Redeem(client, p.Code(client, "")).Body["access_token"])
		known := ""
		middleware()(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { known = logging.RequestID(r.Context()) })).ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, "the-id-of-a-request", known, name)
		assert.Equal(t, 1, asked, name)
	}
}

// An error can be answered twice.
func TestARefusalLeavesItsErrorAlone(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	failure := server.TooManyRequests(time.Minute, "x")
	r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
	for range 2 {
		assert.Equal(t, http.Header{"Retry-After": {"60"}, "Www-Authenticate": {`Bearer realm="api"`}}, p.Protector.Refusal(r, failure).Header)
		assert.Equal(t, http.Header{"Retry-After": {"60"}}, failure.Header)
	}
}
