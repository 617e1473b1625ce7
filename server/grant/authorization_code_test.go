package grant_test

import (
	"context"
	"net/http"
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
)

func TestAuthorizationCode(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		web, public := p.NewClient(nil), p.NewClient(oauthtest.Public)
		post := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = "client_secret_post" })
		noRefresh := p.NewClient(oauthtest.Grants("authorization_code"))
		const redeem = "grant_type=authorization_code&code_verifier=" + oauthtest.Verifier

		for _, client := range []*oauthtest.Client{web, public, post} {
			a := p.Redeem(client, p.Code(client, "scope=profile"))
			assert.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.Equal(t, "Bearer", a.Body["token_type"])
			assert.Equal(t, "3600", a.Body["expires_in"], "an hour by default")
			assert.Equal(t, "profile", a.Body["scope"])
			assert.True(t, strings.HasPrefix(a.Body["access_token"], "goa_at_"))
			assert.True(t, strings.HasPrefix(a.Body["refresh_token"], "goa_rt_"))
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			assert.Equal(t, "no-cache", a.Header.Get("Pragma"))
			assert.Equal(t, "application/json", a.Header.Get("Content-Type"))
			assert.Equal(t, http.StatusOK, p.Call(a.Body["access_token"], "profile").Status)
		}
		a := p.Redeem(noRefresh, p.Code(noRefresh, ""))
		assert.Equal(t, http.StatusOK, a.Status)
		assert.NotContains(t, a.Body, "refresh_token", "no refresh token for a client that may not use it")
		assert.NotContains(t, a.Body, "scope")

		code := func() string { return p.Code(web, "redirect_uri="+oauthtest.RedirectURI) }
		for _, row := range []struct{ rule, body, code string }{
			{"code is needed", redeem, "invalid_request"},
			{"the code must be known", redeem + "&code=unknown", "invalid_grant"},
			{"a malformed code is none", redeem + "&code=goa_ac_x", "invalid_grant"},
			{"a refresh token is no code", redeem + "&code=" + p.Redeem(web, p.Code(web, "")).Body["refresh_token"], "invalid_grant"},
			{"redirect_uri is repeated", redeem + "&code=" + code(), "invalid_grant"},
			{"as it was", redeem + "&redirect_uri=https://client.example/other&code=" + code(), "invalid_grant"},
			{"or another that was not sent before", redeem + "&redirect_uri=https://client.example/other&code=" + p.Code(web, ""), "invalid_grant"},
			{"a code is for its client", redeem + "&code=" + p.Code(public, ""), "invalid_grant"},
			{"code comes once", redeem + "&code=a&code=b", "invalid_request"},
		} {
			a := p.Token(web, row.body)
			assert.Equal(t, http.StatusBadRequest, a.Status, row.rule)
			assert.Equal(t, row.code, a.Body["error"], row.rule)
		}
		assert.Equal(t, http.StatusOK, p.Token(web, redeem+"&redirect_uri="+oauthtest.RedirectURI+"&code="+code()).Status)
		assert.Equal(t, http.StatusOK, p.Token(web, redeem+"&redirect_uri="+oauthtest.RedirectURI+"&code="+p.Code(web, "")).Status,
			"the one that was used may be named although the request did not")
	})
}

// A thief who has the code of another client gains nothing, and the client
// that it belongs to loses nothing.
func TestACodeOfAnotherClientStaysAlive(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client, thief := p.NewClient(oauthtest.Public), p.NewClient(oauthtest.Public)
	code := p.Code(client, "")
	assert.Equal(t, "invalid_grant", p.Redeem(thief, code).Body["error"])
	assert.Equal(t, http.StatusOK, p.Redeem(client, code).Status)
	assert.Equal(t, "invalid_grant", p.Redeem(thief, code).Body["error"])
	var revoked int64
	require.NoError(t, db.Model(&oauthtest.Token{}).Where("refresh_token_revoked_at <> 0").Count(&revoked).Error)
	assert.Zero(t, revoked, "and another client cannot end the grant with it")
}

// A cut or mistyped code, or one of another kind, costs no look-up.
func TestAMalformedCredentialIsRefusedWithoutAQuery(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	code := p.Code(client, "")
	tokens := p.Redeem(client, p.Code(client, "")).Body
	for rule, c := range map[string]struct {
		ask   func() oauthtest.Answer
		looks string
	}{
		"a code that was cut":          {func() oauthtest.Answer { return p.Redeem(client, code[:len(code)-1]) }, ""},
		"a code in small letters":      {func() oauthtest.Answer { return p.Redeem(client, strings.ToLower(code)) }, ""},
		"an access token as a code":    {func() oauthtest.Answer { return p.Redeem(client, tokens["access_token"]) }, ""},
		"a refresh token as a code":    {func() oauthtest.Answer { return p.Redeem(client, tokens["refresh_token"]) }, ""},
		"a code as a refresh token":    {func() oauthtest.Answer { return p.Refresh(client, code, "") }, ""},
		"a refresh token that was cut": {func() oauthtest.Answer { return p.Refresh(client, tokens["refresh_token"][1:]+"x", "") }, ""},
		"a code of another program":    {func() oauthtest.Answer { return p.Redeem(client, "abc") }, "authorization_codes"},
		"a refresh token of another":   {func() oauthtest.Answer { return p.Refresh(client, "abc", "") }, "tokens"},
	} {
		tables := p.Queried(func() { assert.Equal(t, "invalid_grant", c.ask().Body["error"], rule) })
		if c.looks != "" {
			assert.Contains(t, tables, c.looks, rule)
		} else {
			assert.Equal(t, []string{"clients"}, tables, rule)
		}
	}
}

func TestACodeLivesAsLongAsItsGrantSays(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	codes := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	codes.ExpiresIn = -1
	assert.ErrorContains(t, p.Server.RegisterGrant(codes), "AuthorizationCode.ExpiresIn must not be negative")
	codes.ExpiresIn = time.Minute
	require.NoError(t, p.Server.RegisterGrant(codes))
	client := p.NewClient(nil)
	first, second := p.Code(client, ""), p.Code(client, "")
	p.Now = p.Now.Add(time.Minute - time.Second)
	assert.Equal(t, http.StatusOK, p.Redeem(client, first).Status)
	p.Now = p.Now.Add(time.Second)
	assert.Equal(t, "invalid_grant", p.Redeem(client, second).Body["error"])
}

// RFC 6749 section 4.1.3: the code belongs to the client that authenticated,
// which may have lost the grant type since.
func TestAClientThatLostItsGrantTypeGetsNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	code, tokens := p.Code(client, ""), p.Redeem(client, p.Code(client, "")).Body
	client.ClientMetadata.GrantTypes = nil
	require.NoError(t, db.Save(client).Error)
	assert.Equal(t, "unauthorized_client", p.Redeem(client, code).Body["error"])
	assert.Equal(t, "unauthorized_client", p.Refresh(client, tokens["refresh_token"], "").Body["error"])
}

func TestACodeIsSingleUse(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		code, other := p.Code(client, ""), p.Redeem(client, p.Code(client, ""))
		first := p.Redeem(client, code)
		require.True(t, p.Valid(first.Body["access_token"]))
		refreshed := p.Refresh(client, first.Body["refresh_token"], "")

		assert.Equal(t, "invalid_grant", p.Redeem(client, code).Body["error"])
		assert.False(t, p.Valid(first.Body["access_token"]), "the second use revokes what the first gave")
		assert.False(t, p.Valid(refreshed.Body["access_token"]), "and what came of that")
		assert.Equal(t, "invalid_grant", p.Refresh(client, refreshed.Body["refresh_token"], "").Body["error"])
		assert.True(t, p.Valid(other.Body["access_token"]), "another grant is not touched")

		late := p.Code(client, "")
		first = p.Redeem(client, late)
		p.Now = p.Now.Add(time.Hour / 2)
		p.Redeem(client, late)
		assert.False(t, p.Valid(first.Body["access_token"]), "also when the code has expired since")
	})
}

func TestACodeExpires(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		code := p.Code(client, "")
		p.Now = p.Now.Add(5*time.Minute - time.Second)
		assert.Equal(t, http.StatusOK, p.Redeem(client, code).Status)
		code = p.Code(client, "")
		p.Now = p.Now.Add(5 * time.Minute)
		assert.Equal(t, "invalid_grant", p.Redeem(client, code).Body["error"])
	})
}

func TestAUserWhoIsDisabledGetsNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		code, token := p.Code(client, ""), p.Redeem(client, p.Code(client, ""))
		require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
		assert.Equal(t, "invalid_grant", p.Redeem(client, code).Body["error"])
		assert.Equal(t, "invalid_grant", p.Refresh(client, token.Body["refresh_token"], "").Body["error"])
		require.NoError(t, db.Model(p.User).Update("disabled", false).Error)
		assert.Equal(t, http.StatusOK, p.Refresh(client, token.Body["refresh_token"], "").Status, "a refusal spends nothing")
	})
}

// The client may have lost a scope between consent and exchange.
func TestAScopeThatTheClientLostIsNotIssued(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	code, token := p.Code(client, "scope=profile+email"), p.Redeem(client, p.Code(client, "scope=profile+email"))
	client.ClientMetadata.Scope = "profile"
	require.NoError(t, db.Save(client).Error)
	assert.Equal(t, "profile", p.Redeem(client, code).Body["scope"])
	assert.Equal(t, "profile", p.Refresh(client, token.Body["refresh_token"], "").Body["scope"])
}

func TestLifetimesAndGenerators(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	own := func(kind string) server.TokenGenerator {
		return func(_ context.Context, in server.TokenInput) (string, error) {
			user := "nobody"
			if in.User != nil {
				user = in.User.GetUserID()
			}
			return kind + "." + in.GrantType + "." + user + "." + in.Scope, nil
		}
	}
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.TokenExpiresIn = map[string]time.Duration{"authorization_code": 10 * 24 * time.Hour}
		c.AccessTokenGenerator, c.RefreshTokenGenerator = own("a"), own("r")
	})
	p.Server.RegisterTokenGenerator("refresh_token", own("special"))
	client := p.NewClient(nil)
	a := p.Redeem(client, p.Code(client, "scope=profile"))
	assert.Equal(t, "864000", a.Body["expires_in"])
	assert.Equal(t, "a.authorization_code.1.profile", a.Body["access_token"], "the generator decides all of an access token")
	assert.True(t, strings.HasPrefix(a.Body["refresh_token"], "r.authorization_code.1.profile_"), "and the own part of a refresh token")
	assert.True(t, p.Valid(a.Body["access_token"]))
	b := p.Refresh(client, a.Body["refresh_token"], "")
	assert.Equal(t, "special.refresh_token.1.profile", b.Body["access_token"], "a grant type has its own generator")
	assert.Equal(t, "3600", b.Body["expires_in"])
	assert.Equal(t, "invalid_grant", p.Refresh(client, a.Body["refresh_token"], "").Body["error"])
	assert.False(t, p.Valid(b.Body["access_token"]), "reuse is recognised with generators of one's own")

	off := oauthtest.New(t, db, func(c *server.Config) { c.NoRefreshTokens = true })
	client = off.NewClient(nil)
	assert.NotContains(t, off.Redeem(client, off.Code(client, "")).Body, "refresh_token")
}
