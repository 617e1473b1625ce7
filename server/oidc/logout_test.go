package oidc_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/storage"
)

// What ends with a session: unredeemed codes, and grants without offline_access, at
// every client of the session and at no other.
func TestEndSession(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		one, two := p.client(), p.client()
		online, offline := p.signIn(one), p.signIn(two, "scope=openid offline_access")
		front := p.authorize(one, "response_type=id_token token")["access_token"]
		code := p.authorize(one)["code"]
		p.how.SessionID = "another browser"
		elsewhere := p.signIn(one)
		p.how.SessionID = ""
		sessionless := p.signIn(one)
		claims, _ := verify(t, sessionless["id_token"])
		assert.NotContains(t, claims, "sid")
		assert.EqualValues(t, 3, p.Rows(&oauthtest.Session{}), "one a client and session")

		var revoked []server.Revocation
		require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, _ *server.Request, r server.Revocation) { revoked = append(revoked, r) })))
		ended, err := p.oidc.EndSession(t.Context(), sessionID)
		require.NoError(t, err)
		assert.Len(t, ended.Clients, 2)
		assert.Len(t, ended.GrantIDs, 2)
		assert.Len(t, revoked, 2, "the hooks are told")
		for name, row := range map[string]struct {
			token string
			alive bool
		}{
			"online": {online["access_token"], false}, "of the front channel": {front, false}, "offline": {offline["access_token"], true},
			"of another session": {elsewhere["access_token"], true}, "of none": {sessionless["access_token"], true},
		} {
			assert.Equal(t, row.alive, p.Valid(row.token), name)
		}
		assert.Equal(t, server.InvalidGrant, p.Refresh(one, online["refresh_token"], "").Body["error"])
		assert.Equal(t, http.StatusOK, p.Refresh(two, offline["refresh_token"], "").Status)
		a := p.Token(one, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code)
		assert.Equal(t, server.InvalidGrant, a.Body["error"], "a code that nobody had redeemed")

		again, err := p.oidc.EndSession(t.Context(), sessionID)
		require.NoError(t, err)
		assert.Equal(t, new(oidc.EndedSession), again, "it ends once")
		p.how.SessionID = sessionID
		assert.Equal(t, server.LoginRequired, p.Decide(query(one), "", p.alice()).Query.Get("error"), "and does not come back")
		p.how.SessionID = "another browser"
		_, err = p.oidc.EndSessionsOf(t.Context(), p.User.GetUserID())
		require.NoError(t, err)
		assert.False(t, p.Valid(elsewhere["access_token"]), "all sessions of a user")
		_, err = p.oidc.EndSessionsOf(t.Context(), "")
		assert.ErrorContains(t, err, "has no id", "and not those of everybody")
		none, err := p.oidc.EndSession(t.Context(), "")
		require.NoError(t, err)
		assert.Empty(t, none.Clients)
	})
}

// The program decides what ends.
func TestWhatEndsIsTheProgramsSay(t *testing.T) {
	for all, want := range map[bool]bool{true: false, false: true} {
		p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) {
			o.EndsWithSession = func(string) bool { return all }
		})
		client := p.client()
		online, offline := p.signIn(client), p.signIn(client, "scope=openid offline_access")
		_, err := p.oidc.EndSession(t.Context(), sessionID)
		require.NoError(t, err)
		assert.Equal(t, want, p.Valid(online["access_token"]))
		assert.Equal(t, want, p.Valid(offline["access_token"]))
	}
}

// A session that is joined again lasts longer; its name at each client is its own.
func TestSessionsAtClients(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		one, two := p.client(), p.client()
		sid := func(client *oauthtest.Client) any {
			claims, _ := verify(t, p.signIn(client)["id_token"])
			return claims["sid"]
		}
		first := sid(one)
		assert.NotEqual(t, first, sid(two), "clients cannot compare")
		p.Now = p.Now.Add(24 * time.Hour)
		p.how.Time = p.Now.Unix()
		assert.Equal(t, first, sid(one), "it stays the same")
		var row oauthtest.Session
		require.NoError(t, db.Where("sid = ?", first).First(&row).Error)
		assert.Equal(t, p.Now.Add(45*24*time.Hour).Unix(), row.ExpiresAt, "later than its longest grant, until that is half over")
		assert.Equal(t, p.Now.Add(-24*time.Hour).Unix(), row.StartedAt)
		assert.Equal(t, p.User.GetUserID(), row.Subject)
		assert.NotContains(t, row.SessionID, sessionID, "a digest")
	})
}

// Each rule of RP-Initiated Logout 1.0 section 2.
func TestLogoutRequests(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		const after = "https://client.example/bye"
		client := p.client("post_logout_redirect_uris", []string{after})
		other := p.client("post_logout_redirect_uris", []string{"https://other.example/bye"})
		idToken, theirs := p.signIn(client)["id_token"], p.signIn(other)["id_token"]
		p.how.SessionID = ""
		sessionless := p.signIn(client)["id_token"]
		p.how.SessionID = sessionID
		forged := idToken[:len(idToken)-6] + "AAAAAA"
		leaver := p.client()
		gone := p.signIn(leaver)["id_token"]
		require.NoError(t, db.Delete(leaver).Error)
		bob := &oauthtest.User{}
		require.NoError(t, db.Create(bob).Error)
		elsewhere := p.alice()
		elsewhere.Authentication.SessionID = "another browser"
		p.Now = p.Now.Add(48 * time.Hour) // ID tokens have ended, and are hints all the same
		ask := func(user storage.User, method string, params url.Values) (*oidc.LogoutRequest, oauthtest.Answer) {
			target, body := "/oauth/end_session?"+params.Encode(), ""
			if method == http.MethodPost {
				target, body = "/oauth/end_session", params.Encode()
			}
			r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			logout, err := p.oidc.GetLogoutRequest(r, user)
			if err == nil {
				return logout, oauthtest.Answer{}
			}
			w := httptest.NewRecorder()
			p.Server.WriteError(w, r, err)
			return nil, oauthtest.Answer{Status: w.Code, Raw: w.Body.String(), Header: w.Header()}
		}
		for _, row := range []struct {
			rule      string
			user      storage.User
			params    string
			confirmed bool
			to        string
			failure   string
		}{
			{"no parameters", p.alice(), "", false, "", ""},
			{"a hint", p.alice(), "id_token_hint=" + idToken, true, "", ""},
			{"a hint and where to go", p.alice(), "id_token_hint=" + idToken + "&post_logout_redirect_uri=" + after, true, after, ""},
			{"the same with the client", p.alice(), "id_token_hint=" + idToken + "&client_id=" + client.ClientID + "&post_logout_redirect_uri=" + after, true, after, ""},
			{"a hint of no session, but of the user", p.alice(), "id_token_hint=" + sessionless, true, "", ""},
			{"a hint of another session", elsewhere, "id_token_hint=" + idToken + "&post_logout_redirect_uri=" + after, false, after, ""},
			{"a hint of another user", server.SignedIn{User: bob}, "id_token_hint=" + sessionless, false, "", ""},
			{"nobody is signed in", nil, "id_token_hint=" + idToken + "&post_logout_redirect_uri=" + after, true, after, ""},
			{"a client without a hint", p.alice(), "client_id=" + client.ClientID + "&post_logout_redirect_uri=" + after, false, after, ""},
			{"where to go, and nobody says whose", p.alice(), "post_logout_redirect_uri=" + after, false, "", "needs an 'id_token_hint'"},
			{"an address that is not registered", p.alice(), "id_token_hint=" + idToken + "&post_logout_redirect_uri=" + after + "/", false, "", "is not registered for this client"},
			{"another client's address", p.alice(), "id_token_hint=" + theirs + "&post_logout_redirect_uri=" + after, false, "", "is not registered for this client"},
			{"a hint of another client", p.alice(), "id_token_hint=" + theirs + "&client_id=" + client.ClientID, false, "", "not an ID token that this server issued"},
			{"a hint that somebody changed", p.alice(), "id_token_hint=" + forged, false, "", ""},
			{"the same, and where to go", p.alice(), "id_token_hint=" + forged + "&post_logout_redirect_uri=" + after, false, "", ""},
			{"the same with the client", p.alice(), "id_token_hint=" + forged + "&client_id=" + client.ClientID + "&post_logout_redirect_uri=" + after, false, after, ""},
			{"a hint that is none", p.alice(), "id_token_hint=x", false, "", ""},
			{"a hint of a client that is gone", p.alice(), "id_token_hint=" + gone, false, "", ""},
			{"another JWT of the server", p.alice(), "id_token_hint=" + p.accessJWT(client), false, "", ""},
			{"a client that there is not", p.alice(), "client_id=nobody", false, "", "There is no such client"},
			{"a parameter twice", p.alice(), "state=1&state=2", false, "", "more than one 'state'"},
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				params, err := url.ParseQuery(row.params)
				require.NoError(t, err)
				logout, a := ask(row.user, method, params)
				if row.failure != "" {
					require.Nil(t, logout, row.rule)
					assert.Contains(t, a.Raw, row.failure, row.rule)
					assert.Empty(t, a.Header.Get("Location"), "%s: nobody is sent anywhere", row.rule)
					assert.Equal(t, http.StatusBadRequest, a.Status, row.rule)
					continue
				}
				require.NotNil(t, logout, "%s: %s", row.rule, a.Raw)
				assert.Equal(t, row.confirmed, logout.Confirmed, row.rule)
				assert.Equal(t, row.to, logout.PostLogoutRedirectURI, row.rule)
			}
		}
		// Where the user goes.
		for _, row := range []struct{ params, want string }{
			{"&state=a+b", after + "?state=a+b"}, {"", after},
		} {
			params, _ := url.ParseQuery("id_token_hint=" + idToken + "&post_logout_redirect_uri=" + after + row.params)
			logout, _ := ask(p.alice(), http.MethodGet, params)
			w := httptest.NewRecorder()
			written := p.oidc.CreateLogoutResponse(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), logout, new(oidc.EndedSession))
			assert.True(t, written)
			assert.Equal(t, []any{http.StatusSeeOther, row.want}, []any{w.Code, w.Header().Get("Location")})
		}
		w := httptest.NewRecorder()
		assert.False(t, p.oidc.CreateLogoutResponse(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), new(oidc.LogoutRequest), new(oidc.EndedSession)))
		assert.Empty(t, w.Body.String(), "the page is the program's")
	})
}

// accessJWT is a JWT of the server that is no ID token.
func (p *provider) accessJWT(client *oauthtest.Client) string {
	p.T.Helper()
	text, err := jwk.SignJWT(p.T.Context(), signingKeys(), "RS256", p.Now, "at+jwt", map[string]any{
		"iss": oauthtest.Issuer, "sub": p.User.GetUserID(), "aud": client.ClientID, "exp": p.Now.Add(time.Hour).Unix(),
	})
	require.NoError(p.T, err)
	return text
}

// Clients with a front channel are told in frames (Front-Channel Logout 1.0).
func TestFrontChannelLogout(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	one := p.client("redirect_uris", []string{oauthtest.RedirectURI, "https://one.example/cb"}, "frontchannel_logout_uri", "https://one.example/logout?a=b", "post_logout_redirect_uris", []string{"https://one.example/bye?x=y"})
	two := p.client("redirect_uris", []string{oauthtest.RedirectURI, "https://two.example/cb"}, "frontchannel_logout_uri", "https://two.example/logout")
	p.signIn(p.client())
	claims, _ := verify(t, p.signIn(one)["id_token"])
	p.signIn(two)
	// No policy can name an IPv6 address, so no page could load its frame.
	p.signIn(p.client("redirect_uris", []string{oauthtest.RedirectURI, "https://[2001:db8::1]/cb"}, "frontchannel_logout_uri", "https://[2001:db8::1]/logout"))
	ended, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	require.Len(t, ended.Clients, 4)
	frames, err := p.oidc.FrontChannelLogouts(t.Context(), ended)
	require.NoError(t, err)
	require.Len(t, frames, 2)
	frame, err := url.Parse(frames[0])
	require.NoError(t, err)
	assert.Equal(t, "one.example", frame.Host)
	assert.Equal(t, url.Values{"a": {"b"}, "iss": {oauthtest.Issuer}, "sid": {claims["sid"].(string)}}, frame.Query())

	w := httptest.NewRecorder()
	logout := &oidc.LogoutRequest{Client: one, PostLogoutRedirectURI: "https://one.example/bye?x=y", State: `"><script>`}
	require.True(t, p.oidc.CreateLogoutResponse(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), logout, ended))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, 2, strings.Count(w.Body.String(), "<iframe "))
	assert.Contains(t, w.Body.String(), `href="https://one.example/bye?x=y&amp;state=%22%3E%3Cscript%3E"`)
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "frame-src https://one.example https://two.example;")
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))

	require.NoError(t, p.DB.Migrator().RenameTable("clients", "away"))
	w = httptest.NewRecorder()
	assert.True(t, p.oidc.CreateLogoutResponse(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), logout, ended), "an answer was given")
	assert.Equal(t, http.StatusInternalServerError, w.Code, "who is to be told cannot be found out")
}

// receiver is a client's back channel.
type receiver struct {
	mu     sync.Mutex
	tokens []string
	status int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, request.PostFormValue("logout_token"))
	w.WriteHeader(r.status)
}

// A client is told of a logout until it answers, by one instance at a time
// (Back-Channel Logout 1.0).
func TestBackChannelLogout(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		good, bad := &receiver{status: 200}, &receiver{status: 503}
		private, set := encryptionKeys(t, "ECDH-ES")
		one := p.client("backchannel_logout_uri", serve(t, good.ServeHTTP), "id_token_signed_response_alg", "ES256", "subject_type", "pairwise")
		two := p.client("backchannel_logout_uri", serve(t, bad.ServeHTTP), "id_token_encrypted_response_alg", "ECDH-ES", "jwks", set)
		claims, _ := verify(t, p.signIn(one)["id_token"])
		p.signIn(two)
		p.signIn(p.client()) // which has no back channel
		_, err := p.oidc.EndSession(t.Context(), sessionID)
		require.NoError(t, err)
		assert.EqualValues(t, 3, p.waiting(), "the outbox")
		assert.Empty(t, good.tokens, "nobody waits for a client while the session ends")

		// Of several instances, one tells.
		var instances sync.WaitGroup
		for range 4 {
			instances.Go(func() {
				_, err := p.oidc.DeliverDueLogouts(t.Context())
				assert.NoError(t, err)
			})
		}
		instances.Wait()
		require.Len(t, good.tokens, 1)
		require.Len(t, bad.tokens, 1)
		assert.EqualValues(t, 1, p.waiting(), "who has not answered is told again")
		token, header := verify(t, good.tokens[0])
		assert.Equal(t, "ES256", header.Algorithm)
		assert.Equal(t, "logout+jwt", header.ExtraHeaders["typ"])
		assert.Equal(t, map[string]any{
			"iss": oauthtest.Issuer, "aud": one.ClientID, "sub": claims["sub"], "sid": claims["sid"], "jti": token["jti"],
			"iat": float64(p.Now.Unix()), "exp": float64(p.Now.Unix() + 120), "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}, token, "and no nonce (section 2.4)")
		plain, _ := decrypt(t, bad.tokens[0], private)
		first, _ := verify(t, string(plain))

		deliver := func() {
			_, err := p.oidc.DeliverDueLogouts(t.Context())
			require.NoError(t, err)
		}
		deliver()
		assert.Len(t, bad.tokens, 1, "not at once")
		p.Now = p.Now.Add(31 * time.Second)
		deliver()
		require.Len(t, bad.tokens, 2)
		p.Now = p.Now.Add(31 * time.Second)
		deliver()
		assert.Len(t, bad.tokens, 2, "each time later")
		p.Now = p.Now.Add(31 * time.Second)
		bad.status = http.StatusNoContent
		deliver()
		require.Len(t, bad.tokens, 3)
		plain, _ = decrypt(t, bad.tokens[2], private)
		last, _ := verify(t, string(plain))
		assert.Equal(t, first["jti"], last["jti"], "the same logout")
		assert.Greater(t, last["iat"], first["iat"], "by a token of today")
		assert.Zero(t, p.waiting())
	})
}

// A client that never answers is given up.
func TestALogoutThatIsGivenUp(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db, func(o *oidc.Provider) { o.LogoutExpiresIn = time.Minute })
	client := p.client("backchannel_logout_uri", "http://127.0.0.1:1/nobody")
	p.signIn(client)
	_, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	for range 3 {
		_, err = p.oidc.DeliverDueLogouts(t.Context())
		require.NoError(t, err)
		p.Now = p.Now.Add(40 * time.Second)
	}
	var row oauthtest.Logout
	require.NoError(t, db.Where("client_id <> ''").First(&row).Error)
	assert.EqualValues(t, 2, row.Attempts, "no more attempts once it has expired; pruning takes the row")
}

// The worker is woken by a logout, and ends with its context.
func TestDeliverLogouts(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	var told atomic.Int64
	client := p.client("backchannel_logout_uri", serve(t, func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.oidc.DeliverLogouts(ctx)
	}()
	p.signIn(client)
	_, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return told.Load() == 1 }, 4*time.Second, 10*time.Millisecond, "at once, and not in five seconds")
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}

// A program that has nothing to deliver may start the worker: it has nothing to do.
func TestNothingToDeliver(t *testing.T) {
	withoutLogouts := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(p *oidc.Provider) { p.Logouts = nil })
	for rule, provider := range map[string]*oidc.Provider{"never registered": {}, "without an outbox": withoutLogouts.oidc} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			provider.DeliverLogouts(t.Context())
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal(rule)
		}
	}
}

// An outbox that cannot be read is an error, and a client that cannot be found stays
// in it.
func TestLogoutsOutliveFailures(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	p.signIn(p.client("backchannel_logout_uri", "http://127.0.0.1:1/nobody"))
	_, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	require.NoError(t, p.DB.Migrator().RenameTable("clients", "away"))
	_, err = p.oidc.DeliverDueLogouts(t.Context())
	require.Error(t, err)
	require.NoError(t, p.DB.Migrator().RenameTable("away", "clients"))
	assert.EqualValues(t, 1, p.waiting(), "nothing is lost")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.oidc.DeliverDueLogouts(ctx)
	assert.Error(t, err)
	var none oidc.Provider
	_, err = none.DeliverDueLogouts(t.Context())
	assert.ErrorIs(t, err, oidc.ErrNotRegistered)
}

// A login that begins here (OpenID Connect Core section 4).
func TestInitiateLogin(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	address, err := p.oidc.InitiateLoginURL(p.client("initiate_login_uri", "https://client.example/login?a=b"), oidc.InitiateLogin{LoginHint: "alice", TargetLinkURI: "https://client.example/inbox"})
	require.NoError(t, err)
	u, err := url.Parse(address)
	require.NoError(t, err)
	assert.Equal(t, url.Values{"a": {"b"}, "iss": {oauthtest.Issuer}, "login_hint": {"alice"}, "target_link_uri": {"https://client.example/inbox"}}, u.Query())
	_, err = p.oidc.InitiateLoginURL(p.client(), oidc.InitiateLogin{})
	assert.ErrorContains(t, err, "has no initiate_login_uri")
}
