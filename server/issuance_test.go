package server_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// What the user granted can only become less, whatever a client's
// GetAllowedScope makes of it today.
func TestAGrantNeverGrows(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		for _, granted := range []string{"", "profile"} {
			client := p.NewClient(nil)
			code, tokens := p.Code(client, "scope="+granted), p.Redeem(client, p.Code(client, "scope="+granted)).Body
			require.NoError(t, db.Model(client).Update("default_scope", "email").Error)
			for step, a := range map[string]oauthtest.Answer{
				"exchange": p.Redeem(client, code),
				"refresh":  p.Refresh(client, tokens["refresh_token"], ""),
			} {
				assert.Equal(t, http.StatusOK, a.Status, a.Raw)
				assert.Equal(t, granted, a.Body["scope"], "a default that came later does not belong to a grant of %q: %s", granted, step)
				assert.Equal(t, http.StatusForbidden, p.Call(a.Body["access_token"], "email").Status, step)
			}
		}
	})
}

func TestADefaultScopeIsGrantedLikeAnyOther(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(func(c *oauthtest.Client) { c.DefaultScope = "email" })
		a := p.Redeem(client, p.Code(client, ""))
		assert.Equal(t, "email", a.Body["scope"])
		assert.Equal(t, http.StatusOK, p.Call(a.Body["access_token"], "email").Status)
		assert.Equal(t, "email", p.Refresh(client, a.Body["refresh_token"], "").Body["scope"])
	})
}

func TestADefaultScopeIsOneOfTheServers(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.ScopesSupported = []string{"profile"} })
	byDefault := func(c *oauthtest.Client) { c.DefaultScope = "email" }
	client := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), byDefault))
	a := p.Token(client, "grant_type=client_credentials")
	assert.NotContains(t, a.Body["scope"], "email", "Config.ScopesSupported is every scope there is: %s", a.Raw)
}

// What a stranger wrote stands in a description only in characters that RFC
// 6749 section 5.2 allows there.
func TestAMalformedScopeIsNotRepeated(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for _, supported := range [][]string{nil, {"profile"}} {
		p := oauthtest.New(t, db, func(c *server.Config) { c.ScopesSupported = supported })
		web, machine := p.NewClient(nil), p.NewClient(oauthtest.Grants("client_credentials"))
		for _, scope := range []string{`"`, `a"b`, `\`, "é", "profile\temail", "a\r\nb", "\x7f"} {
			more := "scope=" + queryEscape(scope)
			for _, a := range []oauthtest.Answer{p.Consent(oauthtest.AuthorizeQuery(web, more)), p.Token(machine, "grant_type=client_credentials&"+more)} {
				assert.Equal(t, "invalid_scope", a.Params()["error"], "%q", scope)
				assert.Equal(t, "The 'scope' contains a character that is not allowed in a scope.", a.Params()["error_description"], "%q", scope)
			}
		}
	}
}

func TestAScopeThatTheServerLostIsNotIssued(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	code, token := p.Code(client, "scope=profile+email"), p.Redeem(client, p.Code(client, "scope=profile+email"))
	less := oauthtest.New(t, db, func(c *server.Config) { c.ScopesSupported = []string{"email"} })
	redeemed := less.Redeem(client, code)
	assert.Equal(t, "email", redeemed.Body["scope"])
	assert.Equal(t, "profile email", p.Refresh(client, redeemed.Body["refresh_token"], "").Body["scope"], "the user granted more than that")
	narrowed := less.Refresh(client, token.Body["refresh_token"], "")
	assert.Equal(t, "email", narrowed.Body["scope"])
	assert.Equal(t, "profile email", p.Refresh(client, narrowed.Body["refresh_token"], "").Body["scope"], "the grant is what it was")
}

func TestNoRefreshTokenWithoutItsGrant(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	srv, err := gormoauth.New(db, server.Config{
		Issuer:      oauthtest.Issuer,
		Logger:      oauthtest.Logger(nil),
		SaveToken:   gormoauth.CreateSaveTokenFunc[oauthtest.Token](db),
		RevokeGrant: gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db),
	}, gormoauth.Clients[oauthtest.Client](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]())
	require.NoError(t, err)
	p.Server = srv
	a := p.Redeem(client, p.Code(client, ""))
	assert.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.NotContains(t, a.Body, "refresh_token", "nobody could use it")
	assert.Equal(t, "unsupported_grant_type", p.Refresh(client, "x", "").Body["error"])
}

// A generator of the program's own may fail, or make what no header carries:
// nothing is issued then, and nothing is spent.
func TestAGeneratorThatFailsIssuesNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	good := oauthtest.New(t, db)
	client := good.NewClient(nil)
	makes := func(token string, err error) server.TokenGenerator {
		return func(context.Context, server.TokenInput) (string, error) { return token, err }
	}
	for rule, change := range map[string]func(*server.Config){
		"an error":                   func(c *server.Config) { c.AccessTokenGenerator = makes("t", errors.New("the disk is on fire")) },
		"an empty access token":      func(c *server.Config) { c.AccessTokenGenerator = makes("", nil) },
		"one with a space":           func(c *server.Config) { c.AccessTokenGenerator = makes("a b", nil) },
		"one that is not ASCII":      func(c *server.Config) { c.AccessTokenGenerator = makes("é", nil) },
		"one of padding alone":       func(c *server.Config) { c.AccessTokenGenerator = makes("==", nil) },
		"one with a line break":      func(c *server.Config) { c.AccessTokenGenerator = makes("a\r\nb", nil) },
		"an error of refresh tokens": func(c *server.Config) { c.RefreshTokenGenerator = makes("t", errors.New("the disk is on fire")) },
		"an empty refresh token":     func(c *server.Config) { c.RefreshTokenGenerator = makes("", nil) },
	} {
		p := oauthtest.New(t, db, change)
		before, code := p.Rows(&oauthtest.Token{}), p.Code(client, "")
		a := p.Redeem(client, code)
		assert.Equal(t, http.StatusInternalServerError, a.Status, rule)
		assert.Equal(t, "server_error", a.Body["error"], rule)
		assert.NotContains(t, a.Raw, "fire", rule)
		assert.Equal(t, before, p.Rows(&oauthtest.Token{}), rule)
		assert.Equal(t, http.StatusOK, good.Redeem(client, code).Status, "%s: the code is still good", rule)
	}
}

func TestAUserWithoutAnIDGetsNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for _, change := range []func(*server.Config){
		func(*server.Config) {},
		func(c *server.Config) {
			c.QueryUser = func(_ context.Context, id string) (storage.User, error) { return storage.UserID(id), nil }
		},
	} {
		p := oauthtest.New(t, db, change)
		require.NoError(t, p.Server.RegisterGrant(careless{func() *server.Issuance { return &server.Issuance{User: storage.UserID("")} }}))
		client := p.NewClient(oauthtest.Grants("authorization_code", "careless"))
		a := p.Decide(oauthtest.AuthorizeQuery(client, ""), "", storage.UserID(""))
		assert.Equal(t, "server_error", a.Query.Get("error"))
		assert.Empty(t, a.Query.Get("code"))
		assert.Equal(t, "server_error", p.Token(client, "grant_type=careless").Body["error"])
	}
}

// A QueryUser of the program's own may find nobody and say so with a pointer.
func TestANilPointerFromQueryUserIsNobody(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.QueryUser = func(context.Context, string) (storage.User, error) { var nobody *oauthtest.User; return nobody, nil }
	})
	client := p.NewClient(oauthtest.Grants("authorization_code", "password"))
	assert.Equal(t, "access_denied", p.Grant(oauthtest.AuthorizeQuery(client, "")).Query.Get("error"))
	assert.Equal(t, "invalid_grant", p.Token(client, "grant_type=password&username=a&password="+oauthtest.Password).Body["error"])
}

func TestANilPointerFromQueryClientIsNobody(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.QueryClient = func(context.Context, string) (storage.Client, error) {
			var nobody *oauthtest.Client
			return nobody, nil
		}
	})
	assert.NotPanics(t, func() {
		assert.Equal(t, "invalid_client", p.Consent("response_type=code&client_id=x").Body["error"])
		assert.Equal(t, "invalid_client", p.Token(nil, "grant_type=client_credentials&client_id=x").Body["error"])
	})
}

// idle is a grant of the program's own that forgets to answer.
type idle struct{}

func (idle) ResponseTypes() []string { return []string{"idle"} }

func (idle) ResponseMode() string { return "query" }

func (idle) Authorize(context.Context, *server.Request) (map[string][]string, error) { return nil, nil }

func TestAGrantThatReturnsNothingIssuesNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterGrant(careless{func() *server.Issuance { return nil }}))
	client := p.NewClient(oauthtest.Grants("careless"))
	assert.NotPanics(t, func() {
		assert.Equal(t, "server_error", p.Token(client, "grant_type=careless").Body["error"])
	}, "an Issuance that is nil")

	require.NoError(t, p.Server.RegisterGrant(idle{}))
	client.ClientMetadata.ResponseTypes = []string{"idle"}
	require.NoError(t, db.Save(client).Error)
	for _, state := range []string{"", "&state=s"} {
		assert.NotPanics(t, func() {
			a := p.Grant("response_type=idle&client_id=" + client.ClientID + state)
			assert.Empty(t, a.Params()["code"]+a.Params()["access_token"])
		}, "parameters that are nil, %q", state)
	}
	assert.Zero(t, p.Rows(&oauthtest.Token{}))
}
