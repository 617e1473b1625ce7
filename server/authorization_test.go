package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// An authorization request is answered in one of three ways: with a page to
// ask the user, to the client's redirect URI, or to the person alone.
func TestAuthorizationRequest(t *testing.T) {
	const (
		page  = "page"
		local = "local"
	)
	valid := "code_challenge=" + oauthtest.Challenge + "&code_challenge_method=S256"
	redirect := func(uri string) func(*oauthtest.Client) {
		return func(c *oauthtest.Client) { c.ClientMetadata.RedirectURIs = strings.Fields(uri) }
	}
	rows := []struct {
		rule   string
		client func(*oauthtest.Client)
		query  string // {id} is the client's
		to     string // page, local or a redirect URI
		code   string
	}{
		{"a valid request is shown to the user", nil, "response_type=code&client_id={id}&" + valid, page, ""},
		{"parameters without a value count as absent", nil, "response_type=code&client_id={id}&scope=&state=&redirect_uri=&" + valid, page, ""},
		{"unknown parameters are ignored", nil, "response_type=code&client_id={id}&what=ever&" + valid, page, ""},

		{"client_id is needed", nil, "response_type=code", local, "invalid_client"},
		{"the client must exist", nil, "response_type=code&client_id=nobody&redirect_uri=https://evil.example", local, "invalid_client"},
		{"client ids are case-sensitive", func(c *oauthtest.Client) { c.ClientID = "AbC" }, "response_type=code&client_id=abc", local, "invalid_client"},

		{"a registered redirect URI is used", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb&" + valid, page, ""},
		{"another host is refused here", nil, "response_type=code&client_id={id}&redirect_uri=https://evil.example/cb&" + valid, local, "invalid_request"},
		{"a longer path is refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb/x&" + valid, local, "invalid_request"},
		{"an added query is refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb%3Fx=1&" + valid, local, "invalid_request"},
		{"an added fragment is refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb%23x&" + valid, local, "invalid_request"},
		{"a user name is refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example@evil.example/cb&" + valid, local, "invalid_request"},
		{"another port is refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example:8443/cb&" + valid, local, "invalid_request"},
		{"other letters are refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/CB&" + valid, local, "invalid_request"},
		{"dot segments are refused", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/x/../cb&" + valid, local, "invalid_request"},
		{"a loopback address may have any port", redirect("http://127.0.0.1/cb"), "response_type=code&client_id={id}&redirect_uri=http://127.0.0.1:50123/cb&" + valid, page, ""},
		{"also the IPv6 one", redirect("http://[::1]:1/cb"), "response_type=code&client_id={id}&redirect_uri=http://[::1]:50123/cb&" + valid, page, ""},
		{"but no other path", redirect("http://127.0.0.1/cb"), "response_type=code&client_id={id}&redirect_uri=http://127.0.0.1:50123/evil&" + valid, local, "invalid_request"},
		{"localhost is one, too", redirect("http://localhost:3000/cb"), "response_type=code&client_id={id}&redirect_uri=http://localhost:50123/cb&" + valid, page, ""},
		{"over https the port counts there, too", redirect("https://127.0.0.1/cb"), "response_type=code&client_id={id}&redirect_uri=https://127.0.0.1:50123/cb&" + valid, local, "invalid_request"},
		{"a private-use scheme is fine", redirect("com.example.app:/cb"), "response_type=code&client_id={id}&redirect_uri=com.example.app:/cb&" + valid, page, ""},
		{"a script is never registered", nil, "response_type=code&client_id={id}&redirect_uri=javascript:alert(1)&" + valid, local, "invalid_request"},
		{"a backslash is no slash", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example%5C@evil.example/cb&" + valid, local, "invalid_request"},
		{"an encoded letter is another one", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/%2563b&" + valid, local, "invalid_request"},
		{"what is no URI is refused", nil, "response_type=code&client_id={id}&redirect_uri=:::&" + valid, local, "invalid_request"},
		{"so is a line break", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb%0d%0aX:y&" + valid, local, "invalid_request"},
		{"and a NUL", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb%00&" + valid, local, "invalid_request"},
		{"without one, the only registered is used", nil, "response_type=code&client_id={id}&" + valid, page, ""},
		{"without one, two registered are refused", redirect("https://a.example https://b.example"), "response_type=code&client_id={id}&" + valid, local, "invalid_request"},

		{"response_type is needed", nil, "client_id={id}&" + valid, oauthtest.RedirectURI, "invalid_request"},
		{"every word of it counts", nil, "response_type=code+token&client_id={id}&redirect_uri=https://client.example/cb&" + valid, "fragment", "unsupported_response_type"},
		{"the response type must exist", nil, "response_type=magic&client_id={id}&" + valid, oauthtest.RedirectURI, "unsupported_response_type"},
		{"the client must be registered for it", oauthtest.Grants("refresh_token"), "response_type=code&client_id={id}&redirect_uri=https://client.example/cb&" + valid, oauthtest.RedirectURI, "unauthorized_client"},
		{"a scope of the client is fine", nil, "response_type=code&client_id={id}&scope=email+profile&" + valid, page, ""},
		{"another is left out", nil, "response_type=code&client_id={id}&scope=profile+admin&" + valid, page, ""},
		{"if nothing is left the request is refused", nil, "response_type=code&client_id={id}&scope=admin&" + valid, oauthtest.RedirectURI, "invalid_scope"},
		{"a scope has no quotes", nil, "response_type=code&client_id={id}&scope=%22&" + valid, oauthtest.RedirectURI, "invalid_scope"},
		{"an empty scope may be refused", func(c *oauthtest.Client) { c.RefuseEmpty = true }, "response_type=code&client_id={id}&" + valid, oauthtest.RedirectURI, "invalid_scope"},

		{"a parameter comes once", nil, "response_type=code&client_id={id}&response_type=code&" + valid, local, "invalid_request"},
		{"also with another value", nil, "response_type=code&client_id={id}&redirect_uri=https://client.example/cb&redirect_uri=https://evil.example&" + valid, local, "invalid_request"},
		{"text is UTF-8", nil, "response_type=code&client_id=%ff", local, "invalid_request"},
		{"text has no NUL", nil, "response_type=code&client_id=a%00b", local, "invalid_request"},
		{"a broken escape is refused", nil, "response_type=code&client_id=%zz", local, "invalid_request"},
		{"a semicolon separates nothing", nil, "response_type=code;client_id={id}", local, "invalid_request"},
		{"a query has a limit", nil, "response_type=code&client_id={id}&x=" + strings.Repeat("x", 70000), local, "invalid_request"},
		{"so has the number of parameters", nil, "response_type=code&client_id={id}&" + numbered(200), local, "invalid_request"},
	}
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				p.T = t
				client := p.NewClient(func(c *oauthtest.Client) {
					c.ClientID = ""
					if row.client != nil {
						row.client(c)
					}
				})
				t.Cleanup(func() { db.Delete(client) })
				query := strings.ReplaceAll(row.query, "{id}", client.ClientID) + "&state=xyz"
				for i, a := range []oauthtest.Answer{p.Consent(query), p.Decide(query, "", nil)} {
					switch row.to {
					case page: // the second request is a denial
						if i == 1 {
							assert.Equal(t, "access_denied", a.Params()["error"], a.Raw)
							continue
						}
						assert.Equal(t, http.StatusOK, a.Status, a.Raw)
						assert.Empty(t, a.To)
					case local:
						assert.Equal(t, http.StatusBadRequest, a.Status)
						assert.Empty(t, a.To, "never to a URI that was not validated")
						assert.Equal(t, row.code, a.Body["error"], a.Raw)
						assert.NotEmpty(t, a.Body["error_description"])
					default:
						uri, params := row.to, a.Query
						if row.to == "fragment" {
							uri, params = oauthtest.RedirectURI, a.Fragment
						}
						assert.Equal(t, http.StatusFound, a.Status)
						assert.Equal(t, uri, a.To)
						assert.True(t, params.Has("error"), "where the response type has its answer")
						assert.Equal(t, row.code, a.Params()["error"])
						assert.NotEmpty(t, a.Params()["error_description"])
						assert.Equal(t, "xyz", a.Params()["state"])
						assert.Equal(t, oauthtest.Issuer, a.Params()["iss"])
					}
				}
			})
		}
	})
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&p" + strings.Repeat("x", i) + "=1")
	}
	return b.String()[1:]
}

func TestAuthorizationResponse(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(func(c *oauthtest.Client) {
			c.ClientMetadata.RedirectURIs = []string{"https://client.example/cb?tenant=1"}
		})
		state := `a b&c=d"<>é`
		query := oauthtest.AuthorizeQuery(client, "scope=profile&state="+url.QueryEscape(state))

		a := p.Grant(query)
		assert.Equal(t, http.StatusFound, a.Status)
		assert.Equal(t, "https://client.example/cb", a.To)
		assert.Equal(t, "1", a.Query.Get("tenant"), "the query of the redirect URI is kept")
		assert.NotEmpty(t, a.Query.Get("code"))
		assert.Equal(t, state, a.Query.Get("state"), "state comes back as it was")
		assert.Equal(t, oauthtest.Issuer, a.Query.Get("iss"), "RFC 9207")
		assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))

		var nobody *oauthtest.User
		for rule, user := range map[string]storage.User{"a bare nil": nil, "a nil pointer": nobody} {
			a = p.Decide(query, "confirm=no", user)
			assert.Equal(t, "access_denied", a.Query.Get("error"), "%s is a denial", rule)
			assert.Empty(t, a.Query.Get("code"), rule)
			assert.Equal(t, state, a.Query.Get("state"), rule)
			assert.Equal(t, oauthtest.Issuer, a.Query.Get("iss"), rule)
		}

		a = p.Send(http.MethodPost, "", query+"&confirm=yes", p.User)
		assert.Equal(t, http.StatusSeeOther, a.Status, "the parameters may come in the body, and travel on")
		a = p.Send(http.MethodPost, query, "client_id="+client.ClientID, p.User)
		assert.Equal(t, "invalid_request", a.Body["error"], "but not in both")

		p.User.Disabled = true
		require.NoError(t, db.Save(p.User).Error)
		assert.Equal(t, "access_denied", p.Grant(query).Query.Get("error"), "a disabled user grants nothing")
		assert.Equal(t, "access_denied", p.Decide(query, "", storage.UserID("4711")).Query.Get("error"), "nor does one who is gone")
	})
}

func TestARenderedErrorIsForThePersonAlone(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.RenderError = func(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
			w.WriteHeader(page.Error.Status)
			_, _ = w.Write([]byte("<p>" + page.Description))
		}
	})
	client := p.NewClient(nil)
	a := p.Consent("client_id=nobody")
	assert.Equal(t, "<p>There is no such client.", a.Raw)
	assert.Equal(t, http.StatusBadRequest, a.Status)
	assert.Equal(t, oauthtest.RedirectURI, p.Consent("client_id="+client.ClientID).To, "what goes to the client does not change")
	assert.Equal(t, "invalid_request", p.Token(client, "").Body["error"], "nor does the token endpoint")
}

// What is sent with an error is sent with a page of the program's own, too.
func TestARenderedErrorHasItsHeaders(t *testing.T) {
	for status, failure := range map[int]error{
		http.StatusTooManyRequests: server.TooManyRequests(2*time.Minute, "Later."), http.StatusServiceUnavailable: fmt.Errorf("query: %w", storage.ErrUnavailable),
	} {
		db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
		p := oauthtest.New(t, db, func(c *server.Config) {
			c.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, failure }
			c.RenderError = func(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
				assert.NotEmpty(t, w.Header().Get("Retry-After"), "the page may show it")
				w.WriteHeader(page.Error.Status)
			}
		})
		a := p.Consent("response_type=code&client_id=x")
		assert.Equal(t, status, a.Status)
		assert.Equal(t, server.AsError(failure).Header.Get("Retry-After"), a.Header.Get("Retry-After"))
		assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	}
}

func TestErrorURIs(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.ErrorURIs = map[string]string{"invalid_scope": "https://docs.example/#invalid_scope"}
	})
	client := p.NewClient(nil)
	assert.Equal(t, "https://docs.example/#invalid_scope", p.Grant(oauthtest.AuthorizeQuery(client, "scope=x")).Query.Get("error_uri"))
	_, has := p.Consent("client_id=nobody").Body["error_uri"]
	assert.False(t, has, "a code without a page has none")
}

func TestScopesOfTheServer(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.ScopesSupported = []string{"profile"} })
	client := p.NewClient(nil)
	assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(client, "scope=profile")).Status)
	a := p.Consent(oauthtest.AuthorizeQuery(client, "scope=email"))
	assert.Equal(t, "invalid_scope", a.Query.Get("error"))
	assert.Equal(t, "The client cannot have the scope 'email': the server does not know it, or the client is not registered for it.", a.Query.Get("error_description"))
}
