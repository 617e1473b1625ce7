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
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff",
			"X-Frame-Options":         "DENY",
			"Referrer-Policy":         "same-origin",
		} {
			if got := answer.header.Get(name); got != want {
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

func TestFormTarget(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://app.example/callback?a=b":       "https://app.example",
		"http://127.0.0.1:8081/callback":         "http://127.0.0.1:8081",
		"http://[::1]:8081/callback":             "http:",
		"com.example.app:/callback":              "com.example.app:",
		"https://a;script-src.example/":          "",
		"https://a,b.example/":                   "",
		"https://a'b.example/":                   "",
		"javascript:alert(1)":                    "",
		"http://[::1]:8081/;script-src":          "http:",
		"https://xn--bcher-kva.example:8443/cb/": "https://xn--bcher-kva.example:8443",
	} {
		if got := formTarget(uri); got != want {
			t.Errorf("formTarget(%q) = %q, want %q", uri, got, want)
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
