package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice := p.signedIn(t, "alice", "wonderland")
	for _, path := range []string{"/", "/login", "/logout", "/nowhere", "/clients", "/oauth/authorize", "/healthz", "/api/me", "/static/style.css"} {
		answer := alice.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; img-src 'self'",
			"X-Content-Type-Options":  "nosniff",
			"X-Frame-Options":         "DENY",
			"Referrer-Policy":         "same-origin",
		} {
			// TestFormActionOfPages looks at the rest of the policy.
			if got := strings.TrimSuffix(answer.header.Get(name), "; form-action 'self'"); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if strings.Contains(answer.body, "<main") && !strings.Contains(answer.header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s may be cached", path)
		}
		for _, inline := range []string{"<script", "<style", " style=", " onclick="} {
			if strings.Contains(answer.body, inline) {
				t.Errorf("%s has %s", path, inline)
			}
		}
	}
	if got := alice.get("/").header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("plain http is told %q", got)
	}
	secure := startProgram(t, "-issuer", "https://localhost").visit(t).get("/")
	if secure.header.Get("Strict-Transport-Security") == "" {
		t.Error("https has no Strict-Transport-Security")
	}
}

// Pages whose form may end at an application have no form-action, which Chromium holds
// against all that follows; all others have it.
func TestFormActionOfPages(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	stranger, alice := p.visit(t), p.signedIn(t, "alice", "wonderland")
	for path, b := range map[string]*visitor{
		"/login": stranger, authorizePath("demo-web"): alice, "/accounts?next=%2Foauth%2Fauthorize": alice, "/device": alice, "/logout": alice, "/oauth/end_session": alice,
	} {
		answer := b.get(path)
		answer.want(t, http.StatusOK)
		if policy := answer.header.Get("Content-Security-Policy"); policy != withoutFormAction {
			t.Errorf("%s: the policy is %q", path, policy)
		}
	}
	for path, b := range map[string]*visitor{"/": alice, "/activity": alice, "/nowhere": stranger} {
		if policy := b.get(path).header.Get("Content-Security-Policy"); policy != contentSecurityPolicy {
			t.Errorf("%s: the policy is %q", path, policy)
		}
	}
}

// A form on another site comes with the cookie, and must do nothing.
func TestCrossOriginFormsAreRefused(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice := p.signedIn(t, "alice", "wonderland")
	for name, header := range map[string]http.Header{
		"another site": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		"same site":    {"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://127.0.0.1:1"}},
		"old browser":  {"Origin": {"https://evil.example"}},
		"sandbox":      {"Origin": {"null"}},
	} {
		for _, path := range []string{"/login", "/logout", "/clients", "/clients/x/secret", "/clients/x/delete", "/applications/1/revoke"} {
			answer := alice.do(http.MethodPost, path, strings.NewReader("confirm=yes"), header)
			answer.want(t, http.StatusForbidden, "another site")
			if answer.header.Get("Location") != "" || answer.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %s answered %v", name, path, answer.header)
			}
		}
	}
	alice.get("/").want(t, http.StatusOK, "Hello, Alice Liddell")

	own := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {p.address}}
	alice.do(http.MethodPost, "/logout", strings.NewReader(""), own).wantRedirect(t, "/")

	// The token endpoint has no cookie to protect: programs call it from anywhere.
	foreign := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://app.example"}}
	alice.do(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=password"), foreign).want(t, http.StatusUnauthorized, "invalid_client")
}
