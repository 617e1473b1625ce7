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
		"https://app.example/%zz":           "",
		"/callback":                         "",
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

// The pages on which a person decides show the addresses that an application names, and
// its logo where that is of the place to which the answer goes.
func TestPagesShowTheLinksOfAnApplication(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.signedIn(t, "alice", "wonderland")
	links := []string{
		`<a href="https://app.example/" target="_blank" rel="noopener noreferrer">https://app.example/</a>`,
		`<a href="https://legal.example/privacy"`, `<a href="https://legal.example/terms"`,
	}
	page := func(logo string) answer {
		t.Helper()
		registered := b.do(http.MethodPost, "/oauth/register", strings.NewReader(`{"client_name":"Linked","redirect_uris":["https://app.example/cb"],
			"grant_types":["authorization_code","`+deviceCodeGrantType+`"],"token_endpoint_auth_method":"none","client_uri":"https://app.example/",
			"policy_uri":"https://legal.example/privacy","tos_uri":"https://legal.example/terms","logo_uri":"`+logo+`"}`), http.Header{"Content-Type": {"application/json"}})
		registered.want(t, http.StatusCreated)
		id := registered.find(t, `"client_id":"([^"]+)"`)

		codes := b.post("/oauth/device_authorization", form("client_id", id))
		codes.want(t, http.StatusOK)
		device := b.post("/device", form("user_code", codes.find(t, `"user_code":"([^"]+)"`)))
		device.want(t, http.StatusOK, links...)
		if policy := device.header.Get("Content-Security-Policy"); strings.Contains(device.body, "client-logo") || policy != withoutFormAction {
			t.Errorf("the page of devices, from which nobody returns to a host, has a logo, or the policy %q", policy)
		}
		return b.get("/oauth/authorize?" + form("response_type", "code", "client_id", id, "redirect_uri", "https://app.example/cb", "scope", "openid",
			"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method", "S256").Encode())
	}
	shown := page("https://app.example/logo.png")
	shown.want(t, http.StatusOK, append(links, `<img class="client-logo" src="https://app.example/logo.png" alt="" referrerpolicy="no-referrer">`)...)
	if policy := shown.header.Get("Content-Security-Policy"); policy != withoutFormAction+" https://app.example" {
		t.Errorf("the policy is %q", policy)
	}
	foreign := page("https://bank.example/logo.png")
	foreign.want(t, http.StatusOK, links...)
	if policy := foreign.header.Get("Content-Security-Policy"); strings.Contains(foreign.body, "bank.example") || policy != withoutFormAction {
		t.Errorf("the logo of somebody else is shown, or the policy is %q", policy)
	}
}
