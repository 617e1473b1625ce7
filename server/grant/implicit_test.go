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
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

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

func TestWhatAnImplicitTokenIs(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.TokenExpiresIn = map[string]time.Duration{"implicit": time.Minute} })
	implicit := oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit"))
	query := func(change func(*oauthtest.Client)) string {
		return "response_type=token&client_id=" + p.NewClient(oauthtest.All(implicit, change)).ClientID
	}
	plain := func(*oauthtest.Client) {}
	a := p.Grant(query(plain))
	assert.Equal(t, "60", a.Fragment.Get("expires_in"), "its grant type has its lifetime")
	assert.False(t, a.Fragment.Has("scope"), "no scope was asked for")
	a = p.Grant(query(func(c *oauthtest.Client) { c.DefaultScope = "email" }))
	assert.Equal(t, "email", a.Fragment.Get("scope"), "a client may have a default")
	assert.Equal(t, http.StatusOK, p.Call(a.Fragment.Get("access_token"), "email").Status)
	a = p.Grant(query(func(c *oauthtest.Client) { c.RefuseEmpty = true }))
	assert.Equal(t, "invalid_scope", a.Fragment.Get("error"), "or none")

	p.Server.RegisterTokenGenerator("implicit", func(_ context.Context, in server.TokenInput) (string, error) {
		return in.GrantType + "." + in.User.GetUserID(), nil
	})
	a = p.Grant(query(plain))
	assert.Equal(t, "implicit."+p.User.GetUserID(), a.Fragment.Get("access_token"), "and a generator of its own")
	before := p.Rows(&oauthtest.Token{})
	require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
	assert.Equal(t, "access_denied", p.Grant(query(plain)).Fragment.Get("error"), "a disabled user grants nothing")
	assert.Equal(t, before, p.Rows(&oauthtest.Token{}))
}

func TestAnImplicitTokenThatCannotBeStoredIsNotSent(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.SaveToken = func(context.Context, storage.Exchange) error {
			return errors.New("the disk is on fire")
		}
	})
	client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
	a := p.Grant("response_type=token&state=s&client_id=" + client.ClientID)
	assert.Equal(t, oauthtest.RedirectURI, a.To)
	assert.Equal(t, "server_error", a.Fragment.Get("error"))
	assert.Equal(t, "s", a.Fragment.Get("state"))
	assert.False(t, a.Fragment.Has("access_token"))
	assert.NotContains(t, a.Header.Get("Location"), "fire")
}

// deciding is a hook by which a program says what a user has allowed.
type deciding struct{ scope, audience string }

func (d deciding) DecideAuthorizationRequest(_ context.Context, req *server.Request) error {
	req.Scope, req.Audience = d.scope, d.audience
	return nil
}

// What was decided is what is issued, whatever the request had asked for.
func TestWhatWasDecidedIsIssued(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for _, indicators := range []bool{true, false} {
			for _, decided := range []deciding{{"profile", apiA}, {"", ""}, {"profile email", apiA + " " + apiB}} {
				p := oauthtest.New(t, db)
				require.NoError(t, p.Server.Register(decided))
				if indicators {
					require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA, apiB}, Default: apiB}))
				}
				asked := url.Values{"resource": {apiA}}
				asked["scope"] = []string{"profile email"}
				implicit := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
				a := p.Grant("response_type=token&client_id=" + implicit.ClientID + "&" + asked.Encode())
				require.NotEmpty(t, a.Fragment.Get("access_token"), a.Raw)
				assert.Equal(t, decided.scope, a.Fragment.Get("scope"))
				web := p.NewClient(nil)
				for _, token := range []string{a.Fragment.Get("access_token"), p.Redeem(web, p.Code(web, asked.Encode())).Body["access_token"]} {
					var row oauthtest.Token
					require.NoError(t, db.Where("access_token = ?", secret.Digest(token)).First(&row).Error)
					assert.Equal(t, [2]string{decided.scope, decided.audience}, [2]string{row.Scope, row.Audience}, "indicators: %v", indicators)
					assert.Equal(t, [2]string{decided.scope, decided.audience}, [2]string{row.GrantedScope, row.GrantedAudience}, "indicators: %v", indicators)
				}
			}
		}
	})
}
