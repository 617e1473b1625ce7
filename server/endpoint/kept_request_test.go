package endpoint_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// postedBy has a client's own site post an authorization request through the browser.
func postedBy(p *oauthtest.Provider, user storage.User, query, body string) oauthtest.Answer {
	return p.Send(http.MethodPost, query, body, user, "Sec-Fetch-Site", "cross-site", "Origin", "https://client.example")
}

// A request that comes by POST (OpenID Connect Core section 3.1.2.1) is met again by
// GET, with all of its parameters and no decision. What is too long for an address is
// kept.
func TestAClientsPOSTIsSentOn(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newPushed(t, db, false)
		client := p.NewClient(nil)
		request := oauthtest.Form(oauthtest.AuthorizeQuery(client, "scope=profile&state=a%26b&resource=x%3Ay&confirm=yes&decision=x"))
		sent := url.Values{}
		for name, values := range request {
			if name != "confirm" && name != "decision" {
				sent[name] = values
			}
		}
		for rule, a := range map[string]oauthtest.Answer{
			"in a body":              postedBy(p, p.User, "", request.Encode()),
			"in an address":          postedBy(p, p.User, request.Encode(), "confirm=yes&decision=y"),
			"in both":                postedBy(p, p.User, "client_id="+client.ClientID, strings.Replace(request.Encode(), "client_id="+client.ClientID+"&", "", 1)),
			"by nobody":              postedBy(p, nil, "", request.Encode()),
			"by no browser":          p.Send(http.MethodPost, "", request.Encode(), p.User),
			"of the server's origin": p.Send(http.MethodPost, "", request.Encode(), p.User, "Sec-Fetch-Site", "same-origin"),
		} {
			assert.Equal(t, []any{http.StatusSeeOther, "/oauth/authorize"}, []any{a.Status, a.To}, rule)
			assert.Equal(t, sent, a.Query, rule)
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"), rule)
		}
		assert.Zero(t, p.Rows(&oauthtest.PushedRequest{}), "what fits is not kept")

		long := strings.Repeat("å", 2000)
		request.Set("state", long)
		kept := postedBy(p, p.User, "", request.Encode())
		require.Equal(t, []any{http.StatusSeeOther, "/oauth/authorize"}, []any{kept.Status, kept.To}, kept.Raw)
		assert.Equal(t, client.ClientID, kept.Query.Get("client_id"))
		assert.Len(t, kept.Query, 2)
		requestURI := kept.Query.Get("request_uri")
		assert.Regexp(t, `^urn:ietf:params:oauth:request_uri:goa_kr_`, requestURI)
		var row oauthtest.PushedRequest
		require.NoError(t, db.Last(&row).Error)
		assert.Equal(t, secret.Digest(requestURI), row.RequestURI)

		// It travels on through sign-in, and comes back to the page.
		address := byReference(client, requestURI)
		consent, err := p.Server.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+address, http.NoBody), nil)
		require.NoError(t, err)
		assert.Equal(t, server.SignIn, consent.Interaction)
		assert.Equal(t, "/oauth/authorize?"+address, consent.ReturnTo)
		granted := p.Grant(address)
		assert.Equal(t, long, granted.Query.Get("state"))
		tokens := p.Redeem(client, granted.Query.Get("code"))
		assert.Equal(t, "profile", tokens.Body["scope"])
		assert.Equal(t, server.InvalidRequestURI, p.Grant(address).Body["error"], "it is good for one decision, as one that was pushed")
		assert.Equal(t, server.InvalidRequestURI, p.Decide(address, "", nil).Body["error"], "be it no")
		assert.Equal(t, server.InvalidRequestURI, p.Consent(address).Body["error"], "and the page is not shown to who goes back")

		again := postedBy(p, p.User, "", request.Encode()).Query.Get("request_uri")
		require.NotEmpty(t, again, "but the client may ask again")
		for range 3 {
			assert.Equal(t, http.StatusOK, p.Consent(byReference(client, again)).Status, "before the decision it is opened as often as the user likes")
		}
		assert.Equal(t, server.AccessDenied, p.Decide(byReference(client, again), "", nil).Query.Get("error"))
		assert.Equal(t, server.InvalidRequestURI, p.Grant(byReference(client, again)).Body["error"], "a no is a decision")

		other := p.NewClient(nil)
		assert.Equal(t, server.InvalidRequestURI, p.Consent(byReference(other, requestURI)).Body["error"], "another client's")
		assert.Equal(t, server.InvalidRequestURI, p.Consent(byReference(client, requestURI[:len(requestURI)-1])).Body["error"])
		p.Now = p.Now.Add(10 * time.Minute)
		assert.Equal(t, server.InvalidRequestURI, p.Consent(address).Body["error"], "it is short-lived")

		// Nothing is kept that is not valid.
		rows := p.Rows(&oauthtest.PushedRequest{})
		for rule, change := range map[string][2]string{"no such client": {"client_id", "nobody"}, "another address": {"redirect_uri", "https://evil.example/"}, "a method that is not S256": {"code_challenge_method", "x"}} {
			bad, _ := url.ParseQuery(request.Encode())
			bad.Set(change[0], change[1])
			a := postedBy(p, p.User, "", bad.Encode())
			assert.NotEmpty(t, a.Params()["error"], rule)
		}
		assert.Equal(t, rows, p.Rows(&oauthtest.PushedRequest{}))
		request.Set("state", strings.Repeat(`"`, 60_000))
		tooLong := p.Send(http.MethodPost, "", strings.ReplaceAll(request.Encode(), "%22", `"`), p.User)
		assert.Equal(t, http.StatusBadRequest, tooLong.Status, "three times as long once it is escaped: %s", tooLong.Raw)
		assert.Equal(t, rows, p.Rows(&oauthtest.PushedRequest{}))
	})
}

// What is kept for browsers is bounded by address.
func TestAFloodOfPostedRequests(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	e := gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)
	e.PublicRequests = ratelimit.New(3, time.Minute)
	require.NoError(t, p.Server.RegisterEndpoint(e))
	client := p.NewClient(nil)
	body := oauthtest.AuthorizeQuery(client, "state="+strings.Repeat("x", header.MaxAddress))
	for i := range 5 {
		a := postedBy(p, nil, "", body)
		if i < 3 {
			assert.Equal(t, http.StatusSeeOther, a.Status)
			continue
		}
		assert.Equal(t, http.StatusTooManyRequests, a.Status, a.Raw)
		assert.NotEmpty(t, a.Header.Get("Retry-After"))
	}
	assert.EqualValues(t, 3, p.Rows(&oauthtest.PushedRequest{}))
	assert.Equal(t, http.StatusSeeOther, postedBy(p, nil, "", oauthtest.AuthorizeQuery(client, "")).Status, "what is short is not bounded")
}

// A request that the browser brought was pushed by nobody.
func TestAKeptRequestIsNotPushed(t *testing.T) {
	for rule, required := range map[string]bool{"the server demands it": true, "the client demands it": false} {
		p := newPushed(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), required)
		client := p.NewClient(func(c *oauthtest.Client) {
			if !required {
				c.ClientMetadata.Extra = map[string]json.RawMessage{"require_pushed_authorization_requests": json.RawMessage("true")}
			}
		})
		body := oauthtest.AuthorizeQuery(client, "state="+strings.Repeat("x", header.MaxAddress))
		a := postedBy(p, p.User, "", body)
		assert.Contains(t, a.Query.Get("error_description"), "must be pushed", rule)
		assert.Zero(t, p.Rows(&oauthtest.PushedRequest{}), rule)

		// Nor is one that was kept before that was demanded.
		stored := &models.PushedRequestMixin{ClientID: client.ClientID, Parameters: body, ExpiresAt: p.Now.Unix() + 60}
		requestURI := "urn:ietf:params:oauth:request_uri:" + p.Server.GenerateSecret(secret.KeptRequest)
		stored.RequestURI = secret.Digest(requestURI)
		require.NoError(t, p.DB.Create(&oauthtest.PushedRequest{PushedRequestMixin: *stored}).Error)
		assert.Contains(t, p.Consent(byReference(client, requestURI)).Query.Get("error_description"), "must be pushed", rule)
		assert.Contains(t, p.Grant(byReference(client, requestURI)).Query.Get("error_description"), "must be pushed", rule)
	}
}

// Where nothing can be kept, the client is told what to do.
func TestARequestThatIsTooLong(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(nil)
	more := "state=" + strings.Repeat("x", header.MaxAddress)
	a := postedBy(p, p.User, "", oauthtest.AuthorizeQuery(client, more))
	assert.Equal(t, oauthtest.RedirectURI, a.To)
	assert.Equal(t, server.InvalidRequest, a.Query.Get("error"))
	assert.Contains(t, a.Query.Get("error_description"), "too long to be redirected by GET")
	client.ClientSource = models.ClientByRegistration
	require.NoError(t, p.DB.Save(client).Error)
	a = postedBy(p, p.User, "", oauthtest.AuthorizeQuery(client, more))
	assert.Empty(t, a.To, "a client that made itself: on a page")
	assert.Contains(t, a.Body["error_description"], "too long to be redirected by GET")
}
