package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// FuzzRequests sends anything to the three endpoints: no request is answered
// with a 5xx, or leads to an address that is not the client's.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"response_type=code&client_id={id}&scope=profile&code_challenge=" + oauthtest.Challenge + "&code_challenge_method=S256",
		"response_type=token&client_id={id}&redirect_uri=http://127.0.0.1:1/cb",
		"grant_type=authorization_code&code=goa_ac_x&code_verifier=x&redirect_uri=x",
		"grant_type=refresh_token&refresh_token=x&scope=%00", "grant_type=password&username=\xff&password=x", "token=x&token_type_hint=y", "%", ";",
	} {
		f.Add(seed, "Basic YTpi")
	}
	p := oauthtest.New(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(oauthtest.Public)
	f.Fuzz(func(t *testing.T, params, authorization string) {
		params = strings.ReplaceAll(params, "{id}", client.ClientID)
		for _, serve := range []func(http.ResponseWriter, *http.Request){
			p.Server.CreateTokenResponse,
			p.Server.EndpointHandler("revocation"),
			func(w http.ResponseWriter, r *http.Request) { p.Server.CreateAuthorizationResponse(w, r, p.User) },
		} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(params))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header["Authorization"] = []string{authorization}
			w := httptest.NewRecorder()
			serve(w, r)
			if w.Code >= http.StatusInternalServerError {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
			if location := w.Header().Get("Location"); location != "" {
				u, err := url.Parse(location)
				if err != nil || u.Scheme+"://"+u.Host+u.Path != oauthtest.RedirectURI {
					t.Fatalf("led to %q", location)
				}
			}
		}
	})
}
