package endpoint_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
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
