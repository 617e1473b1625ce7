package grant_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

func TestClientCredentials(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Grants("client_credentials", "refresh_token"))
		const body = "grant_type=client_credentials"

		a := p.Token(client, body+"&scope=profile")
		assert.Equal(t, http.StatusOK, a.Status)
		assert.Equal(t, "profile", a.Body["scope"])
		assert.NotContains(t, a.Body, "refresh_token", "RFC 6749 section 4.4.3")
		var row oauthtest.Token
		require.NoError(t, db.First(&row).Error)
		assert.Nil(t, row.UserID, "there is no user")

		assert.Equal(t, "invalid_scope", p.Token(client, body+"&scope=admin").Body["error"])
		assert.Equal(t, "unauthorized_client", p.Token(p.NewClient(nil), body).Body["error"], "the client must be registered for it")
		a = p.Token(nil, body)
		assert.Equal(t, "invalid_client", a.Body["error"])
		assert.Equal(t, http.StatusUnauthorized, a.Status)

		byDefault := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.DefaultScope = "email" }))
		assert.Equal(t, "email", p.Token(byDefault, body).Body["scope"], "a client may have a default")
		refusing := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.RefuseEmpty = true }))
		assert.Equal(t, "invalid_scope", p.Token(refusing, body).Body["error"], "or none")
	})
}

// A public client that an operator registered for it by mistake.
func TestClientCredentialsAreNotForAPublicClient(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Public)
	client.ClientMetadata.GrantTypes = []string{"client_credentials"}
	require.NoError(t, db.Save(client).Error)
	assert.Equal(t, "invalid_client", p.Token(client, "grant_type=client_credentials").Body["error"])
}

func TestWhatATokenForAClientIs(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.TokenExpiresIn = map[string]time.Duration{"client_credentials": time.Minute} })
	p.Server.RegisterTokenGenerator("client_credentials", func(_ context.Context, in server.TokenInput) (string, error) {
		assert.Nil(t, in.User, "there is no user")
		return in.GrantType + "." + in.Client.GetClientID(), nil
	})
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	a := p.Token(client, "grant_type=client_credentials")
	assert.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.Equal(t, "60", a.Body["expires_in"])
	assert.Equal(t, "client_credentials."+client.ClientID, a.Body["access_token"])
	assert.NotContains(t, a.Body, "scope", "none was asked for")
	assert.True(t, p.Valid(a.Body["access_token"]))
	p.Now = p.Now.Add(time.Minute)
	assert.False(t, p.Valid(a.Body["access_token"]))
}
