package main

import (
	"net/http"
	"strings"
	"testing"
)

// The same program keeps to the FAPI 2.0 Security Profile. A client of the profile goes
// through it in e2e/node/fapi.js.
func TestFAPI(t *testing.T) {
	b := startProgram(t, "-fapi").visit(t)
	b.get("/login").want(t, http.StatusOK, "Sign in")
	b.get("/.well-known/openid-configuration").want(t, http.StatusOK, `"require_pushed_authorization_requests":true`, `"response_types_supported":["code"]`)
	b.tokenRequest(demoService.id, demoService.secret, form("grant_type", "client_credentials")).want(t, http.StatusUnauthorized, "invalid_client")
	if location := b.get(authorizePath("demo-web")).header.Get("Location"); !strings.Contains(location, "must+be+pushed") {
		t.Errorf("led to %q", location)
	}
}
