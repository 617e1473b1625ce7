package resource_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// How a user signed in travels from the page to the API (RFC 9470).
func TestStepUp(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		minutesAgo := func(minutes int, acr string) server.SignedIn {
			return server.SignedIn{User: p.User, Authentication: server.Authentication{
				Time: p.Now.Add(-time.Duration(minutes) * time.Minute).Unix(), ACR: acr, AMR: []string{"pwd", "otp"},
			}}
		}
		token := func(user storage.User) map[string]string {
			return p.Redeem(client, p.Decide(oauthtest.AuthorizeQuery(client, ""), "", user).Query.Get("code")).Body
		}
		call := func(stepUp resource.StepUp, accessToken string) (int, string) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+accessToken)
			ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			w := p.Record(p.Protector.Require()(p.Protector.RequireAuthentication(stepUp)(ok)), r)
			return w.Code, w.Header().Get("WWW-Authenticate")
		}
		strong := resource.StepUp{ACRValues: []string{"phr", "phrh"}, MaxAge: 5 * time.Minute}

		tokens := token(minutesAgo(5, "phr"))
		status, _ := call(strong, tokens["access_token"])
		assert.Equal(t, http.StatusOK, status)
		told := p.Introspect(client, "token="+tokens["access_token"]).Body
		assert.Equal(t, "phr", told["acr"])
		assert.JSONEq(t, `["pwd","otp"]`, told["amr"])
		authTime, err := json.Marshal(p.Now.Add(-5 * time.Minute).Unix())
		require.NoError(t, err)
		assert.Equal(t, string(authTime), told["auth_time"])
		refreshed := p.Refresh(client, tokens["refresh_token"], "").Body["access_token"]
		status, _ = call(strong, refreshed)
		assert.Equal(t, http.StatusOK, status, "a refresh changes none of it")
		p.Now = p.Now.Add(time.Second)
		status, challenge := call(strong, refreshed)
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Equal(t, `Bearer realm="api", error="insufficient_user_authentication", error_description="The user must sign in again: the last sign-in was too long ago.", `+
			`acr_values="phr phrh", max_age="300"`, challenge)

		for rule, user := range map[string]storage.User{"weaker": minutesAgo(0, "pwd"), "unknown": p.User} {
			status, challenge = call(resource.StepUp{ACRValues: []string{"phr"}}, token(user)["access_token"])
			assert.Equal(t, http.StatusUnauthorized, status, rule)
			assert.Contains(t, challenge, "with stronger authentication", rule)
			assert.NotContains(t, challenge, "max_age")
		}
		status, _ = call(resource.StepUp{MaxAge: time.Hour}, token(p.User)["access_token"])
		assert.Equal(t, http.StatusUnauthorized, status, "what is unknown is long ago")
		status, _ = call(resource.StepUp{}, token(p.User)["access_token"])
		assert.Equal(t, http.StatusOK, status)

		ask := func(more string) string { return oauthtest.AuthorizeQuery(client, more) }
		again := func(more string, user storage.User) bool {
			consent, err := p.Server.GetConsentGrant(httptest.NewRequest(http.MethodGet, "/?"+ask(more), http.NoBody), user)
			require.NoError(t, err)
			assert.Equal(t, p.User, consent.User, "the page gets its own user back")
			return consent.Interaction == server.SignIn
		}
		assert.False(t, again("", p.User))
		assert.False(t, again("max_age=300&acr_values=phr+x", minutesAgo(5, "phr")))
		assert.False(t, again("max_age=300", &server.SignedIn{User: p.User, Authentication: server.Authentication{Time: p.Now.Unix()}}))
		assert.True(t, again("max_age=299", minutesAgo(5, "phr")))
		assert.True(t, again("max_age=299", p.User))
		assert.True(t, again("acr_values=phr", minutesAgo(0, "pwd")))
		assert.True(t, again("max_age=0", minutesAgo(1, "")))
		assert.True(t, again("max_age=0", minutesAgo(0, "")), "a sign-in of this second is none for this request (OpenID Connect Core errata set 2)")
		assert.True(t, again("max_age=00", minutesAgo(0, "")))
		assert.False(t, again("max_age=1", minutesAgo(0, "")))
		assert.Equal(t, server.LoginRequired, p.Decide(ask("max_age=0"), "", minutesAgo(0, "")).Query.Get("error"), "nor for who forgot to ask")
		returned := func(minutes int64) storage.User {
			how := server.Authentication{Time: p.Now.Unix() - 60*minutes, ReturnTo: "/?" + ask("max_age=0&acr_values=phr"), ReturnedAt: p.Now.Unix() - 60*minutes}
			return server.SignedIn{User: p.User, Authentication: how}
		}
		assert.False(t, again("max_age=0&acr_values=phr", returned(1)), "whoever comes back from signing in did what they could")
		assert.True(t, again("max_age=0&acr_values=phr", returned(11)), "but not for ever")
		assert.True(t, again("max_age=0&acr_values=phr&state=x", returned(1)), "nor for another request")
		for _, bad := range []string{"-1", "x", "1e3", "9999999999", "1.5"} {
			assert.Equal(t, server.InvalidRequest, p.Consent(ask("max_age="+bad)).Query.Get("error"), bad)
		}
		assert.Equal(t, server.UnmetAuthenticationRequirements, p.Decide(ask("max_age=60"), "", minutesAgo(12, "")).Query.Get("error"), "a page that forgot")
		assert.Equal(t, server.UnmetAuthenticationRequirements, p.Decide(ask("max_age=60"), "", p.User).Query.Get("error"))
		assert.NotEmpty(t, p.Decide(ask("max_age=60"), "", minutesAgo(11, "")).Query.Get("code"), "to consent takes its time")
		for rule, nobody := range map[string]storage.User{
			"nil": server.SignedIn{}, "a nil pointer": server.SignedIn{User: (*oauthtest.User)(nil)}, "a nil SignedIn": (*server.SignedIn)(nil), "a pointer to nobody": &server.SignedIn{},
		} {
			assert.Equal(t, server.AccessDenied, p.Decide(ask(""), "", nobody).Query.Get("error"), "a denial: %s", rule)
		}
	})
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	w := p.Record(p.Protector.RequireAuthentication(resource.StepUp{})(http.NotFoundHandler()), httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	assert.Equal(t, http.StatusUnauthorized, w.Code, "without Require nobody gets through")
}
