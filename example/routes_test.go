package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.visit(t)
	for _, path := range []string{"/nowhere", "/static/", "/static/nothing.css", "/clients/x", "/a%00b", "/%ff"} {
		b.get(path).want(t, http.StatusNotFound, "There is nothing here", "404 Not Found")
	}
	for path, allow := range map[string]string{"/": "GET, HEAD", "/login": "GET, HEAD, POST", "/healthz": "GET, HEAD", "/api/me": "GET, HEAD, OPTIONS", "/static/logo.svg": "GET, HEAD"} {
		answer := b.do(http.MethodDelete, path, nil, nil)
		answer.want(t, http.StatusMethodNotAllowed, "405 Method Not Allowed")
		if got := answer.header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", path, got, allow)
		}
	}
	b.get("/clients").want(t, http.StatusMethodNotAllowed)
	b.get("/oauth/token").want(t, http.StatusMethodNotAllowed, "invalid_request")
	b.get("/.well-known/oauth-authorization-server").want(t, http.StatusOK, p.address+"/oauth/introspect", "S256")
	b.get("/.well-known/oauth-protected-resource").want(t, http.StatusOK, `"authorization_servers":["`+p.address+`"]`)
	b.get("/oauth/jwks").want(t, http.StatusOK, `"keys":[{`, `"kty":"EC"`)
	b.do(http.MethodHead, "/login", nil, nil).want(t, http.StatusOK)
	b.get("/healthz").want(t, http.StatusOK, `"ok"`)
	b.get("/static/style.css").want(t, http.StatusOK, "--accent")
}

// A page of another site may call what programs call, and none of the pages.
func TestOtherOriginsReachTheAPIAlone(t *testing.T) {
	t.Parallel()
	b := startProgram(t).visit(t)
	for path, allowed := range map[string]string{"/oauth/token": "*", "/oauth/revoke": "*", "/.well-known/oauth-authorization-server": "*", "/api/me": "*", "/login": "", "/oauth/authorize": "", "/": ""} {
		preflight := b.do(http.MethodOptions, path, nil, http.Header{
			"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"},
		})
		for _, header := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
			want := allowed
			if header == "Access-Control-Allow-Credentials" {
				want = ""
			}
			if got := preflight.header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", path, header, got, want)
			}
		}
	}
}

func TestPagesForPeopleWhoAreNotSignedIn(t *testing.T) {
	t.Parallel()
	b := startProgram(t).visit(t)
	b.get("/").want(t, http.StatusOK, `lang="en"`, "<title>Welcome", "wonderland", "builder")
	b.get("/logout").wantRedirect(t, "/")
	for _, path := range []string{"/clients", "/clients/demo-web/secret", "/clients/demo-web/delete", "/applications/1/revoke"} {
		b.post(path, nil).wantRedirect(t, "/login")
	}
	if b.cookie() != nil {
		t.Error("looking around began a session")
	}

	quiet := startProgram(t, "-demo=false").visit(t)
	for _, path := range []string{"/", "/login"} {
		if strings.Contains(quiet.get(path).body, "wonderland") {
			t.Errorf("%s tells the demo passwords without -demo", path)
		}
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.visit(t)
	b.get("/api/me").want(t, http.StatusUnauthorized)

	call := func(token string) answer {
		return b.do(http.MethodGet, "/api/me", nil, http.Header{"Authorization": {"Bearer " + token}})
	}
	token := passwordToken(t, b, "alice", "wonderland")
	call(token).want(t, http.StatusOK, `"sub":"1"`, `"username":"alice"`, `"name":"Alice Liddell"`, `"client_id":"demo-legacy"`, `"scope":"profile"`)

	service := b.token(t, "demo-service", "demo-service-secret", form("grant_type", "client_credentials", "scope", "profile"))
	if got := strings.TrimSpace(call(service).body); got != `{"client_id":"demo-service"}` {
		t.Errorf("a token without a user answers %s", got)
	}
	call(b.token(t, "demo-service", "demo-service-secret", form("grant_type", "client_credentials", "scope", "email"))).
		want(t, http.StatusForbidden, "insufficient_scope")

	if err := p.database(t).Model(&User{}).Where("username = ?", "alice").Update("disabled", true).Error; err != nil {
		t.Fatal(err)
	}
	call(token).want(t, http.StatusUnauthorized, "invalid_token")
}
