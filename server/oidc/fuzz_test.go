package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// FuzzOpenID sends anything to what OpenID Connect adds: no request is answered with a
// 5xx, leads to an address that is not the client's, or ends up with an ID token that
// nobody granted.
func FuzzOpenID(f *testing.F) {
	for _, seed := range [][2]string{
		{"{authorize}&prompt=none+login&max_age=0&display=x", ""}, {`{authorize}&claims={"userinfo":{"email":{"values":[1,null,{}]}},"id_token":{"sub":{"value":{}}}}`, ""},
		{"{authorize}&id_token_hint={idtoken}&acr_values=+&login_hint=%00", ""}, {"{authorize}&claims=[]&response_mode=form_post", ""},
		{"response_type=id_token+token&client_id={id}&scope=openid&nonce=n&redirect_uri=https://client.example/cb", "yes"},
		{"response_type=code+id_token+token&client_id={id}&scope=openid&nonce=n&redirect_uri=https://client.example/cb", "yes"},
		{"id_token_hint={idtoken}&post_logout_redirect_uri=https://client.example/bye&state=x", ""}, {"id_token_hint=eyJhbGciOiJub25lIn0.e30.&client_id={id}", ""},
		{`{"redirect_uris":["https://client.example/cb"],"subject_type":"pairwise","default_max_age":1e400,"post_logout_redirect_uris":[null]}`, ""},
		{`{"redirect_uris":["x:"],"id_token_encrypted_response_alg":"ECDH-ES","jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""}]}}`, ""},
		{"access_token={access}", ""}, {"access_token=x&access_token=y", "Bearer {access}"}, {"%", "Bearer"},
	} {
		f.Add(seed[0], seed[1])
	}
	p := newFuzzProvider(f)
	client := p.client("post_logout_redirect_uris", []string{"https://client.example/bye"})
	tokens := p.signIn(client)
	placeholders := strings.NewReplacer("{authorize}", query(client), "{id}", client.ClientID, "{idtoken}", tokens["id_token"], "{access}", tokens["access_token"])
	f.Fuzz(func(t *testing.T, params, more string) {
		params, more = placeholders.Replace(params), placeholders.Replace(more)
		endSession := func(w http.ResponseWriter, r *http.Request) {
			logout, err := p.oidc.GetLogoutRequest(r, p.alice())
			if err != nil {
				p.Server.WriteError(w, r, err)
				return
			}
			p.oidc.CreateLogoutResponse(w, r, logout, new(oidc.EndedSession))
		}
		ask := func(w http.ResponseWriter, r *http.Request) {
			if _, err := p.Server.GetConsentGrant(r, p.alice()); err != nil {
				p.Server.WriteError(w, r, err)
			}
		}
		decide := func(w http.ResponseWriter, r *http.Request) {
			if more == "yes" {
				p.Server.CreateAuthorizationResponse(w, r, p.alice())
			} else {
				p.Server.CreateAuthorizationResponse(w, r, nil)
			}
		}
		decideOnPage := func(w http.ResponseWriter, _ *http.Request) {
			page := httptest.NewRequest(http.MethodGet, "/x", http.NoBody)
			page.URL.RawQuery = params
			consent, err := p.Server.GetConsentGrant(page, p.alice())
			if err != nil {
				p.Server.WriteError(w, page, err)
				return
			}
			r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader("decision="+string(consent.Decision)))
			r.URL.RawQuery = params
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			decide(w, r)
		}
		for _, serve := range []http.HandlerFunc{ask, decide, decideOnPage, endSession, p.Server.EndpointHandler("userinfo"), p.Server.EndpointHandler("registration")} {
			for _, contentType := range []string{"application/x-www-form-urlencoded", "application/json"} {
				r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(params))
				r.Header.Set("Content-Type", contentType)
				if more != "" {
					r.Header["Authorization"] = []string{more}
				}
				w := httptest.NewRecorder()
				serve(w, r)
				if w.Code >= http.StatusInternalServerError {
					t.Fatalf("%d: %s", w.Code, w.Body)
				}
				location := w.Header().Get("Location")
				if more != "yes" && (strings.Contains(location, "id_token=") || strings.Contains(w.Body.String(), `name="id_token"`)) {
					t.Fatalf("an ID token that nobody granted: %s", location)
				}
				u, err := url.Parse(location)
				if err == nil && w.Code == http.StatusSeeOther && u.Host == "" && u.Path == "/x" {
					continue // to the page
				}
				if err != nil || location != "" && u.Scheme+"://"+u.Host+u.Path != oauthtest.RedirectURI && u.Scheme+"://"+u.Host+u.Path != "https://client.example/bye" {
					t.Fatalf("led to %q", location)
				}
			}
		}
	})
}

// newFuzzProvider is a provider that fetches nothing and remembers consent.
func newFuzzProvider(f *testing.F) *provider {
	f.Helper()
	p := newProvider(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Fetcher, o.Logouts = nil, nil })
	err := p.Server.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](p.DB)})
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// FuzzParseClaims reads any claims parameter: what is taken says the same again.
func FuzzParseClaims(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"userinfo":{"a":null,"b":{"essential":true,"values":["x"]}},"id_token":null}`, "null", "[", `{"userinfo":{"a":1}}`, strings.Repeat("[", 10_000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		requested, err := oidc.ParseClaims(text)
		if err != nil {
			return
		}
		for _, name := range requested.Names() {
			_, inUserInfo := requested.UserInfo[name]
			_, inIDToken := requested.IDToken[name]
			if !inUserInfo && !inIDToken {
				t.Fatalf("%q is asked for nowhere", name)
			}
		}
	})
}
