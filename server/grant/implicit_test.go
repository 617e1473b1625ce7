package grant_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/grant"
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
