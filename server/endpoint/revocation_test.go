package endpoint_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
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
)

func TestRevocation(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		web, public, other := p.NewClient(nil), p.NewClient(oauthtest.Public), p.NewClient(nil)
		post := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = "client_secret_post" })
		issue := func(client *oauthtest.Client) map[string]string { return p.Redeem(client, p.Code(client, "")).Body }

		for _, client := range []*oauthtest.Client{web, public, post} {
			for _, hint := range []string{"", "&token_type_hint=access_token", "&token_type_hint=refresh_token", "&token_type_hint=whatever"} {
				tokens := issue(client)
				a := p.Revoke(client, "token="+tokens["access_token"]+hint)
				assert.Equal(t, http.StatusOK, a.Status, hint)
				assert.Equal(t, "{}", a.Raw)
				assert.False(t, p.Valid(tokens["access_token"]), "a hint is but a hint: %q", hint)
				again := p.Refresh(client, tokens["refresh_token"], "")
				assert.Equal(t, http.StatusOK, again.Status, "the refresh token lives on")
				assert.True(t, p.Valid(again.Body["access_token"]), "and so does what it gives")

				tokens = issue(client)
				assert.Equal(t, http.StatusOK, p.Revoke(client, "token="+tokens["refresh_token"]+hint).Status)
				assert.False(t, p.Valid(tokens["access_token"]), "a refresh token takes its access token with it: %q", hint)
				assert.Equal(t, "invalid_grant", p.Refresh(client, tokens["refresh_token"], "").Body["error"])
				assert.Equal(t, http.StatusOK, p.Revoke(client, "token="+tokens["refresh_token"]).Status, "twice is no error")
			}
		}

		tokens := issue(web)
		newer := p.Refresh(web, tokens["refresh_token"], "").Body
		assert.Equal(t, http.StatusOK, p.Revoke(web, "token="+tokens["refresh_token"]).Status)
		assert.False(t, p.Valid(newer["access_token"]), "an earlier refresh token stands for its grant")

		tokens = issue(web)
		for _, token := range []string{tokens["access_token"], tokens["refresh_token"]} {
			a := p.Revoke(other, "token="+token)
			assert.Equal(t, http.StatusBadRequest, a.Status)
			assert.Equal(t, "invalid_grant", a.Body["error"], "another client cannot")
		}
		assert.True(t, p.Valid(tokens["access_token"]))

		for _, unknown := range []string{"unknown", tokens["access_token"] + "x", "goa_rt_short"} {
			assert.Equal(t, http.StatusOK, p.Revoke(web, "token="+unknown).Status, "what is not there need not be revoked")
		}
		assert.Equal(t, "invalid_request", p.Revoke(web, "").Body["error"], "token is needed")
		assert.Equal(t, "invalid_request", p.Revoke(web, "token=a&token=b").Body["error"])
		a := p.Revoke(nil, "token="+tokens["access_token"])
		assert.Equal(t, http.StatusUnauthorized, a.Status, "client authentication comes first")
		assert.Equal(t, "invalid_client", a.Body["error"])
		assert.NotEmpty(t, a.Header.Get("WWW-Authenticate"))
	})
}

// Whoever is told that a token was revoked relies on it.
func TestAFailureIsNeverASuccess(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	tokens := p.Redeem(client, p.Code(client, "")).Body
	broken := errors.New("the disk is on fire")
	working := gormoauth.CreateRevocationEndpoint[oauthtest.Token](db)

	failing := *working
	failing.RevokeToken = func(context.Context, string, time.Time) error { return broken }
	failing.RevokeGrant = func(context.Context, string, time.Time) error { return broken }
	require.NoError(t, p.Server.RegisterEndpoint(&failing))
	for _, token := range []string{tokens["access_token"], tokens["refresh_token"]} {
		a := p.Revoke(client, "token="+token)
		assert.Equal(t, http.StatusInternalServerError, a.Status)
		assert.Equal(t, "server_error", a.Body["error"])
		assert.NotContains(t, a.Raw, "fire", "nothing from inside leaks")
	}
	require.NoError(t, db.Migrator().DropTable(&oauthtest.Token{}))
	require.NoError(t, p.Server.RegisterEndpoint(working))
	assert.Equal(t, http.StatusInternalServerError, p.Revoke(client, "token=unknown").Status)
}

func TestARevocationRequestIsAPostOfAClient(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		token := p.Redeem(client, p.Code(client, "")).Body["access_token"]
		const form = "application/x-www-form-urlencoded"
		for _, row := range []struct {
			rule, method, query, media, body string
			authorization                    string
			status                           int
			code                             string
		}{
			{"GET is not allowed", "GET", "?token=" + token, form, "", "", 405, "invalid_request"},
			{"nor is DELETE", "DELETE", "?token=" + token, form, "token=" + token, "", 405, "invalid_request"},
			{"the query is not looked at", "POST", "?token=" + token, form, "", "", 400, "invalid_request"},
			{"JSON is not a form", "POST", "", "application/json", `{"token":"` + token + `"}`, "", 400, "invalid_request"},
			{"no client", "POST", "", form, "token=" + token, "none", 401, "invalid_client"},
			{"a header that is no authentication", "POST", "", form, "token=" + token, "invalid token_string", 401, "invalid_client"},
			{"an unknown client", "POST", "", form, "token=" + token, "Basic aW52YWxpZC1jbGllbnQ6eA==", 401, "invalid_client"},
			{"a wrong client before a missing token", "POST", "", form, "", "Basic aW52YWxpZC1jbGllbnQ6eA==", 401, "invalid_client"},
			{"a NUL in the token", "POST", "", form, "token=%00", "", 400, "invalid_request"},
		} {
			r := httptest.NewRequest(row.method, "/oauth/revoke"+row.query, strings.NewReader(row.body))
			r.Header.Set("Content-Type", row.media)
			switch row.authorization {
			case "":
				r.SetBasicAuth(client.ClientID, client.Secret)
			case "none":
			default:
				r.Header.Set("Authorization", row.authorization)
			}
			w := httptest.NewRecorder()
			p.Server.EndpointHandler("revocation")(w, r)
			assert.Equal(t, row.status, w.Code, "%s: %s", row.rule, w.Body)
			assert.Contains(t, w.Body.String(), `"error":"`+row.code+`"`, row.rule)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), row.rule)
			assert.Equal(t, row.status == http.StatusMethodNotAllowed, w.Header().Get("Allow") == "POST", row.rule)
			assert.Equal(t, row.status == http.StatusUnauthorized, w.Header().Get("WWW-Authenticate") != "", row.rule)
		}
		assert.True(t, p.Valid(token), "none of them has revoked anything")
	})
}

func TestTokensWithoutARefreshTokenAreRevoked(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Grants("client_credentials"))
		issue := func() string { return p.Token(client, "grant_type=client_credentials").Body["access_token"] }
		for _, hint := range []string{"", "&token_type_hint=refresh_token"} {
			token, other := issue(), issue()
			assert.Equal(t, http.StatusOK, p.Revoke(client, "token="+token+hint).Status)
			assert.False(t, p.Valid(token), hint)
			assert.True(t, p.Valid(other), "and no other token of the client: %q", hint)
		}
		expired := issue()
		p.Now = p.Now.Add(2 * time.Hour)
		assert.Equal(t, http.StatusOK, p.Revoke(client, "token="+expired).Status, "an expired one is no error")
	})
}

// A token of generators of the program's own looks like nothing in particular.
func TestTokensOfAnyShapeAreRevoked(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	n := 0
	generator := func(context.Context, server.TokenInput) (string, error) { n++; return "own-" + strconv.Itoa(n), nil }
	p := oauthtest.New(t, db, func(c *server.Config) { c.AccessTokenGenerator, c.RefreshTokenGenerator = generator, generator })
	client := p.NewClient(nil)
	for _, hint := range []string{"", "&token_type_hint=access_token", "&token_type_hint=refresh_token"} {
		tokens := p.Redeem(client, p.Code(client, "")).Body
		p.Revoke(client, "token="+tokens["access_token"]+hint)
		assert.False(t, p.Valid(tokens["access_token"]), hint)
		again := p.Refresh(client, tokens["refresh_token"], "").Body
		assert.True(t, p.Valid(again["access_token"]), hint)
		p.Revoke(client, "token="+again["refresh_token"]+hint)
		assert.False(t, p.Valid(again["access_token"]), hint)
	}
}

// A wrong hint costs a look-up, and that only for an access token: a refresh token says itself what it is.
func TestAWrongHintCostsALookUp(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(nil)
	tokens := p.Redeem(client, p.Code(client, "")).Body
	for kind, want := range map[string]map[string]int{
		"access_token":  {"access_token": 1, "refresh_token": 2, "whatever": 1},
		"refresh_token": {"access_token": 1, "refresh_token": 1, "whatever": 1},
	} {
		for hint, looks := range want {
			queried := p.Queried(func() {
				assert.Equal(t, "true", p.Introspect(client, "token="+tokens[kind]+"&token_type_hint="+hint).Body["active"])
			})
			assert.Len(t, slices.DeleteFunc(queried, func(table string) bool { return table != "tokens" }), looks, "%s as %s", kind, hint)
		}
	}
}

func TestAMalformedTokenIsAnsweredWithoutAQuery(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["access_token"]
	for malformed, tables := range map[string][]string{
		token + "x":          {"clients"},
		p.Code(client, ""):   {"clients"},
		"of another program": {"clients", "tokens", "tokens"},
	} {
		got := p.Queried(func() { assert.Equal(t, http.StatusOK, p.Revoke(client, "token="+url.QueryEscape(malformed)).Status) })
		assert.Equal(t, tables, got, malformed)
	}
}

func TestANilFunctionIsRefusedAtRegistration(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	working := gormoauth.CreateRevocationEndpoint[oauthtest.Token](db)
	for name, change := range map[string]func(*endpoint.Revocation){
		"QueryToken":  func(e *endpoint.Revocation) { e.QueryToken = nil },
		"RevokeToken": func(e *endpoint.Revocation) { e.RevokeToken = nil },
		"RevokeGrant": func(e *endpoint.Revocation) { e.RevokeGrant = nil },
	} {
		broken := *working
		change(&broken)
		assert.ErrorContains(t, p.Server.RegisterEndpoint(&broken), "Revocation has a nil function", name)
	}
	client := p.NewClient(nil)
	assert.Equal(t, http.StatusOK, p.Revoke(client, "token=x").Status, "and the working one stays")
}
