package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// An application may send its requests in forms of its own, from its own site. That
// asks the person, and decides nothing.
func TestAnApplicationsForms(t *testing.T) {
	t.Parallel()
	alice := startProgram(t).signedIn(t, "alice", "wonderland")
	fromElsewhere := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://client.example"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	path, query, _ := strings.Cut(authorizePath("demo-spa"), "?")
	request, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]http.Header{"cross-site": fromElsewhere, "same-origin": {"Content-Type": {"application/x-www-form-urlencoded"}}} {
		for _, confirm := range []string{"", "&confirm=yes"} {
			answer := alice.do(http.MethodPost, path, strings.NewReader(query+confirm), header)
			answer.want(t, http.StatusSeeOther)
			location, err := url.Parse(answer.header.Get("Location"))
			if err != nil || location.Path != path || location.Query().Encode() != request.Encode() {
				t.Fatalf("%s: it leads to %q", name, answer.header.Get("Location"))
			}
			alice.get(location.String()).want(t, http.StatusOK, "asks for access")
		}
	}

	answer := alice.do(http.MethodPost, "/oauth/end_session", strings.NewReader("state=x&confirm=yes"), fromElsewhere)
	answer.wantRedirect(t, "/oauth/end_session?state=x")
	alice.get("/oauth/end_session?state=x").want(t, http.StatusOK, "Sign out?")
	alice.get("/").want(t, http.StatusOK, "Hello, Alice Liddell")
}

// What is asked of the person for an application that wants them to sign in again, or
// to choose, is done once.
func TestPromptsAreFollowedOnce(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	path := authorizePath("demo-spa") + "&prompt=login"
	answer := b.get(path)
	answer.wantRedirect(t, "/login?"+url.Values{"again": {""}, "next": {path}}.Encode())
	b.post("/login", form("username", "alice", "password", "wonderland", "next", path)).wantRedirect(t, path)
	b.get(path).want(t, http.StatusOK, "asks for access")
	redirected(t, b.decide(path, form("confirm", "yes")))
	b.get(path).wantRedirect(t, "/login?"+url.Values{"again": {""}, "next": {path}}.Encode()) // the same of tomorrow
	b.get(path+"&x=y").wantRedirect(t, "/login?"+url.Values{"again": {""}, "next": {path + "&x=y"}}.Encode())

	path = authorizePath("demo-spa") + "&prompt=select_account"
	b.get(path).wantRedirect(t, "/accounts?"+url.Values{"next": {path}}.Encode())
	b.get("/accounts?"+url.Values{"next": {path}}.Encode()).want(t, http.StatusOK, "Alice Liddell", "Another account")
	b.post("/accounts", form("next", path)).wantRedirect(t, path)
	b.get(path).want(t, http.StatusOK, "asks for access")
	b.post("/accounts", form("next", "https://evil.example/")).wantRedirect(t, "/")
}

// Whoever signs in and is not who an application asks for is sent back to it, and not to
// sign in without end.
func TestSomebodyElseSignsIn(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	path := authorizePath("demo-spa") + "&claims=" + url.QueryEscape(`{"id_token":{"sub":{"value":"99"}}}`)
	login := "/login?" + url.Values{"again": {""}, "next": {path}}.Encode()
	for range 2 { // the second time it is another request
		b.get(path).wantRedirect(t, login)
		b.post("/login", form("username", "alice", "password", "wonderland", "next", path)).wantRedirect(t, path)
		if back := redirected(t, b.get(path)); back.Get("error") != "login_required" || back.Has("code") {
			t.Errorf("the application gets %v", back)
		}
	}
}

// The sign-in page fills in who an application says is to sign in, and says nothing
// that could not be shown.
func TestLoginHint(t *testing.T) {
	t.Parallel()
	b := startProgram(t).visit(t)
	path := authorizePath("demo-spa") + "&login_hint=" + url.QueryEscape(`<alice>`)
	b.get(path).wantRedirect(t, "/login?"+url.Values{"next": {path}, "username": {"<alice>"}}.Encode())
	b.get("/login?username=%3Calice%3E").want(t, http.StatusOK, `value="&lt;alice&gt;"`)
	if page := b.get("/login?username=%ff"); page.status != http.StatusOK {
		t.Errorf("status %d", page.status)
	}
}
