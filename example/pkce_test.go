package main

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/gormoauth/gormoauth/server"
)

// -pkce says who needs a code_challenge, in every flow that gives codes.
func TestWhoNeedsPKCE(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args []string
		// what becomes of a request without a challenge: with a nonce, and without
		withNonce, without bool
	}{
		"by default": {nil, true, false},
		"required":   {[]string{"-pkce", "required"}, false, false},
		"with-nonce": {[]string{"-pkce", "with-nonce"}, true, false},
		"optional":   {[]string{"-pkce", "optional"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startProgram(t, row.args...).signedIn(t, "alice", "wonderland")
			asks := func(client, responseType, nonce string) bool {
				request := form("response_type", responseType, "client_id", client, "redirect_uri", demoRedirectURI, "scope", "openid")
				if nonce != "" {
					request.Set("nonce", nonce)
				}
				answer := b.get("/oauth/authorize?" + request.Encode())
				if answer.status == http.StatusOK {
					return true
				}
				location, err := url.Parse(answer.header.Get("Location"))
				if err != nil || location.Query().Get("error") != "invalid_request" && location.Fragment == "" {
					t.Fatalf("%s %q: %d %q", client, responseType, answer.status, answer.header.Get("Location"))
				}
				return false
			}
			for request, got := range map[string][2]bool{
				"the code flow, with a nonce":           {asks("demo-web", "code", "n"), row.withNonce},
				"the code flow, without":                {asks("demo-web", "code", ""), row.without},
				"the hybrid flow, with a nonce":         {asks("demo-hybrid", "code id_token", "n"), row.withNonce},
				"the hybrid flow, without":              {asks("demo-hybrid", "code token", ""), row.without},
				"a public client, with a nonce":         {asks("demo-spa", "code", "n"), false},
				"a public client, with neither of both": {asks("demo-spa", "code", ""), false},
			} {
				if got[0] != got[1] {
					t.Errorf("%s: it asks for consent: %t, want %t", request, got[0], got[1])
				}
			}
		})
	}
}

// The environment says it, too, and a flag counts for more.
func TestPKCEInTheEnvironment(t *testing.T) {
	t.Parallel()
	optional := func(name string) string { return map[string]string{"GORMOAUTH_PKCE": "optional"}[name] }
	for _, row := range []struct {
		args []string
		want server.PKCE
	}{{nil, server.PKCEOptional}, {[]string{"-pkce", "required"}, server.PKCERequired}} {
		cfg, err := parseConfig(row.args, optional, io.Discard)
		if err != nil || cfg.pkce != row.want {
			t.Errorf("%v: %v, %v", row.args, cfg, err)
		}
	}
}
