package oidc_test

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// Every test that CONFORMANCE.md names is there.
func TestTheTableIsTrue(t *testing.T) {
	text, err := os.ReadFile("CONFORMANCE.md")
	require.NoError(t, err)
	modules := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `oidcc-") {
			continue
		}
		modules++
		links := regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`).FindAllStringSubmatch(line, -1)
		require.NotEmpty(t, links, line)
		for _, link := range links {
			source, err := os.ReadFile(link[2])
			if assert.NoError(t, err, line) && strings.HasPrefix(link[1], "Test") {
				assert.Contains(t, string(source), "func "+link[1]+"(t *testing.T)", line)
			}
		}
	}
	assert.Greater(t, modules, 70)
}

// A redirect URI may have a query, which is a part of it like any other, and no
// fragment.
func TestRedirectURIsWithAQuery(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	metadata := client.ClientMetadata
	metadata.RedirectURIs = []string{oauthtest.RedirectURI + "?foo=bar"}
	require.NoError(t, p.DB.Model(client).Update("client_metadata", metadata).Error)
	a := p.Decide(query(client, "redirect_uri="+oauthtest.RedirectURI+"?foo=bar"), "", p.alice())
	assert.Equal(t, "bar", a.Query.Get("foo"))
	assert.NotEmpty(t, a.Query.Get("code"))
	for _, uri := range []string{"?foo=bar&x=y", "?foo=baz", "", "?"} {
		_, failure := p.ask(p.alice(), query(client, "redirect_uri="+oauthtest.RedirectURI+uri))
		assert.Contains(t, failure, "is not registered for this client", uri)
	}
	refused := p.Register(`{"redirect_uris":["https://client.example/cb#fragment"]}`)
	assert.Equal(t, http.StatusBadRequest, refused.Status)
	assert.Equal(t, "invalid_redirect_uri", refused.Body["error"])
}

// What a client wants shown of itself is kept for the page.
func TestLinksOfAClient(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, member := range []string{"logo_uri", "policy_uri", "tos_uri", "client_uri"} {
		a := p.Register(`{"redirect_uris":["https://client.example/cb"],"` + member + `":"https://client.example/` + member + `"}`)
		require.Equal(t, http.StatusCreated, a.Status, a.Raw)
		assert.Equal(t, "https://client.example/"+member, a.Body[member])
		stored, err := p.Server.QueryClient(t.Context(), a.Body["client_id"])
		require.NoError(t, err)
		metadata := stored.(*oauthtest.Client).ClientMetadata
		assert.Contains(t, []string{metadata.LogoURI, metadata.PolicyURI, metadata.TosURI, metadata.ClientURI}, "https://client.example/"+member)
		bad := p.Register(`{"redirect_uris":["https://client.example/cb"],"` + member + `":"` + url.PathEscape("javascript:alert(1)") + `"}`)
		assert.Equal(t, http.StatusBadRequest, bad.Status, member)
	}
}
