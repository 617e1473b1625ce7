package endpoint_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/secret"
)

func newPushed(t *testing.T, db *gorm.DB, required bool) *oauthtest.Provider {
	t.Helper()
	p := oauthtest.New(t, db)
	e := gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)
	e.Required = required
	require.NoError(t, p.Server.RegisterEndpoint(e))
	return p
}

// byReference is what the browser carries.
func byReference(client *oauthtest.Client, requestURI string) string {
	return url.Values{"client_id": {client.ClientID}, "request_uri": {requestURI}}.Encode()
}

func TestPushedAuthorizationRequests(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newPushed(t, db, false)
		web, public, other := p.NewClient(nil), p.NewClient(oauthtest.Public), p.NewClient(nil)
		push := func(client *oauthtest.Client, more string) oauthtest.Answer {
			body := strings.Replace(oauthtest.AuthorizeQuery(client, more), "&client_id="+client.ClientID, "", 1) // which comes with the authentication
			return p.Post("/oauth/par", client, body)
		}
		pushed := func(client *oauthtest.Client, more string) string {
			a := push(client, more)
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			return a.Body["request_uri"]
		}

		t.Run("a request is pushed, granted and redeemed", func(t *testing.T) {
			for _, client := range []*oauthtest.Client{web, public} {
				a := push(client, "scope=profile&state=s")
				assert.Equal(t, http.StatusCreated, a.Status)
				assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
				assert.Equal(t, "600", a.Body["expires_in"])
				requestURI := a.Body["request_uri"]
				assert.True(t, strings.HasPrefix(requestURI, "urn:ietf:params:oauth:request_uri:goa_pr_"), requestURI)
				var row oauthtest.PushedRequest
				require.NoError(t, db.Last(&row).Error)
				assert.Equal(t, secret.Digest(requestURI), row.RequestURI)
				assert.NotContains(t, row.Parameters, "secret")

				assert.Equal(t, http.StatusOK, p.Consent(byReference(client, requestURI)).Status)
				assert.Equal(t, http.StatusOK, p.Consent(byReference(client, requestURI)).Status, "a page may be loaded again")
				answer := p.Grant(byReference(client, requestURI) + "&state=other&scope=email&redirect_uri=https%3A%2F%2Fevil.example")
				assert.Equal(t, oauthtest.RedirectURI, answer.To)
				assert.Equal(t, "s", answer.Query.Get("state"), "what the browser adds counts for nothing")
				tokens := p.Redeem(client, answer.Query.Get("code"))
				assert.Equal(t, "profile", tokens.Body["scope"])

				again := p.Grant(byReference(client, requestURI))
				assert.Equal(t, http.StatusBadRequest, again.Status, "a reference is good for one decision")
				assert.Equal(t, server.InvalidRequestURI, again.Body["error"])
				assert.Equal(t, server.InvalidRequestURI, p.Consent(byReference(client, requestURI)).Body["error"])
			}
		})
		t.Run("a denial uses it up, too", func(t *testing.T) {
			requestURI := pushed(web, "")
			assert.Equal(t, server.AccessDenied, p.Decide(byReference(web, requestURI), "", nil).Query.Get("error"))
			assert.Equal(t, server.InvalidRequestURI, p.Grant(byReference(web, requestURI)).Body["error"])
		})
		t.Run("what is refused when it is pushed", func(t *testing.T) {
			for rule, row := range map[string]struct {
				client *oauthtest.Client
				body   string
				code   string
			}{
				"no client":                {nil, "response_type=code", server.InvalidClient},
				"another client's id":      {web, oauthtest.AuthorizeQuery(other, ""), server.InvalidRequest},
				"a foreign redirect URI":   {web, oauthtest.AuthorizeQuery(web, "redirect_uri=https%3A%2F%2Fevil.example"), server.InvalidRequest},
				"a scope that is too much": {web, oauthtest.AuthorizeQuery(web, "scope=admin"), server.InvalidScope},
				"no response type":         {web, "code_challenge=x", server.InvalidRequest},
				"no PKCE":                  {web, "response_type=code", server.InvalidRequest},
				"a reference":              {web, oauthtest.AuthorizeQuery(web, "request_uri=urn%3Ax"), server.InvalidRequest},
				"a request object":         {web, oauthtest.AuthorizeQuery(web, "request=x.y.z"), server.RequestNotSupported},
				"a response type that is not the client's": {web, strings.Replace(oauthtest.AuthorizeQuery(web, ""), "response_type=code", "response_type=token", 1), server.UnauthorizedClient},
				"a parameter twice":                        {web, oauthtest.AuthorizeQuery(web, "scope=a&scope=b"), server.InvalidRequest},
			} {
				a := p.Post("/oauth/par", row.client, row.body)
				assert.Equal(t, row.code, a.Body["error"], rule)
				assert.Empty(t, a.Header.Get("Location"), "nothing is redirected")
			}
		})
		t.Run("what is refused at the authorization endpoint", func(t *testing.T) {
			requestURI := pushed(web, "")
			for rule, query := range map[string]string{
				"another client": byReference(other, requestURI), "no client": url.Values{"request_uri": {requestURI}}.Encode(),
				"unknown":     byReference(web, "urn:ietf:params:oauth:request_uri:unknown"),
				"mistyped":    byReference(web, requestURI+"A"),
				"the digest":  byReference(web, "urn:ietf:params:oauth:request_uri:"+secret.Digest(requestURI)),
				"two of them": byReference(web, requestURI) + "&request_uri=x",
			} {
				a := p.Grant(query)
				assert.Equal(t, http.StatusBadRequest, a.Status, rule)
				assert.Empty(t, a.To, "nobody is sent anywhere: %s", rule)
			}
			a := p.Consent(oauthtest.AuthorizeQuery(web, "request_uri=https%3A%2F%2Fclient.example%2Frequest"))
			assert.Equal(t, server.RequestURINotSupported, a.Query.Get("error"), "another kind of reference")
			a = p.Consent(oauthtest.AuthorizeQuery(web, "request=x.y.z"))
			assert.Equal(t, server.RequestNotSupported, a.Query.Get("error"), "what cannot be read is not ignored")
			assert.Equal(t, http.StatusOK, p.Consent(byReference(web, requestURI)).Status, "none of this used it up")
			p.Now = p.Now.Add(10*time.Minute - time.Second)
			assert.Equal(t, http.StatusOK, p.Consent(byReference(web, requestURI)).Status)
			p.Now = p.Now.Add(time.Second)
			assert.Equal(t, server.InvalidRequestURI, p.Consent(byReference(web, requestURI)).Body["error"], "expired")
		})
		t.Run("a client may ask that all of its requests are pushed", func(t *testing.T) {
			strict := p.NewClient(func(c *oauthtest.Client) {
				c.ClientMetadata.Extra = map[string]json.RawMessage{"require_pushed_authorization_requests": json.RawMessage("true")}
			})
			assert.Equal(t, server.InvalidRequest, p.Consent(oauthtest.AuthorizeQuery(strict, "")).Query.Get("error"))
			assert.Equal(t, http.StatusOK, p.Consent(byReference(strict, pushed(strict, ""))).Status)
		})
	})
}

func TestPushedAuthorizationRequestsAreRequired(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newPushed(t, db, true)
	client := p.NewClient(nil)
	assert.Equal(t, server.InvalidRequest, p.Grant(oauthtest.AuthorizeQuery(client, "")).Query.Get("error"))
	requestURI := p.Post("/oauth/par", client, oauthtest.AuthorizeQuery(client, "")).Body["request_uri"]
	assert.NotEmpty(t, p.Grant(byReference(client, requestURI)).Query.Get("code"))
	metadata := p.Get("/.well-known/oauth-authorization-server").Body
	assert.Equal(t, oauthtest.Issuer+"/oauth/par", metadata["pushed_authorization_request_endpoint"])
	assert.Equal(t, "true", metadata["require_pushed_authorization_requests"])

	storage := gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](db)
	assert.ErrorContains(t, p.Server.RegisterEndpoint(&endpoint.PushedAuthorizationRequest{}), "Storage is missing")
	assert.ErrorContains(t, p.Server.RegisterEndpoint(&endpoint.PushedAuthorizationRequest{Storage: storage, ExpiresIn: -1}), "must not be negative")

	e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	e.Open = true
	require.NoError(t, p.Server.RegisterEndpoint(e))
	r := registrar{p, e}
	a, _ := r.register(`{` + webClient + `,"require_pushed_authorization_requests":"yes"}`)
	assert.Equal(t, server.InvalidClientMetadata, a.Body["error"])
	a, told := r.register(`{` + webClient + `,"require_pushed_authorization_requests":true}`)
	assert.Equal(t, "true", a.Body["require_pushed_authorization_requests"])
	var row oauthtest.Client
	require.NoError(t, db.Where("client_id = ?", told.ID).First(&row).Error)
	assert.JSONEq(t, "true", string(row.ClientMetadata.Extra["require_pushed_authorization_requests"]))
}
