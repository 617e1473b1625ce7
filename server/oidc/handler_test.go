package oidc_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// pages is a program with pages that say what they are.
type pages struct {
	user     storage.User
	fails    error
	answered int
}

func (p *pages) handler(srv *server.Server) http.HandlerFunc {
	redirect := func(path string) func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {
		return func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
			http.Redirect(w, r, path+"?next="+url.QueryEscape(consent.ReturnTo), http.StatusSeeOther)
		}
	}
	return srv.AuthorizationHandler(server.AuthorizationPages{
		User: func(*http.Request) (storage.User, error) { return p.user, p.fails }, SignIn: redirect("/login"), SelectAccount: redirect("/accounts"),
		Consent: func(w http.ResponseWriter, _ *http.Request, consent *server.ConsentGrant) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, string(consent.Decision))
		},
		Answering: func(*http.Request) { p.answered++ },
	})
}

// Each thing that a page could forget is the handler's business.
func TestAuthorizationHandler(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	require.NoError(t, p.Server.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](p.DB)}))
	known, unknown, registered := p.client(), p.client(), p.by(models.ClientByRegistration)
	p.authorize(known)
	authorize := func(client *oauthtest.Client, more ...string) string {
		return "/oauth/authorize?" + query(client, more...)
	}
	returned := func(address string) storage.User {
		alice := p.alice()
		alice.Authentication.ReturnTo, alice.Authentication.ReturnedAt = address, p.Now.Unix()
		return alice
	}
	chosen := func(address string) storage.User {
		alice := p.alice()
		alice.Authentication.AccountChosenFor, alice.Authentication.AccountChosenAt = address, p.Now.Unix()
		return alice
	}
	bob := &oauthtest.User{}
	require.NoError(t, p.DB.Create(bob).Error)
	hint := p.signIn(known)["id_token"]
	asBob := func(string) storage.User { return server.SignedIn{User: bob, Authentication: p.how} }
	bobReturned := func(address string) storage.User {
		return server.SignedIn{User: bob, Authentication: returned(address).(server.SignedIn).Authentication}
	}
	timeless := func(address string) storage.User {
		alice := returned(address).(server.SignedIn)
		alice.Authentication.Time = 0
		return alice
	}
	var nobody *oauthtest.User
	for _, row := range []struct {
		rule    string
		user    func(address string) storage.User // nil is alice
		method  string                            // GET
		address string
		body    string
		status  int
		to      string // where it leads, without its query
		code    bool   // whether the client gets one
		error   string // what it gets in its place
		over    bool   // whether that ends what a user signed in for
	}{
		{rule: "a page", address: authorize(unknown), status: 200},
		{rule: "nobody is signed in", user: func(string) storage.User { return nil }, address: authorize(unknown), status: 303, to: "/login"},
		{rule: "a nil pointer is nobody", user: func(string) storage.User { return nobody }, address: authorize(known), status: 303, to: "/login"},
		{rule: "allowed before", address: authorize(known), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "allowed before, and looked at by HEAD", method: http.MethodHead, address: authorize(known), status: 200},
		{rule: "allowed before, and asked for again", address: authorize(known, "prompt=consent"), status: 200},
		{rule: "allowed before, by a form of the client's", method: http.MethodPost, address: "/oauth/authorize", body: query(known), status: 303, to: "/oauth/authorize"},
		{rule: "allowed before, and posted from an older page", method: http.MethodPost, address: authorize(known), body: "confirm=no&decision=x", status: 200},
		{rule: "a form of the client's, and nobody is signed in", user: func(string) storage.User { return nil }, method: http.MethodPost, address: "/oauth/authorize", body: query(unknown), status: 303, to: "/oauth/authorize"},

		{rule: "prompt login", address: authorize(known, "prompt=login"), status: 303, to: "/login"},
		{rule: "prompt login, after it", user: returned, address: authorize(known, "prompt=login"), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "prompt login, after choosing an account", user: chosen, address: authorize(known, "prompt=login"), status: 303, to: "/login"},
		{rule: "prompt select_account", address: authorize(known, "prompt=select_account"), status: 303, to: "/accounts"},
		{rule: "prompt select_account, after it", user: chosen, address: authorize(known, "prompt=select_account"), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "prompt select_account, after a sign-in", user: returned, address: authorize(known, "prompt=select_account"), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "max_age", address: authorize(known, "max_age=1"), status: 303, to: "/login"},
		{rule: "max_age, after choosing an account", user: chosen, address: authorize(known, "max_age=1"), status: 303, to: "/login"},

		{rule: "max_age 0", address: authorize(known, "max_age=0"), status: 303, to: "/login"},
		{rule: "max_age 0, after it", user: returned, address: authorize(known, "max_age=0"), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "a hint of somebody else", user: asBob, address: authorize(known, "id_token_hint="+hint), status: 303, to: "/login"},
		{rule: "a hint of somebody else, after a sign-in", user: bobReturned, address: authorize(known, "id_token_hint="+hint), status: 302, to: oauthtest.RedirectURI, error: server.LoginRequired, over: true},
		{rule: "a claim of somebody else, after a sign-in", user: returned, address: authorize(known, `claims={"id_token":{"sub":{"value":"99"}}}`), status: 302, to: oauthtest.RedirectURI, error: server.LoginRequired, over: true},
		{rule: "the same of a client that made itself", user: returned, address: authorize(registered, `claims={"id_token":{"sub":{"value":"99"}}}`), status: 400, over: true},
		{rule: "an acr that nobody reaches, after a sign-in", user: returned, address: authorize(known, `claims={"id_token":{"acr":{"essential":true,"value":"x"}}}`), status: 302, to: oauthtest.RedirectURI, error: server.UnmetAuthenticationRequirements, over: true},
		{rule: "max_age, after a sign-in of which nobody knows when", user: timeless, address: authorize(known, "max_age=60"), status: 302, to: oauthtest.RedirectURI, error: server.UnmetAuthenticationRequirements, over: true},

		{rule: "prompt none", address: authorize(known, "prompt=none"), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "prompt none, and acr_values", address: authorize(known, "prompt=none", "acr_values=nothing"), status: 302, to: oauthtest.RedirectURI, code: true},
		{rule: "prompt none, by nobody", user: func(string) storage.User { return nil }, address: authorize(known, "prompt=none"), status: 302, to: oauthtest.RedirectURI, error: server.LoginRequired},
		{rule: "prompt none, and no consent", address: authorize(unknown, "prompt=none"), status: 302, to: oauthtest.RedirectURI, error: server.ConsentRequired},
		{rule: "prompt none, of a client that made itself", address: authorize(registered, "prompt=none"), status: 302, to: oauthtest.RedirectURI, error: server.ConsentRequired},
		{rule: "prompt none, and no consent, from a form", method: http.MethodPost, address: authorize(unknown, "prompt=none"), body: "confirm=yes", status: 302, to: oauthtest.RedirectURI, error: server.ConsentRequired},
		{rule: "prompt none, from a form of the client's", method: http.MethodPost, address: "/oauth/authorize", body: query(known, "prompt=none"), status: 303, to: "/oauth/authorize"},
		{rule: "an error for the client", address: authorize(known, "scope=admin"), status: 302, to: oauthtest.RedirectURI, error: server.InvalidScope},
		{rule: "an error of a client that made itself", address: authorize(registered, "scope=admin"), status: 400},
		{rule: "an error for the person", address: authorize(known, "redirect_uri=https://evil.example/"), status: 400},
	} {
		program := &pages{user: p.alice()}
		if row.user != nil {
			program.user = row.user(row.address)
		}
		method := row.method
		if method == "" {
			method = http.MethodGet
		}
		r := httptest.NewRequestWithContext(t.Context(), method, row.address, strings.NewReader(row.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := p.Record(http.HandlerFunc(program.handler(p.Server)), r)
		location, err := url.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		params := location.Query()
		location.RawQuery = ""
		assert.Equal(t, []any{row.status, row.to, row.code, row.error}, []any{w.Code, location.String(), params.Has("code"), params.Get("error")}, "%s: %s %s", row.rule, location, w.Body)
		assert.Equal(t, row.code || row.over, program.answered == 1, "%s: the program forgets for what its user has returned", row.rule)
		if strings.Contains(row.address+row.body, "prompt=none") {
			assert.NotContains(t, w.Header().Get("Content-Type"), "html", "%s: nothing is shown", row.rule)
		}
		if to := params.Get("next"); to != "" {
			assert.Equal(t, row.address, to, row.rule)
		}
	}

	failing := &pages{fails: errors.New("no session storage")}
	w := p.Record(http.HandlerFunc(failing.handler(p.Server)), httptest.NewRequestWithContext(t.Context(), http.MethodGet, authorize(known), http.NoBody))
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.NotContains(t, w.Body.String(), "no session storage")
}
