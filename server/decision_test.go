package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// visitor is a browser with a session of the program, and what the program makes of its
// requests.
type visitor struct {
	*oauthtest.Provider
	user  storage.User
	serve func(w http.ResponseWriter, r *http.Request, user storage.User)
}

// carelessProgram is a program that takes every request but a GET for a decision, and reads it
// wherever it stands.
func carelessProgram(p *oauthtest.Provider) func(http.ResponseWriter, *http.Request, storage.User) {
	return func(w http.ResponseWriter, r *http.Request, user storage.User) {
		if r.Method == http.MethodGet && !r.URL.Query().Has("confirm") {
			consent, err := p.Server.GetConsentGrant(r, user)
			if err != nil {
				p.Server.WriteError(w, r, err)
				return
			}
			showDecision(w, r, consent)
			return
		}
		if user != nil && r.FormValue("confirm") == "yes" {
			p.Server.CreateAuthorizationResponse(w, r, user)
		} else {
			p.Server.CreateAuthorizationResponse(w, r, nil)
		}
	}
}

// handledProgram is a program that leaves it all to the library.
func handledProgram(p *oauthtest.Provider) func(http.ResponseWriter, *http.Request, storage.User) {
	return func(w http.ResponseWriter, r *http.Request, user storage.User) {
		p.Server.AuthorizationHandler(server.AuthorizationPages{
			User: func(*http.Request) (storage.User, error) { return user, nil },
			SignIn: func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
				http.Redirect(w, r, "/login?next="+url.QueryEscape(consent.ReturnTo), http.StatusSeeOther)
			},
			Consent: showDecision,
		})(w, r)
	}
}

// showDecision is a page with nothing on it but what its form gives back.
func showDecision(w http.ResponseWriter, _ *http.Request, consent *server.ConsentGrant) {
	w.Header().Set("Form-Action", consent.ReturnTo)
	_, _ = io.WriteString(w, string(consent.Decision))
}

func (v visitor) send(t *testing.T, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return v.Record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { v.serve(w, r, v.user) }), r)
}

// Outcomes of a request to the authorization endpoint.
const (
	granted = "granted" // a code
	denied  = "denied"  // access_denied, at the client
	page    = "page"    // shown, or the way to it
	sentOn  = "sent on" // met again by GET
	refused = "refused" // an error that the person is shown
	signIn  = "sign in"
)

func outcome(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	location, err := url.Parse(w.Header().Get("Location"))
	require.NoError(t, err)
	switch {
	case location.Query().Get("code") != "":
		return granted
	case location.Host != "" && location.Query().Get("error") == server.AccessDenied:
		return denied
	case location.Path == "/login":
		return signIn
	case w.Code == http.StatusSeeOther:
		return sentOn
	case w.Code == http.StatusOK:
		return page
	case w.Code >= http.StatusBadRequest && w.Header().Get("Location") == "":
		return refused
	default:
		return w.Result().Status + " " + location.String()
	}
}

// What is a decision of the user, and what is not, whatever the program makes of it.
func TestOnlyAPOSTFromThePageDecides(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		bob := &oauthtest.User{}
		require.NoError(t, db.Create(bob).Error)
		session := func(user storage.User, id string) storage.User {
			return server.SignedIn{User: user, Authentication: server.Authentication{SessionID: id}}
		}
		change := func(f func(*models.ClientMetadata)) func(*oauthtest.Client) {
			return func(c *oauthtest.Client) {
				f(&c.ClientMetadata)
				require.NoError(t, db.Save(c).Error)
			}
		}
		const yes, no = "confirm=yes&decision={decision}", "confirm=no&decision={decision}"
		for _, row := range []struct {
			rule     string
			shown    string                  // more of the request that the page is of
			method   string                  // POST
			more     string                  // of the request
			body     string                  // {decision} is the page's
			header   string                  // "name: value", by line
			user     storage.User            // who is signed in at the end; alice
			change   func(*oauthtest.Client) // between the page and the answer
			handled  string
			careless string // empty is the same
		}{
			{rule: "the form of the page", body: yes, handled: granted},
			{rule: "the form of the page, denied", body: no, handled: denied},
			{rule: "what is not a yes is a no", body: "confirm=YES&decision={decision}", handled: denied},
			{rule: "no button at all", body: "decision={decision}", handled: denied},
			{rule: "a browser says that it is the same origin", body: yes, header: "Sec-Fetch-Site: same-origin", handled: granted},
			{rule: "a browser says that the person did it", body: yes, header: "Sec-Fetch-Site: none", handled: granted},
			{rule: "an old browser", body: yes, header: "Origin: https://id.example\nHost: id.example", handled: granted},
			{rule: "an old browser behind a proxy that changes the host", body: yes, header: "Origin: https://id.example\nHost: backend:8080", handled: granted},
			{rule: "fields of the program's own", body: yes + "&csrf=x&scope=nothing&state=y&redirect_uri=https://evil.example", handled: granted},

			{rule: "another site", body: yes, header: "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example", handled: sentOn},
			{rule: "another site denies", body: no, header: "Sec-Fetch-Site: cross-site\nOrigin: https://evil.example", handled: sentOn},
			{rule: "another site that has the issuer's origin", body: yes, header: "Sec-Fetch-Site: cross-site\nOrigin: https://id.example", handled: sentOn},
			{rule: "another host of the site", body: yes, header: "Sec-Fetch-Site: same-site\nOrigin: https://app.id.example", handled: sentOn},
			{rule: "another site in an old browser", body: yes, header: "Origin: https://evil.example", handled: sentOn},
			{rule: "another port", body: yes, header: "Origin: https://id.example:8443\nHost: id.example", handled: sentOn},
			{rule: "a sandbox", body: yes, header: "Origin: null", handled: sentOn},

			{rule: "no field", body: "confirm=yes", handled: page, careless: sentOn},
			{rule: "no field, denied", body: "confirm=no", handled: page, careless: sentOn},
			{rule: "nothing at all", body: "", handled: page, careless: sentOn},
			{rule: "an empty field", body: "confirm=yes&decision=", handled: page, careless: sentOn},
			{rule: "half a field", body: "confirm=yes&decision={asked}", handled: page, careless: sentOn},
			{rule: "two fields", body: yes + "&decision={decision}", handled: page, careless: sentOn},
			{rule: "the field in the query", more: "&decision={decision}&confirm=yes", body: "confirm=yes", handled: page, careless: sentOn},
			{rule: "all of it in the query", more: "&decision={decision}&confirm=yes", body: "x=y", handled: page, careless: sentOn},
			{rule: "a yes in the query beside a no", more: "&confirm=yes", body: no, handled: denied},
			{rule: "by GET", method: http.MethodGet, more: "&" + yes, handled: page, careless: refused},
			{rule: "by HEAD", method: http.MethodHead, more: "&" + yes, handled: page, careless: refused},
			{rule: "by HEAD from another site", method: http.MethodHead, more: "&" + yes, header: "Sec-Fetch-Site: cross-site", handled: page, careless: refused},
			{rule: "by OPTIONS", method: http.MethodOptions, more: "&" + yes, handled: refused},
			{rule: "by PUT", method: http.MethodPut, more: "&" + yes, body: yes, handled: refused},
			{rule: "by DELETE", method: http.MethodDelete, more: "&" + yes, handled: refused},

			{rule: "alice's page after bob signed in", body: yes, user: session(bob, "s"), handled: page, careless: sentOn},
			{rule: "the page of another session", body: yes, user: session(p.User, "another"), handled: page, careless: sentOn},
			{rule: "nobody is signed in any more", body: yes, user: (*oauthtest.User)(nil), handled: signIn, careless: denied},
			{rule: "nobody is signed in any more, and no field", body: "confirm=yes", user: (*oauthtest.User)(nil), handled: signIn, careless: sentOn},
			{rule: "another request's page", shown: "&state=1", more: "&state=2", body: yes, handled: page, careless: sentOn},
			{rule: "the page of less", shown: "&scope=email", more: "&scope=email+profile", body: yes, handled: page, careless: sentOn},
			{rule: "the page of more", shown: "&scope=email+profile", more: "&scope=email", body: no, handled: page, careless: sentOn},
			{rule: "the page of another address", shown: "&redirect_uri=https://client.example/cb", more: "&redirect_uri=https://client.example/other", body: yes, handled: page, careless: sentOn},
			{rule: "the client has another address now", body: yes, change: change(func(m *models.ClientMetadata) { m.RedirectURIs = []string{"https://client.example/new"} }), handled: page, careless: sentOn},
			{rule: "the client has another name now", body: yes, change: change(func(m *models.ClientMetadata) { m.ClientName = "Another" }), handled: page, careless: sentOn},
			{rule: "the client has less scope now", shown: "&scope=email+profile", more: "&scope=email+profile", body: yes, change: change(func(m *models.ClientMetadata) { m.Scope = "email" }), handled: page, careless: sentOn},
			{rule: "the client is changed, and denied", body: no, change: change(func(m *models.ClientMetadata) { m.ClientName = "Another" }), handled: page, careless: sentOn},
			{rule: "the client is gone", body: yes, change: func(c *oauthtest.Client) { require.NoError(t, db.Delete(c).Error) }, handled: refused},
		} {
			for name, serve := range map[string]func(http.ResponseWriter, *http.Request, storage.User){"handled": handledProgram(p), "careless": carelessProgram(p)} {
				client := p.NewClient(func(c *oauthtest.Client) {
					if row.shown != "" && strings.Contains(row.shown, "redirect_uri") {
						c.ClientMetadata.RedirectURIs = []string{oauthtest.RedirectURI, "https://client.example/other"}
					}
				})
				address := "/oauth/authorize?" + oauthtest.AuthorizeQuery(client, "")
				alice := visitor{p, session(p.User, "s"), serve}
				shown := alice.send(t, http.MethodGet, address+row.shown, "")
				require.Equal(t, http.StatusOK, shown.Code, "%s: %s", row.rule, shown.Body)
				decision := shown.Body.String()
				asked, _, _ := strings.Cut(decision, ".")
				fill := strings.NewReplacer("{decision}", decision, "{asked}", asked).Replace
				if row.change != nil {
					row.change(client)
				}
				var header []string
				for line := range strings.Lines(row.header) {
					name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
					header = append(header, name, value)
				}
				answering, method, want := alice, row.method, row.handled
				if row.user != nil {
					answering.user = row.user
					if server.IsNilUser(row.user) {
						answering.user = nil
					}
				}
				if method == "" {
					method = http.MethodPost
				}
				if name == "careless" && row.careless != "" {
					want = row.careless
				}
				codes := p.Rows(&oauthtest.AuthorizationCode{})
				answer := answering.send(t, method, address+fill(row.more), fill(row.body), header...)
				assert.Equal(t, want, outcome(t, answer), "%s, %s: %d %s", row.rule, name, answer.Code, answer.Body)
				issued := p.Rows(&oauthtest.AuthorizationCode{}) - codes
				assert.Equal(t, want == granted, issued == 1, "%s, %s: %d codes", row.rule, name, issued)
				if want == sentOn {
					to, err := url.Parse(answer.Header().Get("Location"))
					require.NoError(t, err)
					assert.Equal(t, []string{"", "/oauth/authorize", client.ClientID}, []string{to.Host, to.Path, to.Query().Get("client_id")}, row.rule)
					assert.False(t, to.Query().Has("confirm") || to.Query().Has("decision"), "%s, %s: a decision travels on to %s", row.rule, name, to)
					assert.Contains(t, []string{page, signIn}, outcome(t, visitor{p, answering.user, handledProgram(p)}.send(t, http.MethodGet, to.String(), "")), "%s, %s", row.rule, name)
				}
			}
		}
	})
}

// A page that is shown again, since it has changed, is posted like the first.
func TestAPageThatHasChangedIsShownAgain(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	alice, address := visitor{p, p.User, handledProgram(p)}, "/oauth/authorize?"+oauthtest.AuthorizeQuery(client, "confirm=yes")
	first := alice.send(t, http.MethodGet, address, "")
	assert.NotContains(t, first.Header().Get("Form-Action"), "confirm", "a decision that somebody wrote into the address is not the form's")
	client.ClientMetadata.RedirectURIs = []string{"https://client.example/new"}
	require.NoError(t, db.Save(client).Error)
	second := alice.send(t, http.MethodPost, first.Header().Get("Form-Action"), "confirm=yes&decision="+first.Body.String())
	require.Equal(t, page, outcome(t, second))
	assert.NotEqual(t, first.Body.String(), second.Body.String())
	third := alice.send(t, http.MethodPost, second.Header().Get("Form-Action"), "confirm=yes&decision="+second.Body.String())
	assert.Equal(t, granted, outcome(t, third))
	assert.True(t, strings.HasPrefix(third.Header().Get("Location"), "https://client.example/new?"), "to where the page said")
}

// The pages of the handler are not framed and not cached, and what the program has set
// stays.
func TestPagesAreNotFramed(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	address := "/oauth/authorize?" + oauthtest.AuthorizeQuery(p.NewClient(nil), "")
	shown := visitor{p, p.User, handledProgram(p)}.send(t, http.MethodGet, address, "")
	assert.Equal(t, []string{"frame-ancestors 'none'", "DENY", "no-store"}, []string{
		shown.Header().Get("Content-Security-Policy"), shown.Header().Get("X-Frame-Options"), shown.Header().Get("Cache-Control"),
	})
	w := httptest.NewRecorder()
	w.Header().Set("Content-Security-Policy", "frame-ancestors https://partner.example")
	handledProgram(p)(w, get(address), p.User)
	assert.Equal(t, "frame-ancestors https://partner.example", w.Header().Get("Content-Security-Policy"))
}

// What is missing is named at once.
func TestTheHandlerNeedsItsPages(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	assert.PanicsWithValue(t, "server: AuthorizationPages needs User, SignIn and Consent: see the README", func() {
		p.Server.AuthorizationHandler(server.AuthorizationPages{})
	})
}

// A path with two slashes would lead to another host.
func TestAPathLeadsToNoOtherHost(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	query := oauthtest.AuthorizeQuery(p.NewClient(nil), "")
	for name, serve := range map[string]func(http.ResponseWriter, *http.Request, storage.User){"handled": handledProgram(p), "careless": carelessProgram(p)} {
		for _, path := range []string{"//evil.example/authorize", "///evil.example/authorize", `/\evil.example/authorize`} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(query))
			r.URL.Path = path
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			serve(w, r, nil)
			assert.Regexp(t, `^/[^/\\]`, w.Header().Get("Location"), "%s %s", name, path)
		}
	}
}
