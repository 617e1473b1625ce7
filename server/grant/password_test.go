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
