package resource_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
)

const api = "https://api.example/v1"

func TestAnAPIThatTakesItsOwnTokensAlone(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{api, "https://other.example"}}))
		client := p.NewClient(nil)
		token := func(more string) string { return p.Redeem(client, p.Code(client, more)).Body["access_token"] }
		p.Protector = p.NewProtector(resource.Config{
			Metadata: &resource.Metadata{Resource: api, AuthorizationServers: []string{oauthtest.Issuer}, ScopesSupported: []string{"profile"}, ResourceName: "Photos"},
		}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))

		const own, other = "scope=profile&resource=https%3A%2F%2Fapi.example%2Fv1", "scope=profile&resource=https%3A%2F%2Fother.example"
		assert.Equal(t, http.StatusOK, p.Call(token(own), "profile").Status)
		assert.Equal(t, http.StatusOK, p.Call(token(own+"&resource=https%3A%2F%2Fother.example")).Status, "also for others")
		const address = `resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"`
		for rule, text := range map[string]string{"another API's": token(other), "of no API": token("scope=profile")} {
			a := p.Call(text, "profile")
			assert.Equal(t, http.StatusUnauthorized, a.Status, rule)
			assert.Equal(t, "invalid_token", a.Body["error"])
			assert.Equal(t, `Bearer realm="api", `+address+`, error="invalid_token", error_description="The access token is for another resource."`, a.Header.Get("WWW-Authenticate"))
		}
		// A token that is not for it at all is not short of a scope.
		for rule, text := range map[string]string{"another API's": token(other), "of no API": token("scope=profile")} {
			a := p.Call(text, "admin")
			assert.Equal(t, []any{http.StatusUnauthorized, "invalid_token"}, []any{a.Status, a.Body["error"]}, rule)
			assert.NotContains(t, a.Header.Get("WWW-Authenticate"), "scope=", rule)
		}
		a := p.Call(token(own), "admin")
		assert.Equal(t, []any{http.StatusForbidden, "insufficient_scope"}, []any{a.Status, a.Body["error"]})
		w := httptest.NewRecorder()
		p.Protector.Require("profile email", "admin")(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		assert.Equal(t, `Bearer realm="api", `+address+`, scope="profile email"`, w.Header().Get("WWW-Authenticate"), "who has no token learns where to get one, and which")
		assert.Contains(t, p.Call(token(own), "email").Header.Get("WWW-Authenticate"), address)
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Basic eDp5")
		w = httptest.NewRecorder()
		p.Protector.Require("profile")(http.NotFoundHandler()).ServeHTTP(w, r)
		assert.Equal(t, []string{"401", "{}", `Bearer realm="api", ` + address + `, scope="profile"`}, []string{strconv.Itoa(w.Code), w.Body.String(), w.Header().Get("WWW-Authenticate")}, "and so does who tries another scheme")
	})
}

// However an API and the token's audience spell it, a resource is one (RFC 3986 section
// 6.2.3): tokens that were issued under another spelling are taken.
func TestAnAPIIsOneResourceHoweverItIsSpelled(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{"https://api.example", "https://api.example/v1", "https://api.example//"}}))
		client := p.NewClient(nil)
		protect := func(identifier string) {
			p.Protector = p.NewProtector(resource.Config{
				Metadata: &resource.Metadata{Resource: identifier, AuthorizationServers: []string{oauthtest.Issuer}},
			}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
		}
		for asked, opens := range map[string]bool{
			"https://api.example": true, "https://api.example/": true, "https://API.example:443": true, "https://api.example/v1": false, "https://api.example//": false,
		} {
			token := p.Redeem(client, p.Code(client, "resource="+url.QueryEscape(asked))).Body["access_token"]
			for _, identifier := range []string{"https://api.example", "https://api.example/", "https://api.example:443", "https://API.EXAMPLE"} {
				protect(identifier)
				assert.Equal(t, opens, p.Call(token).Status == http.StatusOK, "a token for %s at %s", asked, identifier)
			}
		}
	})
}

func TestProtectedResourceMetadata(t *testing.T) {
	bearer := &resource.BearerTokenValidator{QueryToken: noToken}
	serve := func(p *resource.Protector, method, path string) *httptest.ResponseRecorder {
		mux := http.NewServeMux()
		for path, handler := range p.Routes() {
			mux.Handle(path, handler)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		return w
	}
	for identifier, path := range map[string]string{
		api: "/.well-known/oauth-protected-resource/v1", "https://api.example": "/.well-known/oauth-protected-resource",
		"https://api.example/": "/.well-known/oauth-protected-resource", "http://127.0.0.1:8080/mcp": "/.well-known/oauth-protected-resource/mcp",
	} {
		p, err := resource.NewProtector(resource.Config{Metadata: &resource.Metadata{
			Resource: identifier, AuthorizationServers: []string{oauthtest.Issuer}, ResourceDocumentation: "https://api.example/docs",
		}}, bearer)
		require.NoError(t, err)
		w := serve(p, http.MethodGet, path)
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		assert.JSONEq(t, `{"resource":"`+identifier+`","authorization_servers":["`+oauthtest.Issuer+`"],"bearer_methods_supported":["header"],"resource_documentation":"https://api.example/docs"}`, w.Body.String())
		w = serve(p, http.MethodPost, path)
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, "GET", w.Header().Get("Allow"))
	}
	bare, err := resource.NewProtector(resource.Config{}, bearer)
	require.NoError(t, err)
	assert.Equal(t, http.StatusNotFound, serve(bare, http.MethodGet, "/.well-known/oauth-protected-resource").Code)
	for fault, metadata := range map[string]resource.Metadata{
		"an absolute URI":      {Resource: "/v1", AuthorizationServers: []string{oauthtest.Issuer}},
		"must be https":        {Resource: "http://api.example", AuthorizationServers: []string{oauthtest.Issuer}},
		"has a fragment":       {Resource: "https://api.example#f", AuthorizationServers: []string{oauthtest.Issuer}},
		"AuthorizationServers": {Resource: api},
	} {
		_, err := resource.NewProtector(resource.Config{Metadata: &metadata}, bearer)
		assert.ErrorContains(t, err, fault)
	}
}
