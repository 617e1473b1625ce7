package oidc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// badAddresses are addresses that no client may have: a host that ends a directive of a
// Content-Security-Policy and begins one of its own, scripts, hosts that look like
// another.
func badAddresses() []string {
	return []string{
		"https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/", "https://a;script-src.example/", "https://a'b.example/", "https://a,b.example/",
		"https://[fe80::1%25eth0]/", "javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,<script>alert(1)</script>", "view-source:https://app.example/",
		"https://аpple.com/", "https://user@app.example/", "https://app.example/\u202e", "http://app.example/", "https://app.example/a b", "//app.example/", "/x",
	}
}

// store writes members into a client's row as they are, as somebody else could have.
func (p *provider) store(client *oauthtest.Client, source string, members map[string]any) {
	p.T.Helper()
	client.ClientSource = source
	for name, value := range members {
		text, err := json.Marshal(value)
		require.NoError(p.T, err)
		client.ClientMetadata.Extra[name] = text
	}
	require.NoError(p.T, p.DB.Save(client).Error)
}

// What stands in a row is looked at again where it is used: a bad address is never used,
// and the client and its session go on.
func TestABadAddressOfARowIsNotUsed(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		good := p.client("frontchannel_logout_uri", "https://client.example/logout")
		client := p.client()
		for _, bad := range badAddresses() {
			p.store(client, "", map[string]any{
				"frontchannel_logout_uri": bad, "backchannel_logout_uri": bad, "initiate_login_uri": bad,
				"post_logout_redirect_uris": []string{bad, "https://client.example/bye"},
			})
			p.how.SessionID = "a session with " + bad
			p.signIn(good)
			idToken := p.signIn(client)["id_token"]
			ended, err := p.oidc.EndSession(t.Context(), p.how.SessionID)
			require.NoError(t, err)
			require.Len(t, ended.Clients, 2)

			frames, err := p.oidc.FrontChannelLogouts(t.Context(), ended)
			require.NoError(t, err)
			require.Len(t, frames, 1, "%s: that of the other client alone", bad)
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody)
			require.True(t, p.oidc.CreateLogoutResponse(w, r, &oidc.LogoutRequest{Client: client}, ended))
			policy := w.Header().Get("Content-Security-Policy")
			assert.Contains(t, policy, "frame-src https://client.example;", bad)
			assert.Equal(t, 1, strings.Count(policy, "script-src"), bad)
			assert.NotContains(t, policy, "unsafe")
			assert.NotContains(t, w.Body.String(), bad)

			ask := func(uri string) oauthtest.Answer {
				query := url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {uri}, "state": {"x"}}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/end_session?"+query.Encode(), http.NoBody)
				w := httptest.NewRecorder()
				logout, err := p.oidc.GetLogoutRequest(r, nil)
				if err != nil {
					p.Server.WriteError(w, r, err)
				} else {
					p.oidc.CreateLogoutResponse(w, r, logout, new(oidc.EndedSession))
				}
				return oauthtest.Answer{Status: w.Code, Header: w.Header(), Raw: w.Body.String()}
			}
			refused := ask(bad)
			assert.Equal(t, http.StatusBadRequest, refused.Status, bad)
			assert.Empty(t, refused.Header.Get("Location"), bad)
			assert.Contains(t, refused.Raw, "The client cannot use its 'post_logout_redirect_uri'")
			assert.NotContains(t, refused.Raw, "<script")
			assert.Equal(t, "https://client.example/bye?state=x", ask("https://client.example/bye").Header.Get("Location"), "it goes on with the other")

			for _, frames := range []*oidc.EndedSession{ended, new(oidc.EndedSession)} { // a request that nobody has validated
				w = httptest.NewRecorder()
				require.True(t, p.oidc.CreateLogoutResponse(w, r, &oidc.LogoutRequest{Client: client, PostLogoutRedirectURI: bad}, frames))
				assert.Empty(t, w.Header().Get("Location"), bad)
				assert.NotContains(t, w.Body.String(), "href", bad)
			}
			_, err = p.oidc.InitiateLoginURL(client, oidc.InitiateLogin{})
			assert.Error(t, err, bad)

			_, err = p.oidc.DeliverDueLogouts(t.Context())
			require.NoError(t, err)
			assert.Zero(t, p.waiting(), "%s: there is nobody to tell, and nothing is tried again", bad)
		}
	})
}

// A document whose addresses no client may have is refused, and leaves no row; one that
// names good ones is a client like any other.
func TestAddressesOfADocument(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		var documents sync.Map
		site := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			document, _ := documents.Load(r.URL.Path)
			_, _ = w.Write(document.([]byte))
		})
		fetched := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
		fetched.Scope = "openid"
		require.NoError(t, p.Server.Register(fetched))
		put := func(path, member string, value any) (clientID string) {
			text, err := json.Marshal(map[string]any{
				"client_id": site + path, "redirect_uris": []string{oauthtest.RedirectURI}, "token_endpoint_auth_method": "none", member: value,
			})
			require.NoError(t, err)
			documents.Store(path, text)
			return site + path
		}
		ask := func(clientID string) string {
			_, failure := p.ask(p.alice(), query(&oauthtest.Client{}, "client_id="+clientID, "code_challenge="+oauthtest.Challenge, "code_challenge_method=S256"))
			return failure
		}
		before := p.Rows(&oauthtest.Client{})
		for i, bad := range badAddresses() {
			for member, value := range map[string]any{
				"frontchannel_logout_uri": bad, "backchannel_logout_uri": bad, "initiate_login_uri": bad, "sector_identifier_uri": bad, "policy_uri#ja": bad,
				"post_logout_redirect_uris": []string{bad}, "redirect_uris": []string{oauthtest.RedirectURI, bad}, "client_uri": bad, "jwks_uri": bad,
			} {
				assert.Contains(t, ask(put(fmt.Sprintf("/%d/%s", i, strings.ReplaceAll(member, "#", "-")), member, value)), server.InvalidClient, "%s %s", member, bad)
			}
		}
		assert.Equal(t, before, p.Rows(&oauthtest.Client{}))
		assert.Empty(t, ask(put("/good", "frontchannel_logout_uri", "https://client.example/logout")))
	})
}

// A client that registered itself, or came by a document, leads people to no scheme that
// another program may have.
func TestWhereASignOutMayLead(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	for uri, may := range map[string]map[string]bool{
		"com.example.app:/bye": {"": true, models.ClientByRegistration: true, models.ClientByDocument: true},
		"cursor://x/bye":       {"": true, models.ClientByRegistration: true, models.ClientByDocument: true},
		"myapp:/bye":           {"": true, models.ClientByHand: true, models.ClientByRegistration: false, models.ClientByDocument: false},
		"ms-settings:":         {"": false, models.ClientByHand: false, models.ClientByRegistration: false, models.ClientByDocument: false},
	} {
		for source, want := range may {
			p.store(client, source, map[string]any{"post_logout_redirect_uris": []string{uri}})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+url.Values{"client_id": {client.ClientID}, "post_logout_redirect_uri": {uri}}.Encode(), http.NoBody)
			_, err := p.oidc.GetLogoutRequest(r, nil)
			assert.Equal(t, want, err == nil, "%s of %q: %v", uri, source, err)
		}
	}
}

// The operator learns which address is not used.
func TestABadAddressIsLogged(t *testing.T) {
	var log bytes.Buffer
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	provider := &oidc.Provider{Keys: signingKeys()}
	require.NoError(t, provider.Register(p.Server, p.Protector))
	client := p.NewClient(nil)
	client.ClientMetadata.Extra = map[string]json.RawMessage{"frontchannel_logout_uri": json.RawMessage(`"https://\u0430pple.com/\n"`)}
	require.NoError(t, p.DB.Save(client).Error)
	frames, err := provider.FrontChannelLogouts(t.Context(), &oidc.EndedSession{Clients: []models.SessionMixin{{ClientID: client.ClientID, SID: "x"}}})
	require.NoError(t, err)
	assert.Empty(t, frames)
	assert.Contains(t, log.String(), "client_id="+client.ClientID)
	assert.Contains(t, log.String(), "member=frontchannel_logout_uri")
	assert.Contains(t, log.String(), "value=https://%D0%B0pple.com/%0A")
}

// A page shows the names of the claims that are asked for: one that nobody can read is
// left out, there and where claims are given.
func TestClaimsThatNobodyCanRead(t *testing.T) {
	names := []string{"email\u202e", "a\x00b", "\u3164", "", strings.Repeat("a", 5000), "two\nlines", "email", "https://claims.example/größe"}
	wanted := make(map[string]any)
	for _, name := range names {
		wanted[name] = nil
	}
	text, err := json.Marshal(map[string]any{"userinfo": wanted, "id_token": wanted})
	require.NoError(t, err)
	requested, err := oidc.ParseClaims(string(text))
	require.NoError(t, err)
	assert.Equal(t, []string{"email", "https://claims.example/größe"}, requested.Names())
	assert.Len(t, requested.UserInfo, 2)
	assert.Len(t, requested.IDToken, 2)
}
