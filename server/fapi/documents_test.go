package fapi_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
)

// A client of the profile that comes by a document has what its document says by the
// exact names, at first, after sign-ins of its own, and once its row is read back.
func TestALookalikeInADocumentMeansNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		var texts sync.Map
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := texts.Load(r.URL.Path)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(text.(string)))
		}))
		t.Cleanup(site.Close)
		documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
		documents.Scope = "openid profile"
		exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
		exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
		require.NoError(t, errors.Join(p.Server.Register(documents), p.Server.RegisterGrant(exchange)))

		// ask posts to the token endpoint as the client, with a proof.
		ask := func(form url.Values) oauthtest.Answer {
			return p.post("/oauth/token", form.Encode()+"&"+p.authentication(), p.proof(tokenEndpoint)...)
		}
		subject := p.redeem(p.code(), p.proof(tokenEndpoint)...).Body["access_token"]
		require.NotEmpty(t, subject)
		exchanged := func() url.Values {
			return url.Values{"grant_type": {oauthtest.EvilGrantType}, "subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
		}
		p.client = p.NewClient(func(c *oauthtest.Client) {
			p.withKey(c)
			c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, oauthtest.EvilGrantType)
		})
		a := ask(exchanged())
		require.Equal(t, http.StatusOK, a.Status, "who has the grant type may: %s", a.Raw)

		all := oauthtest.FoldedMetadata()
		maps.Copy(all, oauthtest.StrangeMetadata())
		number := 0
		for rule, members := range all {
			number++
			path := "/" + strconv.Itoa(number)
			p.client = &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: site.URL + path}}
			texts.Store(path, `{"client_id":"`+site.URL+path+`","redirect_uris":["`+oauthtest.RedirectURI+`"],"grant_types":["authorization_code","refresh_token"],"scope":"openid profile",`+
				`"token_endpoint_auth_method":"private_key_jwt","jwks":`+string(oauthtest.KeySet(t, p.signs))+`,`+members+`}`)
			hasNoMore := func(when string) {
				for what, form := range map[string]url.Values{
					"a token of its own": {"grant_type": {"client_credentials"}}, "with the scope": {"grant_type": {"client_credentials"}, "scope": {oauthtest.EvilScope}}, "another user's token": exchanged(),
				} {
					a := ask(form)
					assert.Equal(t, server.UnauthorizedClient, a.Body["error"], "%s, %s: %s: %s", rule, when, what, a.Raw)
				}
				evil := oauthtest.AuthorizeQuery(p.client, "redirect_uri="+url.QueryEscape(oauthtest.EvilRedirectURI))
				assert.Equal(t, server.InvalidRequest, p.push(evil).Body["error"], "%s, %s", rule, when)
				admin := oauthtest.AuthorizeQuery(p.client, "scope=openid+"+oauthtest.EvilScope+"&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI))
				pushed := p.push(admin)
				granted := p.redeemed(p.Grant(p.reference(pushed.Body["request_uri"])).Query.Get("code"))
				assert.Equal(t, "openid", granted.Body["scope"], "%s, %s: %s", rule, when, granted.Raw)
			}
			hasNoMore("before")
			for range 2 {
				a := p.redeemed(p.code())
				require.Equal(t, http.StatusOK, a.Status, a.Raw)
				require.True(t, p.opens(a.Body["access_token"]))
				hasNoMore("after a sign-in of its own")
			}
			p.Now = p.Now.Add(24 * time.Hour)
			hasNoMore("a day later")
			p.Now = p.Now.Add(-24 * time.Hour)
			var stored string
			require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", models.ClientKey(p.client.ClientID)).Pluck("client_metadata", &stored).Error)
			assert.NotContains(t, stored, oauthtest.EvilScope, rule)
			assert.NotContains(t, stored, oauthtest.EvilGrantType, rule)
		}
	})
}

// redeemed is redeem with a proof.
func (p *provider) redeemed(code string) oauthtest.Answer {
	return p.redeem(code, p.proof(tokenEndpoint)...)
}
