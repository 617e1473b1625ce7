package gormoauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// One more part makes the server an OpenID Provider.
func TestOpenID(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	user := &oauthtest.User{}
	require.NoError(t, db.Create(user).Error)
	parts := []gormoauth.Part{
		gormoauth.Clients[oauthtest.Client](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User](),
		gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey](func(p *oidc.Provider) { p.ScopeClaimsInIDToken = true }),
	}
	config := server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets(), SaveToken: gormoauth.CreateSaveTokenFunc[oauthtest.Token](db), RevokeGrant: gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db)}
	_, err := gormoauth.New(db, config, parts...)
	require.ErrorContains(t, err, "gormoauth: OpenID needs gormoauth.Tokens[Token](): add it to the parts")
	srv, err := gormoauth.New(db, server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}, append(parts, gormoauth.Tokens[oauthtest.Token]())...)
	require.NoError(t, err)
	mux := http.NewServeMux()
	for path, handler := range srv.Routes() {
		mux.Handle(path, handler)
	}
	get := func(path, token string) (members map[string]any) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &members), w.Body.String())
		return members
	}
	client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		RedirectURIs: []string{oauthtest.RedirectURI}, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}, Scope: "openid email",
	}}}
	secret, err := gormoauth.CreateClientFactory[oauthtest.Client](db, srv).Create(t.Context(), client)
	require.NoError(t, err)
	address := "/?" + oauthtest.AuthorizeQuery(client, "scope=openid+email&nonce=n&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI))
	consent, err := srv.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody), user)
	require.NoError(t, err)
	w, decision := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("decision="+string(consent.Decision)))
	decision.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	srv.CreateAuthorizationResponse(w, decision, user)
	location, err := url.Parse(w.Header().Get("Location"))
	require.NoError(t, err)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "code": {location.Query().Get("code")}, "code_verifier": {oauthtest.Verifier}, "redirect_uri": {oauthtest.RedirectURI},
	}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client.ClientID, secret)
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	var tokens map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &tokens), w.Body.String())
	idToken, _ := tokens["id_token"].(string)
	parsed, err := assertion.Parse(idToken, nil)
	require.NoError(t, err)
	require.NotNil(t, parsed, tokens)
	set, err := json.Marshal(get("/oauth/jwks", ""))
	require.NoError(t, err)
	assert.NoError(t, parsed.VerifyBy(set))
	assert.Equal(t, user.GetUserID(), parsed.Subject)
	assert.JSONEq(t, `"alice@example.com"`, string(parsed.Claims["email"]), "the part takes settings of the provider")
	access, _ := tokens["access_token"].(string)
	assert.Equal(t, "alice@example.com", get("/oauth/userinfo", access)["email"])
	assert.Equal(t, oauthtest.Issuer+"/oauth/userinfo", get("/.well-known/openid-configuration", "")["userinfo_endpoint"])
}
