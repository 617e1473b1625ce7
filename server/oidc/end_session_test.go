package oidc_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// signOutPage is a program's page, as the documentation has it.
func (p *provider) signOutPage(w http.ResponseWriter, r *http.Request, user storage.User) {
	logout, err := p.oidc.GetLogoutRequest(r, user)
	if err != nil {
		p.Server.WriteError(w, r, err)
		return
	}
	if user != nil && !logout.Confirmed {
		w.Header().Set("Form-Action", logout.ReturnTo)
		_, _ = io.WriteString(w, "asked "+string(logout.Decision))
		return
	}
	if !p.oidc.CreateLogoutResponse(w, r, logout, new(oidc.EndedSession)) {
		_, _ = io.WriteString(w, "signed out")
	}
}

func (p *provider) signOut(user storage.User, method, target, body string, header ...string) *httptest.ResponseRecorder {
	p.T.Helper()
	r := httptest.NewRequestWithContext(p.T.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.signOutPage(w, r, user)
	return w
}

// Where people go from the sign-out address, by whom the client was made, and who is
// signed in: never to a client that made itself, unless they confirmed it or its ID token
// is of this very session.
func TestTheSignOutAddressLeadsNobodyAnywhere(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		bob := &oauthtest.User{}
		require.NoError(t, db.Create(bob).Error)
		const after = "https://client.example/bye?a=b"
		const goes, asked, button, here = "goes", "asked", "button", "here"
		elsewhere := p.alice()
		elsewhere.Authentication.SessionID = "another browser"
		for _, row := range []struct {
			rule             string
			user             storage.User
			params           string
			byHand, selfMade string // of a client that the operator made, and of one that made itself
		}{
			{"a hint of this session", p.alice(), "id_token_hint={hint}", goes, goes},
			{"a hint of the user, that names no session", p.alice(), "id_token_hint={sessionless}", goes, goes},
			{"a hint of another session", elsewhere, "id_token_hint={hint}", asked, asked},
			{"somebody else's hint", server.SignedIn{User: bob}, "id_token_hint={sessionless}", asked, asked},
			{"somebody else's hint, who has a session", server.SignedIn{User: bob, Authentication: p.how}, "id_token_hint={sessionless}", asked, asked},
			{"no hint", p.alice(), "client_id={id}", asked, asked},
			{"garbage", p.alice(), "client_id={id}&id_token_hint=x", asked, asked},
			{"nobody is signed in", nil, "id_token_hint={hint}", goes, button},
			{"nobody is signed in, and no session is named", nil, "id_token_hint={sessionless}", goes, button},
			{"nobody is signed in, and no hint", nil, "client_id={id}", goes, button},
			{"nobody is signed in, and garbage", nil, "client_id={id}&id_token_hint=x", goes, button},
			{"nobody is signed in, and garbage alone", nil, "id_token_hint=x", here, here},
		} {
			for source, want := range map[string]string{"": row.byHand, models.ClientByHand: row.byHand, models.ClientByRegistration: row.selfMade, models.ClientByDocument: row.selfMade} {
				client := p.by(source, "post_logout_redirect_uris", []string{after})
				hint := p.signIn(client)["id_token"]
				session := p.how.SessionID
				p.how.SessionID = ""
				sessionless := p.signIn(client)["id_token"]
				p.how.SessionID = session
				params := oauthtest.Form(strings.NewReplacer("{hint}", hint, "{sessionless}", sessionless, "{id}", client.ClientID).Replace(row.params))
				params.Set("post_logout_redirect_uri", after)
				params.Set("state", "s")
				for method, send := range map[string]func() *httptest.ResponseRecorder{
					http.MethodGet: func() *httptest.ResponseRecorder {
						return p.signOut(row.user, http.MethodGet, "/oauth/end_session?"+params.Encode(), "")
					},
					http.MethodPost: func() *httptest.ResponseRecorder {
						return p.signOut(row.user, http.MethodPost, "/oauth/end_session", params.Encode())
					},
				} {
					w := send()
					got := here
					switch {
					case w.Header().Get("Location") == after+"&state=s":
						got = goes
					case strings.HasPrefix(w.Body.String(), "asked "):
						got = asked
					case strings.Contains(w.Body.String(), "Continue to client.example"):
						got = button
						assert.Contains(t, w.Body.String(), `href="https://client.example/bye?a=b&amp;state=s"`)
						assert.NotContains(t, w.Body.String(), `class="next"`, "no script goes there")
					}
					assert.Equal(t, want, got, "%s, by %q, %s: %d %v %s", row.rule, source, method, w.Code, w.Header(), w.Body)
					if want != goes {
						assert.Empty(t, w.Header().Get("Location"), row.rule)
					}
				}
			}
		}
	})
}

// A sign-out is confirmed by a POST from the page that asked.
func TestOnlyAPOSTFromThePageSignsOut(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	bob := &oauthtest.User{}
	require.NoError(t, p.DB.Create(bob).Error)
	const after, other = "https://client.example/bye", "https://client.example/other"
	client := p.by(models.ClientByRegistration, "post_logout_redirect_uris", []string{after, other})
	request := "client_id=" + client.ClientID + "&state=s&post_logout_redirect_uri=" + url.QueryEscape(after)
	page := p.signOut(p.alice(), http.MethodGet, "/oauth/end_session?"+request+"&id_token_hint=x&confirm=yes", "")
	action := page.Header().Get("Form-Action")
	asked, decision, _ := strings.Cut(page.Body.String(), " ")
	require.Equal(t, "asked", asked)
	assert.NotContains(t, action, "id_token_hint", "which said nothing")
	assert.NotContains(t, action, "confirm")
	again := p.alice()
	again.Authentication.SessionID = "signed in again"
	yes := "confirm=yes&decision=" + decision
	for _, row := range []struct {
		rule   string
		user   storage.User
		method string
		target string
		body   string
		header []string
		goes   bool
	}{
		{"the form of the page", p.alice(), http.MethodPost, action, yes, nil, true},
		{"of the same origin", p.alice(), http.MethodPost, action, yes, []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"the other button", p.alice(), http.MethodPost, action, "confirm=no&decision=" + decision, nil, false},
		{"no button", p.alice(), http.MethodPost, action, "decision=" + decision, nil, false},
		{"no field", p.alice(), http.MethodPost, action, "confirm=yes", nil, false},
		{"a field that is wrong", p.alice(), http.MethodPost, action, yes + "x", nil, false},
		{"all in the address", p.alice(), http.MethodPost, action + "&" + yes, "", nil, false},
		{"by GET", p.alice(), http.MethodGet, action + "&" + yes, "", nil, false},
		{"by HEAD", p.alice(), http.MethodHead, action + "&" + yes, "", nil, false},
		{"another site", p.alice(), http.MethodPost, action, yes, []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"bob, who has signed in since", server.SignedIn{User: bob, Authentication: p.how}, http.MethodPost, action, yes, nil, false},
		{"another session", again, http.MethodPost, action, yes, nil, false},
		{"another address", p.alice(), http.MethodPost, strings.Replace(action, url.QueryEscape(after), url.QueryEscape(other), 1), yes, nil, false},
		{"another state", p.alice(), http.MethodPost, strings.Replace(action, "state=s", "state=x", 1), yes, nil, false},
	} {
		w := p.signOut(row.user, row.method, row.target, row.body, row.header...)
		assert.Equal(t, row.goes, w.Header().Get("Location") == after+"?state=s", "%s: %d %v %s", row.rule, w.Code, w.Header(), w.Body)
		if location := w.Header().Get("Location"); !row.goes && location != "" {
			assert.True(t, strings.HasPrefix(location, "/oauth/end_session?"), "%s: %s", row.rule, location)
			assert.NotContains(t, location, "decision", row.rule)
		}
	}
	// The client has changed since.
	client.ClientMetadata.ClientName = "Another"
	require.NoError(t, p.DB.Save(client).Error)
	w := p.signOut(p.alice(), http.MethodPost, action, yes)
	assert.Contains(t, w.Body.String(), "asked ")
}

// A client's own form comes without cookies (RP-Initiated Logout 1.0 section 2): it is
// met again by GET. An ID token that is too long for that stays behind.
func TestASignOutByPOSTIsSentOn(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	const after = "https://client.example/bye"
	client := p.client("post_logout_redirect_uris", []string{after})
	hint := p.signIn(client)["id_token"]
	request := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {after}, "state": {"a b"}}
	body := request.Encode() + "&confirm=yes&decision=x"
	w := p.signOut(nil, http.MethodPost, "/oauth/end_session", body, "Sec-Fetch-Site", "cross-site", "Origin", "https://client.example")
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	assert.Equal(t, "/oauth/end_session?"+request.Encode(), w.Header().Get("Location"))
	w = p.signOut(p.alice(), http.MethodGet, w.Header().Get("Location"), "")
	assert.Equal(t, after+"?state=a+b", w.Header().Get("Location"), "with the cookie it is the session of the hint")

	long := strings.Repeat("x", header.MaxAddress-500)
	request.Set("state", long)
	w = p.signOut(nil, http.MethodPost, "/oauth/end_session", request.Encode(), "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	to, err := url.Parse(w.Header().Get("Location"))
	require.NoError(t, err)
	assert.Equal(t, url.Values{"client_id": {client.ClientID}, "post_logout_redirect_uri": {after}, "state": {long}}, to.Query())
	w = p.signOut(p.alice(), http.MethodGet, to.String(), "")
	assert.Contains(t, w.Body.String(), "asked ", "so that the user is asked")

	// What is exactly as long as an address may be goes on as it is, with the ID token or without it.
	for _, without := range []bool{false, true} {
		longest := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {after}, "state": {""}}
		kept := maps.Clone(longest)
		if without {
			kept.Del("id_token_hint")
			kept.Set("client_id", client.ClientID)
		}
		state := strings.Repeat("x", header.MaxAddress-len("/oauth/end_session?"+kept.Encode()))
		for more, status := range map[string]int{"": http.StatusSeeOther, "x": map[bool]int{false: http.StatusSeeOther, true: http.StatusBadRequest}[without]} {
			longest.Set("state", state+more)
			w = p.signOut(nil, http.MethodPost, "/oauth/end_session", longest.Encode(), "Sec-Fetch-Site", "cross-site")
			assert.Equal(t, status, w.Code)
			to, err := url.Parse(w.Header().Get("Location"))
			require.NoError(t, err)
			assert.Equal(t, more == "" && !without, to.Query().Has("id_token_hint"))
		}
	}

	request.Set("state", strings.Repeat("x", header.MaxAddress))
	w = p.signOut(nil, http.MethodPost, "/oauth/end_session", request.Encode(), "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Contains(t, w.Body.String(), "The request is too long.")

	for _, method := range []string{http.MethodPut, http.MethodOptions, http.MethodDelete} {
		w = p.signOut(p.alice(), method, "/oauth/end_session?id_token_hint="+hint, "")
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, "GET, POST", w.Header().Get("Allow"))
	}
	var nobody *oauthtest.User
	logout, err := p.oidc.GetLogoutRequest(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/end_session?id_token_hint="+hint, http.NoBody), nobody)
	require.NoError(t, err, "a nil pointer is nobody")
	assert.True(t, logout.Confirmed, "of whom there is nobody to ask")
}

// A hint that says nothing is refused where it should say who signs in, and has the person
// asked where they sign out. One that has ended says as much as before.
func TestHintsThatSayNothing(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client, ours, unknown := p.client(), signingKeys()[0].Key, oauthtest.NewKey(t)
	hint := func(key any, kid string, more ...any) string {
		return oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"kid": kid, "typ": "JWT"}, oauthtest.Claims(map[string]any{
			"iss": oauthtest.Issuer, "aud": client.ClientID, "sub": p.User.GetUserID(), "iat": p.Now.Unix() - 7200, "exp": p.Now.Unix() + 60,
		}, more...))
	}
	good := hint(ours, "es")
	for rule, row := range map[string]struct {
		hint string
		says bool
	}{
		"good":                    {good, true},
		"ended":                   {hint(ours, "es", "exp", p.Now.Unix()-3600), true},
		"garbage":                 {"x", false},
		"garbage in three parts":  {"a.b.c", false},
		"not signed":              {good[:strings.LastIndex(good, ".")+1], false},
		"a key that nobody knows": {hint(unknown, "gone"), false},
		"another key of the name": {hint(unknown, "es"), false},
		"another issuer's":        {hint(ours, "es", "iss", "https://other.example"), false},
		"of nobody":               {hint(ours, "es", "sub", nil), false},
	} {
		interaction, failure := p.ask(p.alice(), query(client, "id_token_hint="+row.hint))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/end_session?id_token_hint="+row.hint, http.NoBody)
		logout, err := p.oidc.GetLogoutRequest(r, p.alice())
		require.NoError(t, err, rule)
		assert.Equal(t, row.says, logout.Confirmed, "%s: the person is asked", rule)
		if row.says {
			assert.Equal(t, server.AskConsent, interaction, "%s: %s", rule, failure)
		} else {
			assert.Equal(t, server.InvalidRequest, failure, rule)
		}
	}
}
