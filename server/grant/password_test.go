package grant_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
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

// The token has the scope that was asked for, or the client's default, and its refresh keeps it.
func TestTheScopeOfATokenForAPassword(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.All(oauthtest.Grants("password", "refresh_token"), func(c *oauthtest.Client) { c.DefaultScope = "email" }))
		for asked, granted := range map[string]string{"profile": "profile", "profile+email": "profile email", "profile+admin": "profile", "": "email"} {
			a := p.Token(client, "grant_type=password&username=foo&password="+oauthtest.Password+"&scope="+asked)
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.Equal(t, granted, a.Body["scope"], asked)
			assert.Equal(t, granted, p.Introspect(client, "token="+a.Body["access_token"]).Body["scope"], asked)
			assert.Equal(t, http.StatusOK, p.Call(a.Body["access_token"], granted).Status, asked)
			if granted != "profile email" {
				assert.Equal(t, http.StatusForbidden, p.Call(a.Body["access_token"], "profile email").Status, asked)
			}
			assert.Equal(t, granted, p.Refresh(client, a.Body["refresh_token"], "").Body["scope"], asked)
		}
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

func TestWhatATokenForAPasswordIs(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.TokenExpiresIn = map[string]time.Duration{"password": 30 * time.Minute} })
	p.Server.RegisterTokenGenerator("password", func(_ context.Context, in server.TokenInput) (string, error) {
		return in.GrantType + "." + in.User.GetUserID(), nil
	})
	client := p.NewClient(oauthtest.All(oauthtest.Grants("password"), func(c *oauthtest.Client) { c.DefaultScope = "email" }))
	a := p.Token(client, "grant_type=password&username=foo&password="+oauthtest.Password)
	assert.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.Equal(t, "1800", a.Body["expires_in"], "its grant type has its lifetime")
	assert.Equal(t, "password."+p.User.GetUserID(), a.Body["access_token"], "its generator")
	assert.Equal(t, "email", a.Body["scope"], "and the client its default")
	assert.NotContains(t, a.Body, "refresh_token", "no refresh token for a client that may not use it")
	assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
}

func TestUserNameAndPasswordArriveAsTheyWereTyped(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	var got [2]string
	require.NoError(t, p.Server.RegisterGrant(&grant.Password{AuthenticateUser: func(_ context.Context, _ *server.Request, username, password string) (storage.User, error) {
		got = [2]string{username, password}
		return p.User, nil
	}}))
	client := p.NewClient(oauthtest.Grants("password"))
	want := [2]string{" é+ü ", "a&b=c%41 \t\u2028"}
	a := p.Token(client, "grant_type=password&username="+url.QueryEscape(want[0])+"&password="+url.QueryEscape(want[1]))
	assert.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.Equal(t, want, got)
}

func TestAPasswordThatCannotBeCheckedIsNotWrong(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Grants("password"))
	var nobody *oauthtest.User
	for want, answer := range map[string]struct {
		user storage.User
		err  error
	}{
		"server_error":  {nil, errors.New("the disk is on fire")},
		"invalid_grant": {nobody, nil},
	} {
		require.NoError(t, p.Server.RegisterGrant(&grant.Password{AuthenticateUser: func(context.Context, *server.Request, string, string) (storage.User, error) {
			return answer.user, answer.err
		}}))
		a := p.Token(client, "grant_type=password&username=foo&password=x")
		assert.Equal(t, want, a.Body["error"])
		assert.NotContains(t, a.Raw, "fire")
	}
}

// A guess is bounded by who makes it: the client and the address are known, and the
// answer is the program's.
func TestWhoGuessesAPasswordIsKnown(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(oauthtest.Grants("password"))
	require.NoError(t, p.Server.RegisterGrant(&grant.Password{AuthenticateUser: func(_ context.Context, req *server.Request, _, _ string) (storage.User, error) {
		assert.Equal(t, client.ClientID, req.Client.GetClientID())
		assert.Equal(t, "192.0.2.1", req.Server.RemoteAddress(req.HTTP))
		return nil, server.TooManyRequests(time.Minute, "Later.")
	}}))
	a := p.Token(client, "grant_type=password&username=foo&password=x")
	assert.Equal(t, http.StatusTooManyRequests, a.Status, a.Raw)
	assert.NotEmpty(t, a.Header.Get("Retry-After"))
}
