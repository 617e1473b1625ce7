package oidc_test

import (
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
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Each rule of OpenID Connect Core sections 3.1.2.1 to 3.1.2.6, and of the front
// channel's 3.2.2.1 and 3.3.2.1, that names an error.
func TestErrorsOfAuthorizationRequests(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client, codeOnly := p.client(), p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.Scope = scope })
		plain := p.NewClient(nil)
		bob := &oauthtest.User{}
		require.NoError(t, db.Create(bob).Error)
		justNow := p.alice()
		justNow.Authentication.Time = p.Now.Unix()
		idToken := p.signIn(client)["id_token"]
		theirs := p.signIn(p.client())["id_token"]
		forged := idToken[:len(idToken)-6] + "AAAAAA"
		for _, row := range []struct {
			rule   string
			client *oauthtest.Client
			user   storage.User
			more   []string
			error  string
		}{
			{"no response_type", client, p.alice(), []string{"response_type="}, "invalid_request"},
			{"an unknown response_type", client, p.alice(), []string{"response_type=code magic"}, "unsupported_response_type"},
			{"a response_type that the client has not registered", codeOnly, p.alice(), []string{"response_type=id_token"}, "unauthorized_client"},
			{"a hybrid one that the client has not registered", codeOnly, p.alice(), []string{"response_type=code id_token"}, "unauthorized_client"},
			{"no redirect_uri", client, p.alice(), []string{"redirect_uri="}, "invalid_request"},
			{"an ID token without the scope openid", client, p.alice(), []string{"response_type=id_token", "scope=profile"}, "invalid_scope"},
			{"the same beside a code", client, p.alice(), []string{"response_type=code id_token", "scope=profile"}, "invalid_scope"},
			{"a scope that the client has not registered is left out", client, p.alice(), []string{"scope=openid admin"}, ""},
			{"nothing but such a scope", client, p.alice(), []string{"scope=admin"}, "invalid_scope"},
			{"openid is not left out", plain, p.alice(), []string{"scope=openid profile"}, "invalid_scope"},
			{"no nonce for an ID token of the front channel", client, p.alice(), []string{"response_type=id_token", "nonce="}, "invalid_request"},
			{"no nonce beside an access token", client, p.alice(), []string{"response_type=id_token token", "nonce="}, "invalid_request"},
			{"no nonce beside a code", client, p.alice(), []string{"response_type=code id_token", "nonce="}, "invalid_request"},
			{"a code and an access token need none", client, p.alice(), []string{"response_type=code token", "nonce="}, ""},
			{"nor does a code", client, p.alice(), []string{"nonce="}, ""},
			{"an unknown prompt", client, p.alice(), []string{"prompt=dance"}, "invalid_request"},
			{"prompt none with another", client, p.alice(), []string{"prompt=none login"}, "invalid_request"},
			{"prompt none and nobody signed in", client, nil, []string{"prompt=none"}, "login_required"},
			{"prompt none and no consent", client, p.alice(), []string{"prompt=none"}, "consent_required"},
			{"prompt none and too long ago", client, p.alice(), []string{"prompt=none", "max_age=10"}, "login_required"},
			{"prompt none and not strong enough", client, p.alice(), []string{"prompt=none", "acr_values=phrh"}, "consent_required"},
			{"prompt none and somebody else's hint", client, server.SignedIn{User: bob, Authentication: p.how}, []string{"prompt=none", "id_token_hint=" + idToken}, "login_required"},
			{"prompt none and an acr that is essential", client, p.alice(), []string{"prompt=none", `claims={"id_token":{"acr":{"essential":true,"value":"x"}}}`}, "login_required"},
			{"prompt none and max_age 0, in the second of the sign-in", client, justNow, []string{"prompt=none", "max_age=0"}, "login_required"},
			{"max_age that is no number", client, p.alice(), []string{"max_age=soon"}, "invalid_request"},
			{"an unknown display", client, p.alice(), []string{"display=hologram"}, "invalid_request"},
			{"claims that are no JSON", client, p.alice(), []string{"claims={"}, "invalid_request"},
			{"claims that are no object", client, p.alice(), []string{"claims=null"}, "invalid_request"},
			{"claims of another shape", client, p.alice(), []string{`claims={"userinfo":["email"]}`}, "invalid_request"},
			{"too many claims", client, p.alice(), []string{`claims={"userinfo":{` + manyClaims() + `}}`}, "invalid_request"},
			{"a hint that is no ID token", client, p.alice(), []string{"id_token_hint=x.y.z"}, "invalid_request"},
			{"a hint that somebody changed", client, p.alice(), []string{"id_token_hint=" + forged}, "invalid_request"},
			{"a hint of another client", client, p.alice(), []string{"id_token_hint=" + theirs}, "invalid_request"},
			{"a request object where there are none", client, p.alice(), []string{"request=x"}, "request_not_supported"},
			{"a request_uri where there are none", client, p.alice(), []string{"request_uri=https://client.example/request"}, "request_uri_not_supported"},
			{"a registration in the request", client, p.alice(), []string{`registration={}`}, "registration_not_supported"},
			{"a page", client, p.alice(), []string{"display=page"}, ""},
			{"a popup", client, p.alice(), []string{"display=popup"}, ""},
			{"what nobody knows is ignored", client, p.alice(), []string{"extra=1", "ui_locales=xx", "claims_locales=xx", "login_hint=alice"}, ""},
		} {
			_, failure := p.ask(row.user, query(row.client, row.more...))
			assert.Equal(t, row.error, failure, row.rule)
		}
		for rule, more := range map[string]string{"another redirect_uri": "redirect_uri=https://attacker.example/", "no client": "client_id=nobody"} {
			_, failure := p.ask(p.alice(), query(client, more))
			assert.Contains(t, failure, "error_description", "%s: shown here, and sent to nobody", rule)
		}
	})
}

func manyClaims() string {
	names := make([]string, 200)
	for i := range names {
		names[i] = `"c` + strings.Repeat("x", i) + `":null`
	}
	return strings.Join(names, ",")
}

// What the page has to do, and that a page which forgets it gets nothing (OpenID
// Connect Core section 3.1.2.3).
func TestInteractions(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		require.NoError(t, p.Server.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)}))
		client, timed := p.client(), p.client("default_max_age", 20, "default_acr_values", []string{"phr"})
		strong, never := p.client("default_acr_values", []string{"phrh"}), p.client("default_max_age", 0)
		bob := &oauthtest.User{}
		require.NoError(t, db.Create(bob).Error)
		for _, c := range []*oauthtest.Client{client, timed, strong, never} {
			returned := p.alice()
			returned.Authentication.ReturnTo, returned.Authentication.ReturnedAt, returned.Authentication.Time = "/oauth/authorize?"+query(c), p.Now.Unix(), p.Now.Unix()
			require.NotEmpty(t, p.Decide(query(c), "", returned).Query.Get("code"), "all of them were consented to once")
		}
		idToken := p.signIn(client)["id_token"]
		justNow := p.alice()
		justNow.Authentication.Time = p.Now.Unix()
		const ended server.Interaction = -1 // by an error for the client
		const essential = `claims={"id_token":{"acr":{"essential":true,"values":["phrh","x"]}}}`
		for _, row := range []struct {
			rule string
			user storage.User
			// returned is whether the user has come back from what the page sent them to.
			client   *oauthtest.Client
			more     []string
			want     server.Interaction
			returned server.Interaction
			decided  string
		}{
			{"nobody signed in", nil, client, nil, server.SignIn, server.SignIn, "access_denied"},
			{"nobody signed in, and a claim", nil, client, []string{`claims={"id_token":{"sub":{"value":"x"}}}`}, server.SignIn, server.SignIn, "access_denied"},
			{"agreed before", p.alice(), client, nil, server.NoInteraction, server.NoInteraction, ""},
			{"agreed before, and nobody may be asked", p.alice(), client, []string{"prompt=none"}, server.NoInteraction, server.NoInteraction, ""},
			{"prompt login", p.alice(), client, []string{"prompt=login"}, server.SignIn, server.NoInteraction, "login_required"},
			{"prompt consent", p.alice(), client, []string{"prompt=consent"}, server.AskConsent, server.AskConsent, ""},
			{"prompt login consent", p.alice(), client, []string{"prompt=login consent"}, server.SignIn, server.AskConsent, "login_required"},
			{"prompt select_account", p.alice(), client, []string{"prompt=select_account"}, server.SelectAccount, server.NoInteraction, "account_selection_required"},
			{"prompt select_account and nobody signed in", nil, client, []string{"prompt=select_account"}, server.SignIn, server.SignIn, "access_denied"},
			{"max_age", p.alice(), client, []string{"max_age=29"}, server.SignIn, server.NoInteraction, ""},
			{"max_age 0 is prompt login", p.alice(), client, []string{"max_age=0"}, server.SignIn, server.NoInteraction, "login_required"},
			{"max_age 0 in the second of the sign-in", justNow, client, []string{"max_age=0"}, server.SignIn, server.NoInteraction, "login_required"},
			{"default_max_age 0", justNow, never, nil, server.SignIn, server.NoInteraction, "login_required"},
			{"max_age 1 in that second", justNow, client, []string{"max_age=1"}, server.NoInteraction, server.NoInteraction, ""},
			{"max_age that is long enough", p.alice(), client, []string{"max_age=30"}, server.NoInteraction, server.NoInteraction, ""},
			{"default_max_age", p.alice(), timed, nil, server.SignIn, server.NoInteraction, ""},
			{"max_age before its default", p.alice(), timed, []string{"max_age=100"}, server.NoInteraction, server.NoInteraction, ""},
			{"default_acr_values", p.alice(), strong, nil, server.SignIn, server.NoInteraction, ""},
			{"acr_values before their default", p.alice(), strong, []string{"acr_values=phr"}, server.NoInteraction, server.NoInteraction, ""},
			{"acr_values are voluntary", p.alice(), client, []string{"acr_values=phrh"}, server.SignIn, server.NoInteraction, ""},
			{"acr_values, and nobody may be asked", p.alice(), client, []string{"acr_values=phrh", "prompt=none"}, server.NoInteraction, server.NoInteraction, ""},
			{"the hint's user", p.alice(), client, []string{"id_token_hint=" + idToken}, server.NoInteraction, server.NoInteraction, ""},
			{"another user than the hint's", server.SignedIn{User: bob, Authentication: p.how}, client, []string{"id_token_hint=" + idToken}, server.SignIn, ended, "login_required"},
			{"another user than the claim's", p.alice(), client, []string{`claims={"id_token":{"sub":{"value":"x"}}}`}, server.SignIn, ended, "login_required"},
			{"another user than UserInfo's claim", p.alice(), client, []string{`claims={"userinfo":{"sub":{"value":"x"}}}`}, server.SignIn, ended, "login_required"},
		} {
			q := query(row.client, row.more...)
			got, failure := p.ask(row.user, q)
			assert.Equal(t, row.want, got, "%s: %s", row.rule, failure)
			assert.Equal(t, row.decided, p.Decide(q, "", row.user).Params()["error"], "%s: a page that forgot", row.rule)
			if signedIn, ok := row.user.(server.SignedIn); ok {
				signedIn.Authentication.ReturnTo, signedIn.Authentication.ReturnedAt = "/oauth/authorize?"+q, p.Now.Unix()-600
				if row.want == server.SignIn {
					signedIn.Authentication.Time = p.Now.Unix()
				}
				got, failure = p.ask(signedIn, q)
				assert.Equal(t, row.returned, got, "%s, having returned: %s", row.rule, failure)
				if row.returned == ended {
					assert.Equal(t, row.decided, failure, "%s: to sign in once more would lead back here", row.rule)
				}
				if row.decided == "" || row.want == server.AskConsent {
					continue
				}
				elsewhere, longAgo := signedIn, signedIn
				elsewhere.Authentication.ReturnTo += "&x=y"
				longAgo.Authentication.ReturnedAt--
				for rule, user := range map[string]storage.User{"to another request": elsewhere, "long ago": longAgo} {
					got, _ = p.ask(user, q)
					assert.Equal(t, row.want, got, "%s, having returned %s", row.rule, rule)
				}
			}
		}
		// Choosing an account is no sign-in.
		for more, want := range map[string]server.Interaction{
			"prompt=select_account": server.NoInteraction, "prompt=login": server.SignIn, "prompt=login select_account": server.SignIn, "max_age=29": server.SignIn, "acr_values=phrh": server.SignIn,
		} {
			q, chosen := query(client, more), p.alice()
			chosen.Authentication.AccountChosenFor, chosen.Authentication.AccountChosenAt = "/oauth/authorize?"+q, p.Now.Unix()
			got, failure := p.ask(chosen, q)
			assert.Equal(t, want, got, "%s: %s", more, failure)
			chosen.Authentication.AccountChosenAt -= 601
			got, _ = p.ask(chosen, q)
			assert.NotEqual(t, server.NoInteraction, got, "%s, long ago", more)
		}
		// An acr that is essential is a sign-in, and if that was not it, an error.
		q := query(client, essential)
		got, _ := p.ask(p.alice(), q)
		assert.Equal(t, server.SignIn, got)
		returned := p.alice()
		returned.Authentication.ReturnTo, returned.Authentication.ReturnedAt = "/oauth/authorize?"+q, p.Now.Unix()
		_, failure := p.ask(returned, q)
		assert.Equal(t, server.UnmetAuthenticationRequirements, failure)
		assert.Equal(t, server.UnmetAuthenticationRequirements, p.Decide(q, "", returned).Query.Get("error"))
		returned.Authentication.ACR = "x"
		got, _ = p.ask(returned, q)
		assert.Equal(t, server.AskConsent, got, "what was not consented to before")

		// What is asked for claim by claim is consented to as it is.
		wants := p.client()
		const name, more = `claims={"userinfo":{"name":null}}`, `claims={"userinfo":{"name":null,"email":null}}`
		p.authorize(wants, name)
		for claims, want := range map[string]server.Interaction{name: server.NoInteraction, more: server.AskConsent, "claims=": server.NoInteraction} {
			got, _ = p.ask(p.alice(), query(wants, claims))
			assert.Equal(t, want, got, claims)
		}

		timeless := p.client("require_auth_time", true)
		got, _ = p.ask(p.User, query(timeless))
		assert.Equal(t, server.SignIn, got, "require_auth_time, of a user of whom it is not known")
		got, _ = p.ask(p.User, query(p.client()))
		assert.Equal(t, server.AskConsent, got, "who does not ask for it does not need it")
	})
}

// A request may come by POST (OpenID Connect Core section 3.1.2.1): the page is shown at
// the address that has all of it.
func TestARequestByPost(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/authorize", strings.NewReader(query(client)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err := p.Server.GetConsentGrant(r, p.alice())
	w := httptest.NewRecorder()
	p.Server.WriteError(w, r, err)
	require.Equal(t, http.StatusSeeOther, w.Code)
	consent, err := p.Server.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, w.Header().Get("Location"), http.NoBody), p.alice())
	require.NoError(t, err)
	assert.Equal(t, w.Header().Get("Location"), consent.ReturnTo)
	assert.Equal(t, client.ClientID, consent.Client.GetClientID())
	assert.Equal(t, server.AskConsent, consent.Interaction)
}

// Each rule of OpenID Connect Core sections 3.1.3.1 to 3.1.3.4 that names an error,
// and that an ID token is what section 3.1.3.7 has its client check.
func TestErrorsOfTokenRequests(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client, other := p.client(), p.client()
		redirect := "&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI)
		for _, row := range []struct {
			rule   string
			client *oauthtest.Client
			change func(body string) string
			later  time.Duration
			status int
			error  string
		}{
			{"no client authentication", nil, nil, 0, 401, "invalid_client"},
			{"another client's code", other, nil, 0, 400, "invalid_grant"},
			{"no code", client, func(string) string { return "grant_type=authorization_code" + redirect }, 0, 400, "invalid_request"},
			{"an unknown code", client, func(body string) string { return body + "x" }, 0, 400, "invalid_grant"},
			{"a code that has expired", client, nil, time.Hour, 400, "invalid_grant"},
			{"another redirect_uri", client, func(body string) string {
				return strings.Replace(body, redirect, "&redirect_uri=https://x.example/", 1)
			}, 0, 400, "invalid_grant"},
			{"no redirect_uri", client, func(body string) string { return strings.Replace(body, redirect, "", 1) }, 0, 400, "invalid_grant"},
			{"no grant_type", client, func(body string) string { return strings.Replace(body, "grant_type", "x", 1) }, 0, 400, "invalid_request"},
			{"an unknown grant_type", client, func(body string) string { return strings.Replace(body, "authorization_code", "x", 1) }, 0, 400, "unsupported_grant_type"},
			{"all as it should be", client, nil, 0, 200, ""},
		} {
			code := p.authorize(client)["code"]
			body := "grant_type=authorization_code" + redirect + "&code=" + code
			if row.change != nil {
				body = row.change(body)
			}
			p.Now = p.Now.Add(row.later)
			a := p.Token(row.client, body)
			p.Now = p.Now.Add(-row.later)
			assert.Equal(t, row.status, a.Status, row.rule)
			assert.Equal(t, row.error, a.Body["error"], row.rule)
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"), row.rule)
			if row.status == http.StatusOK {
				again := p.Token(row.client, body)
				assert.Equal(t, "invalid_grant", again.Body["error"], "a code is good once")
				assert.False(t, p.Valid(a.Body["access_token"]), "and ends what came of it")
			}
		}
	})
}
