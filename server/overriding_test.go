package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
)

// Models of a program that decides for itself.
type (
	ownClient struct {
		ID     uint
		Locked bool
		models.ClientMixin
	}
	ownToken struct {
		ID      uint
		UserID  *uint
		Suspect bool
		models.TokenMixin
	}
	ownCode struct {
		ID     uint
		UserID uint
		models.AuthorizationCodeMixin
	}
)

func (c *ownClient) CheckRedirectURI(uri string) bool {
	return strings.HasPrefix(uri, "https://tenant.example/")
}

func (c *ownClient) CheckGrantType(grantType string) bool {
	return !c.Locked && c.ClientMixin.CheckGrantType(grantType)
}

func (c *ownClient) CheckResponseType(responseType string) bool { return responseType == "code" }

func (c *ownClient) CheckClientSecret(secret string, _ time.Time) bool {
	return secret == "from elsewhere"
}

func (t *ownToken) IsRevoked() bool { return t.Suspect || t.TokenMixin.IsRevoked() }

func (t *ownToken) IsRefreshTokenExpired(now time.Time) bool {
	return t.Suspect || t.TokenMixin.IsRefreshTokenExpired(now)
}

// IsExpired gives codes two minutes.
func (c *ownCode) IsExpired(now time.Time) bool { return now.Unix() >= c.IssuedAt+120 }

// The engine asks everything of a model through an interface, so a method of
// the program's own wins over the mixin's.
func TestMethodsOfTheProgramsModelsWin(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, append(oauthtest.Models(), &ownClient{}, &ownToken{}, &ownCode{})...)
	p := oauthtest.New(t, db)
	clock := func() time.Time { return p.Now }
	srv, err := gormoauth.New(db, server.Config{Issuer: oauthtest.Issuer, Clock: clock, Logger: oauthtest.Logger(nil)}, gormoauth.Clients[ownClient](),
		gormoauth.Tokens[ownToken](), gormoauth.AuthorizationCodes[ownCode](), gormoauth.Users[oauthtest.User]())
	require.NoError(t, err)
	p.Server = srv
	p.Protector = p.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[ownToken](db))
	row := &ownClient{ClientMixin: models.ClientMixin{ClientID: "own", ClientMetadata: models.ClientMetadata{GrantTypes: []string{"authorization_code", "refresh_token"}}}}
	require.NoError(t, db.Create(row).Error)
	client := &oauthtest.Client{ClientMixin: row.ClientMixin, Secret: "from elsewhere"}

	more := "redirect_uri=https://tenant.example/cb"
	redeem := func(code string) oauthtest.Answer {
		return p.Token(client, "grant_type=authorization_code&"+more+"&code_verifier="+oauthtest.Verifier+"&code="+code)
	}
	assert.Equal(t, http.StatusBadRequest, p.Grant(oauthtest.AuthorizeQuery(client, "redirect_uri=https://other.example/cb")).Status)
	a := redeem(p.Code(client, more))
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.True(t, p.Valid(a.Body["access_token"]))

	late := p.Code(client, more)
	p.Now = p.Now.Add(2 * time.Minute)
	assert.Equal(t, "invalid_grant", redeem(late).Body["error"], "its code has expired")

	require.NoError(t, db.Model(&ownToken{}).Where("1 = 1").Update("suspect", true).Error)
	assert.False(t, p.Valid(a.Body["access_token"]), "its token is revoked")
	assert.Equal(t, "invalid_grant", p.Refresh(client, a.Body["refresh_token"], "").Body["error"])

	require.NoError(t, db.Model(row).Update("locked", true).Error)
	assert.Equal(t, "unauthorized_client", redeem("x").Body["error"], "its client may do nothing")
	client.Secret = "wrong"
	assert.Equal(t, "invalid_client", redeem("x").Body["error"])
}
