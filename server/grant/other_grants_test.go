package grant_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
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

func TestPassword(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Grants("password", "refresh_token"))
		const body = "grant_type=password"
		for _, row := range []struct {
			rule   string
			client *oauthtest.Client
			body   string
			code   string
		}{
			{"user name and password", client, "&username=foo&password=right&scope=profile", ""},
			{"the user name is needed", client, "&password=right", "invalid_request"},
			{"the password is needed", client, "&username=foo", "invalid_request"},
			{"a wrong password", client, "&username=foo&password=wrong", "invalid_grant"},
			{"a scope of another client", client, "&username=foo&password=right&scope=admin", "invalid_scope"},
			{"another client", p.NewClient(nil), "&username=foo&password=right", "unauthorized_client"},
			{"no client", nil, "&username=foo&password=right", "invalid_client"},
		} {
			a := p.Token(row.client, body+row.body)
			assert.Equal(t, row.code, a.Body["error"], row.rule)
			if row.code == "" {
				assert.NotEmpty(t, a.Body["refresh_token"])
				assert.True(t, p.Valid(a.Body["access_token"]))
				assert.Equal(t, http.StatusOK, p.Refresh(client, a.Body["refresh_token"], "").Status)
			}
		}
		require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
		assert.Equal(t, "invalid_grant", p.Token(client, body+"&username=foo&password=right").Body["error"], "a disabled user")
	})
}

func TestPasswordAndImplicitAreNotThereByDefault(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	require.NoError(t, srv.RegisterGrant(&grant.ClientCredentials{}))
	for _, grantType := range []string{"password", "refresh_token", "authorization_code"} {
		assert.Contains(t, post(srv, "grant_type="+grantType), "unsupported_grant_type")
	}
	assert.ErrorContains(t, srv.RegisterGrant(&grant.Password{}), "AuthenticateUser is missing")
	assert.ErrorContains(t, srv.RegisterGrant(&grant.AuthorizationCode{}), "SaveAuthorizationCode is missing")
	assert.ErrorContains(t, srv.RegisterGrant(&grant.RefreshToken{}), "QueryToken is missing")
	assert.ErrorContains(t, srv.RegisterGrant(&grant.RefreshToken{}), "RevokeGrant")
}

func TestImplicit(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
		query := "response_type=token&scope=profile&state=s&client_id=" + client.ClientID

		a := p.Grant(query)
		assert.Equal(t, oauthtest.RedirectURI, a.To)
		assert.Empty(t, a.Query, "all in the fragment")
		assert.Equal(t, "Bearer", a.Fragment.Get("token_type"))
		assert.Equal(t, "3600", a.Fragment.Get("expires_in"))
		assert.Equal(t, "profile", a.Fragment.Get("scope"))
		assert.Equal(t, "s", a.Fragment.Get("state"))
		assert.Equal(t, oauthtest.Issuer, a.Fragment.Get("iss"))
		assert.False(t, a.Fragment.Has("refresh_token"), "RFC 6749 section 4.2.2")
		assert.Equal(t, http.StatusOK, p.Call(a.Fragment.Get("access_token"), "profile").Status)

		a = p.Decide(query, "", nil)
		assert.Equal(t, "access_denied", a.Fragment.Get("error"), "errors are there, too")
		assert.Empty(t, a.Query)
		a = p.Grant("response_type=token&scope=admin&client_id=" + client.ClientID)
		assert.Equal(t, "invalid_scope", a.Fragment.Get("error"))

		confidential := p.NewClient(oauthtest.Grants("implicit"))
		a = p.Consent("response_type=token&client_id=" + confidential.ClientID)
		assert.Equal(t, "unauthorized_client", a.Fragment.Get("error"), "a client with a secret has better ways")
		code := p.NewClient(oauthtest.Public)
		a = p.Consent("response_type=token&client_id=" + code.ClientID)
		assert.Equal(t, "unauthorized_client", a.Fragment.Get("error"))

		require.NoError(t, p.Server.RegisterGrant(&grant.Implicit{AllowConfidentialClients: true}))
		assert.Equal(t, http.StatusOK, p.Consent("response_type=token&client_id="+confidential.ClientID).Status, "but by option")
	})
}
