package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// by is a client that came about in some way.
func (p *provider) by(source string, more ...any) *oauthtest.Client {
	p.T.Helper()
	client := p.client(more...)
	client.ClientSource = source
	require.NoError(p.T, p.DB.Save(client).Error)
	return client
}

// Nobody is sent to a client that registered itself, or came by a document, before a
// person has signed in and decided (RFC 9700 section 4.11.2).
func TestNobodyIsLedToAClientThatMadeItself(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		bob := &oauthtest.User{Disabled: true}
		require.NoError(t, db.Create(bob).Error)
		disabled := server.SignedIn{User: bob, Authentication: p.how}
		type answer struct {
			status         int
			location, body string
		}
		get := func(query string, user storage.User) answer {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+query, http.NoBody)
			w := p.Record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := p.Server.GetConsentGrant(r, user); err != nil {
					p.Server.WriteError(w, r, err)
				}
			}), r)
			return answer{w.Code, w.Header().Get("Location"), w.Body.String()}
		}
		post := func(query string, user storage.User) answer {
			a := p.Send(http.MethodPost, query, "confirm=yes", user)
			return answer{a.Status, a.Header.Get("Location"), a.Raw}
		}
		decide := func(granting storage.User) func(string, storage.User) answer {
			return func(query string, _ storage.User) answer {
				a := p.Decide(query, "confirm=yes", granting)
				return answer{a.Status, a.Header.Get("Location"), a.Raw}
			}
		}
		const forged = "id_token_hint=x.y.z"
		for _, row := range []struct {
			rule string
			ask  func(query string, user storage.User) answer
			user storage.User
			more []string
			goes bool // also to a client that made itself
		}{
			{"an unknown response type, to nobody", get, nil, []string{"response_type=magic"}, false},
			{"an unknown response type", get, p.alice(), []string{"response_type=magic"}, false},
			{"no scope that is left", get, nil, []string{"scope=admin"}, false},
			{"a challenge that is none", get, p.alice(), []string{"code_challenge=x"}, false},
			{"a request object", get, p.alice(), []string{"request=x"}, false},
			{"a response mode that there is not", get, p.alice(), []string{"response_mode=pigeon"}, false},
			{"what goes into the fragment", get, p.alice(), []string{"response_type=id_token token", "nonce="}, false},
			{"a hint that is none", get, p.alice(), []string{forged}, false},
			{"a hint that is none, to nobody", get, nil, []string{forged}, false},
			{"a prompt that is none", get, p.alice(), []string{"prompt=dance"}, false},
			{"the program takes it for a decision", post, p.alice(), []string{"scope=admin"}, false},
			{"and a hint that is none", post, p.alice(), []string{forged}, false},

			{"prompt none, and nobody is signed in", get, nil, []string{"prompt=none"}, true},
			{"prompt none, and nobody has consented", get, p.alice(), []string{"prompt=none"}, true},
			{"prompt none, and an error", get, nil, []string{"prompt=none", "scope=admin"}, true},
			{"prompt none, and an unknown response type", get, nil, []string{"prompt=none", "response_type=magic"}, true},
			{"prompt none beside another", get, nil, []string{"prompt=none login"}, true},
			{"prompt none, and the program takes it for a decision", post, p.alice(), []string{"prompt=none"}, true},

			{"the user allows it", decide(p.alice()), nil, nil, true},
			{"the user denies it", decide(nil), nil, nil, true},
			{"the user allows it, and may not", decide(disabled), nil, nil, true},
			{"the user allows it, and has not signed in for it", decide(p.alice()), nil, []string{"prompt=login"}, true},
		} {
			for _, source := range []string{"", models.ClientByHand, models.ClientByRegistration, models.ClientByDocument} {
				client := p.by(source)
				goes := row.goes || source == "" || source == models.ClientByHand
				a := row.ask(query(client, row.more...), row.user)
				assert.Equal(t, goes, strings.HasPrefix(a.location, oauthtest.RedirectURI), "%s, by %q: %+v", row.rule, source, a)
				if !goes {
					assert.Equal(t, http.StatusBadRequest, a.status, "%s, by %q", row.rule, source)
					assert.Empty(t, a.location)
				}
			}
		}

		// What was allowed before goes on without a page; an error still does not.
		require.NoError(t, p.Server.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)}))
		client := p.by(models.ClientByRegistration)
		p.authorize(client)
		again := p.Send(http.MethodGet, query(client), "", p.alice())
		assert.NotEmpty(t, again.Query.Get("code"))
		assert.Empty(t, p.Send(http.MethodGet, query(client, "scope=admin"), "", p.alice()).To)
	})
}

// The page of an error can lead to the client: by a click, and naming it.
func TestAWayBackToTheClient(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client, trusted := p.by(models.ClientByDocument), p.by(models.ClientByHand)
	open := func(target string, accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+target, http.NoBody)
		r.Header.Set("Accept", accept)
		return p.Record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := p.Server.GetConsentGrant(r, nil)
			p.Server.WriteError(w, r, err)
		}), r)
	}
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	page := open(query(client, "scope=admin"), browser)
	assert.Equal(t, http.StatusBadRequest, page.Code)
	assert.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	assert.Contains(t, page.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")
	assert.Contains(t, page.Body.String(), `<a href="https://client.example/cb?error=invalid_scope&amp;`)
	assert.Contains(t, page.Body.String(), "Back to client.example")
	assert.Contains(t, page.Body.String(), "state=the&#43;state")
	for rule, more := range map[string][]string{
		"no address of the client's": {"redirect_uri=https://evil.example/"}, "what would have to be posted": {"scope=admin", "response_mode=form_post"},
	} {
		w := open(query(client, more...), browser)
		assert.Equal(t, http.StatusBadRequest, w.Code, rule)
		assert.NotContains(t, w.Body.String(), "<a ", rule)
	}
	assert.Equal(t, "application/json", open(query(client, "scope=admin"), "application/json").Header().Get("Content-Type"), "for what is no browser")
	assert.Equal(t, http.StatusFound, open(query(trusted, "scope=admin"), browser).Code)

	// A page of the program's own knows where that is.
	var shown server.ErrorPage
	with := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.RenderError = func(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
			shown = page
			w.WriteHeader(page.Error.Status)
		}
	})
	registered := with.NewClient(nil)
	registered.ClientSource = models.ClientByRegistration
	require.NoError(t, with.DB.Save(registered).Error)
	with.Consent(oauthtest.AuthorizeQuery(registered, "scope=admin&state=s"))
	back, err := url.Parse(shown.WayBack)
	require.NoError(t, err)
	assert.Equal(t, []string{"client.example", "invalid_scope", "s", oauthtest.Issuer}, []string{back.Host, back.Query().Get("error"), back.Query().Get("state"), back.Query().Get("iss")})
	with.Consent("client_id=nobody")
	assert.Empty(t, shown.WayBack)
}
