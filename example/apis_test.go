package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// introspect asks as a client with a secret what a token stands for.
func (b *visitor) introspect(clientID, secret, token string) answer {
	b.t.Helper()
	return b.do(http.MethodPost, "/oauth/introspect", strings.NewReader(form("token", token).Encode()), http.Header{"Authorization": {basicHeader(clientID, secret)}})
}

// tokenAt is alice's token of demo-web for resources.
func tokenAt(t *testing.T, b *visitor, resources ...string) string {
	t.Helper()
	more := "&prompt=consent&" + url.Values{"resource": resources}.Encode()
	page := b.get(authorizePath("demo-web") + more)
	for _, resource := range resources {
		assert.Equal(t, !strings.HasPrefix(resource, b.program.address), strings.Contains(page.body, "<code>"+strings.TrimSuffix(resource, "/")+"</code>"), "the page says where the access is good")
	}
	location := b.decide(authorizePath("demo-web")+more, form("confirm", "yes")).header.Get("Location")
	back, err := url.Parse(location)
	require.NoError(t, err)
	require.NotEmpty(t, back.Query().Get("code"), location)
	return b.token(t, "demo-web", "demo-web-secret", form("grant_type", "authorization_code", "code", back.Query().Get("code"), "code_verifier", oauthtest.Verifier, "redirect_uri", demoRedirectURI))
}

// The API of the program asks about tokens that are for it; those for other APIs are
// signed JWTs, which neither it nor the program's own API takes.
func TestAPIs(t *testing.T) {
	const orders, ledger = "https://orders.example", "https://ledger.example/v1"
	p := startProgram(t, "-resource", orders, "-resource", ledger)
	b := p.signedIn(t, "alice", "wonderland")
	call := func(token string) answer {
		return b.do(http.MethodGet, "/api/me", nil, http.Header{"Authorization": {"Bearer " + token}})
	}
	for _, resources := range [][]string{nil, {p.address}, {p.address + "/"}, {p.address, orders}} {
		token := tokenAt(t, b, resources...)
		call(token).want(t, http.StatusOK, `"username":"alice"`)
		b.introspect(demoAPI.id, demoAPI.secret, token).want(t, http.StatusOK, `"active":true`, `"username":"alice"`, `"`+p.address+`"`)
		b.introspect("demo-web", "demo-web-secret", token).want(t, http.StatusOK, `"active":true`)
		b.introspect(demoService.id, demoService.secret, token).want(t, http.StatusOK, `{"active":false}`)
		assert.Equal(t, len(resources) == 2, strings.Count(token, ".") == 2, "one that is good at another API is a signed JWT")
	}
	for _, resources := range [][]string{{orders}, {orders + "/"}, {ledger}, {orders, ledger}} {
		token := tokenAt(t, b, resources...)
		assert.Equal(t, 2, strings.Count(token, "."), "a signed JWT")
		refused := call(token)
		refused.want(t, http.StatusUnauthorized, "invalid_token")
		assert.Contains(t, refused.header.Get("WWW-Authenticate"), "another resource")
		b.introspect(demoAPI.id, demoAPI.secret, token).want(t, http.StatusOK, `{"active":false}`)
		assert.Contains(t, p.log.String(), "not for a resource of this API")
		b.introspect("demo-web", "demo-web-secret", token).want(t, http.StatusOK, `"active":true`, `"`+strings.TrimSuffix(resources[0], "/")+`"`)
	}
	if location := b.get(authorizePath("demo-web") + "&resource=https://elsewhere.example").header.Get("Location"); !strings.Contains(location, "invalid_target") {
		t.Errorf("led to %q", location)
	}
	b.tokenRequest(demoAPI.id, demoAPI.secret, form("grant_type", "client_credentials")).want(t, http.StatusBadRequest, "unauthorized_client")
}

func TestAPIsOfTheEnvironment(t *testing.T) {
	environment := func(name string) string {
		return map[string]string{"GORMOAUTH_RESOURCES": " https://a.example  https://b.example/v1 "}[name]
	}
	for _, row := range []struct{ args, want []string }{
		{nil, []string{"https://a.example", "https://b.example/v1"}},
		{[]string{"-resource", "https://c.example"}, []string{"https://c.example"}},
	} {
		cfg, err := parseConfig(row.args, environment, nil)
		require.NoError(t, err)
		assert.Equal(t, row.want, cfg.resources)
	}
}
