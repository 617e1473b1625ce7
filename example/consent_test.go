package main

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// authorizePath is an authorization request of a demo client.
func authorizePath(clientID string) string {
	return "/oauth/authorize?" + form(
		"response_type", "code", "client_id", clientID, "redirect_uri", demoRedirectURI, "scope", "openid profile", "state", "a&b",
		"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method", "S256",
	).Encode()
}

func TestConsentAsksToSignInFirst(t *testing.T) {
	t.Parallel()
	b := startProgram(t).visit(t)
	path := authorizePath("demo-web")
	for _, answer := range []answer{b.get(path), b.post(path, form("confirm", "yes"))} {
		answer.wantRedirect(t, "/login?next="+url.QueryEscape(path))
	}
	b.post("/login", form("username", "alice", "password", "wonderland", "next", path)).wantRedirect(t, path)
	b.get(path).want(t, http.StatusOK, "Demo web app")
}

// What is wrong with a request is told before anybody signs in for it.
func TestConsentValidatesFirst(t *testing.T) {
	t.Parallel()
	b := startProgram(t).visit(t)
	b.get("/oauth/authorize?client_id=nobody&redirect_uri=https://evil.example/").
		want(t, http.StatusBadRequest, "<h1>This request cannot be answered</h1>", "invalid_client")
	b.get("/oauth/authorize?"+form("client_id", "demo-web", "redirect_uri", "https://evil.example/").Encode()).
		want(t, http.StatusBadRequest, "<h1>", "invalid_request")
	b.get("/oauth/authorize?client_id=%00").want(t, http.StatusBadRequest, "<h1>")

	refused := b.get("/oauth/authorize?client_id=demo-web&response_type=nonsense&state=s")
	if location := refused.header.Get("Location"); !strings.HasPrefix(location, demoRedirectURI+"?error=unsupported_response_type&") {
		t.Errorf("a fault for the client went to %q", location)
	}
}

func TestConsentPage(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	path := authorizePath("demo-web")
	answer := b.get(path)
	answer.want(t, http.StatusOK, "Demo web app", "demo-web", "127.0.0.1:8081", "Alice Liddell", "Not you?",
		"Recognise you when you come back", "See your name and user name", `name="confirm" value="yes"`, `name="confirm" value="no"`)
	if action := html.UnescapeString(answer.find(t, `<form class="actions even" method="post" action="([^"]*)"`)); action != path {
		t.Errorf("the form goes to %q, want %q", action, path)
	}

	// "Not you?" signs out, and leads back here.
	next := html.UnescapeString(answer.find(t, `name="next" value="([^"]*)"`))
	b.post("/logout", form("next", next)).wantRedirect(t, path)
	b.get(path).wantRedirect(t, "/login?next="+url.QueryEscape(path))
}

func TestConsentDecision(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	path := authorizePath("demo-spa")
	for _, decision := range []url.Values{form("confirm", "no"), form("confirm", ""), form("confirm", "YES"), form()} {
		location := redirected(t, b.decide(path, decision))
		if location.Get("error") != "access_denied" || location.Get("state") != "a&b" || location.Has("code") {
			t.Errorf("%v: %v", decision, location)
		}
	}
	granted := redirected(t, b.decide(path, form("confirm", "yes")))
	if granted.Get("code") == "" || granted.Get("state") != "a&b" {
		t.Errorf("yes: %v", granted)
	}
}

func redirected(t *testing.T, answer answer) url.Values {
	t.Helper()
	location, err := url.Parse(answer.header.Get("Location"))
	if err != nil || !strings.HasPrefix(location.String(), demoRedirectURI+"?") {
		t.Fatalf("status %d, redirected to %q: %v", answer.status, location, err)
	}
	return location.Query()
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://app.example:8443/callback": "app.example:8443",
		"http://127.0.0.1:8081/callback":    "a program on this device (127.0.0.1:8081)",
		"com.example.app:/callback":         "an app on this device (com.example.app:)",
	} {
		if got := destination(uri); got != want {
			t.Errorf("destination(%q) = %q, want %q", uri, got, want)
		}
	}
}

func TestScopesInWords(t *testing.T) {
	t.Parallel()
	got := scopesInWords("email tickets:read")
	if len(got) != 2 || got[0].Words != "See your e-mail address" || got[1].Words != "tickets:read" {
		t.Errorf("%v", got)
	}
}
