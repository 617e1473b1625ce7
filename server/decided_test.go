package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A decision is on what the page showed: a request that differs in one thing has another.
func TestADecisionIsOnOneRequest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	uris := func(c *oauthtest.Client) {
		c.ClientMetadata.RedirectURIs = []string{oauthtest.RedirectURI, oauthtest.RedirectURI + "/2"}
	}
	client, other := p.NewClient(uris), p.NewClient(uris)
	bob := &oauthtest.User{}
	require.NoError(t, db.Create(bob).Error)
	decision := func(client *oauthtest.Client, user storage.User, redirectURI, more string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+oauthtest.AuthorizeQuery(client, "redirect_uri="+url.QueryEscape(redirectURI)+more), http.NoBody)
		consent, err := p.Server.GetConsentGrant(r, user)
		require.NoError(t, err)
		return string(consent.Decision)
	}
	const uri = oauthtest.RedirectURI
	seen := make(map[string]string)
	for rule, digest := range map[string]string{
		"the request":     decision(client, p.User, uri, "&scope=profile"),
		"another address": decision(client, p.User, uri+"/2", "&scope=profile"),
		"another scope":   decision(client, p.User, uri, "&scope=email"),
		"another client":  decision(other, p.User, uri, "&scope=profile"),
		"another user":    decision(client, bob, uri, "&scope=profile"),
		"in a session":    decision(client, server.SignedIn{User: p.User, Authentication: server.Authentication{SessionID: "s"}}, uri, "&scope=profile"),
	} {
		assert.NotEmpty(t, digest, rule)
		assert.Empty(t, seen[digest], rule)
		seen[digest] = rule
	}
	assert.Equal(t, "the request", seen[decision(client, p.User, uri, "&scope=profile")])
}

// The origin of the issuer is that of its own pages behind a proxy, as browsers write it.
func TestTheOriginOfTheIssuer(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for issuer, origin := range map[string]string{
		"https://id.example": "https://id.example", "https://ID.example/auth": "https://id.example", "https://id.example:443": "https://id.example",
		"https://id.example:8443": "https://id.example:8443", "http://127.0.0.1:80": "http://127.0.0.1", "http://127.0.0.1:443": "http://127.0.0.1:443",
		"http://[::1]:8080": "http://[::1]:8080", "http://[::1]:80": "http://[::1]",
	} {
		p := oauthtest.New(t, db, func(c *server.Config) { c.Issuer = issuer })
		from := func(origin string) bool {
			r := httptest.NewRequest(http.MethodPost, "http://inside:1234/", http.NoBody)
			r.Header.Set("Origin", origin)
			return p.Server.FromOwnPage(r)
		}
		assert.True(t, from(origin), issuer)
		for _, other := range []string{"https://evil.example", origin + ":1", "null"} {
			assert.False(t, from(other), "%s for %s", other, issuer)
		}
	}
}

// A client to which something was issued is the one that storage has by its id, and no other.
func TestTheClientOfAToken(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	looked := 0
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	require.NoError(t, p.Server.Register(lookingUp{&looked}))
	found, err := p.Server.ClientOf(t.Context(), client.ClientID)
	require.NoError(t, err)
	assert.Equal(t, client.ClientID, found.GetClientID())
	assert.Zero(t, looked, "storage has it")
	found, err = p.Server.ClientOf(t.Context(), "nobody")
	require.NoError(t, err)
	assert.Nil(t, found)
	assert.Equal(t, 1, looked)
}

// lookingUp counts the lookups of clients.
type lookingUp struct{ count *int }

func (l lookingUp) LookUpClient(_ context.Context, _ *server.Server, _ string, found storage.Client) (storage.Client, error) {
	*l.count++
	return found, nil
}
