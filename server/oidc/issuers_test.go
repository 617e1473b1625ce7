package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
)

// tenant is one of several issuers on the same tables.
type tenant struct {
	*oauthtest.Provider
	devices *endpoint.DeviceAuthorization
}

func newTenant(t *testing.T, db *gorm.DB, issuer string, former ...string) *tenant {
	t.Helper()
	p := &tenant{Provider: oauthtest.New(t, db, func(c *server.Config) { c.Issuer, c.FormerIssuers = issuer, former })}
	tokens := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	tokens.Issuers = append([]string{issuer}, former...)
	p.Protector = p.NewProtector(resource.Config{Clock: p.Protector.Clock()}, tokens)
	p.devices = gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	p.devices.Attempts = ratelimit.Unlimited{}
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.CheckInitialAccessToken = endpoint.RequireScope(gormoauth.CreateQueryTokenFunc[oauthtest.Token](db), "profile")
	require.NoError(t, errors.Join(
		p.Server.RegisterEndpoint(p.devices), p.Server.RegisterEndpoint(registration),
		p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)), p.Server.RegisterGrant(exchange),
	))
	return p
}

func tenantsClient(c *oauthtest.Client) {
	oauthtest.Grants("authorization_code", "refresh_token", deviceGrant, exchangeGrant)(c)
	c.ClientMetadata.ResponseTypes = []string{"code"}
}

// What an issuer issued is that issuer's: at another one on the same tables it is unknown, and
// trying it there does it no harm. A former issuer's is taken, and so is that of an older
// release, which named none.
func TestWhatAnIssuerIssuedIsThatIssuers(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		const one, two = "https://one.example", "https://two.example"
		first := newTenant(t, db, one)
		client := first.NewClient(tenantsClient)
		register := func(at *tenant, token string) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/register", strings.NewReader(`{"redirect_uris":["https://app.example/cb"]}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			return at.Serve(r).Status
		}
		for name, row := range map[string]struct {
			at    *tenant
			taken bool
			older bool
		}{
			"another issuer": {newTenant(t, db, two), false, false},
			"a former one":   {newTenant(t, db, two, one), true, false},
			"an older row":   {newTenant(t, db, two), true, true},
		} {
			code := first.Code(client, "scope=profile")
			tokens := first.Redeem(client, first.Code(client, "scope=profile")).Body
			waiting := first.Post("/oauth/device_authorization", client, "scope=profile").Body
			approved := first.Post("/oauth/device_authorization", client, "scope=profile").Body
			require.NoError(t, first.DecideDevice(first.devices, approved["user_code"], first.User, true))
			if row.older {
				for _, model := range []any{&oauthtest.Token{}, &oauthtest.AuthorizationCode{}, &oauthtest.DeviceCode{}} {
					require.NoError(t, db.Model(model).Where("1 = 1").Update("issuer", nil).Error)
				}
			}
			poll := func(at *tenant, code string) oauthtest.Answer {
				return at.Token(client, "grant_type="+url.QueryEscape(deviceGrant)+"&device_code="+code)
			}
			exchange := func(at *tenant) oauthtest.Answer {
				return at.Token(client, "grant_type="+url.QueryEscape(exchangeGrant)+"&subject_token_type="+url.QueryEscape(accessType)+"&subject_token="+tokens["access_token"])
			}
			status := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[row.taken]
			at := row.at
			assert.Equal(t, row.taken, at.Valid(tokens["access_token"]), name)
			assert.Equal(t, map[bool]string{true: "true", false: "false"}[row.taken], at.Introspect(client, "token="+tokens["access_token"]).Body["active"], name)
			assert.Equal(t, map[bool]string{true: "true", false: "false"}[row.taken], at.Introspect(client, "token="+tokens["refresh_token"]).Body["active"], name)
			assert.Equal(t, map[bool]int{true: http.StatusCreated, false: http.StatusUnauthorized}[row.taken], register(at, tokens["access_token"]), name)
			assert.Equal(t, status, exchange(at).Status, name)
			assert.Equal(t, row.taken, at.DecideDevice(at.devices, waiting["user_code"], at.User, true) == nil, name)
			assert.Equal(t, status, poll(at, approved["device_code"]).Status, name)
			assert.Equal(t, status, at.Redeem(client, code).Status, name)
			refreshed := at.Refresh(client, tokens["refresh_token"], "")
			assert.Equal(t, status, refreshed.Status, name)
			assert.Equal(t, http.StatusOK, at.Revoke(client, "token="+tokens["refresh_token"]).Status, name)
			if row.taken {
				var token oauthtest.Token
				require.NoError(t, db.Where("access_token = ?", secret.Digest(refreshed.Body["access_token"])).First(&token).Error)
				assert.Equal(t, two, token.Issuer, "what is refreshed is this issuer's from then on")
				continue
			}
			// All of it is as it was where it belongs.
			assert.True(t, first.Valid(tokens["access_token"]), name)
			assert.Equal(t, http.StatusOK, first.Redeem(client, code).Status, name)
			assert.Equal(t, http.StatusOK, first.Refresh(client, tokens["refresh_token"], "").Status, name)
			assert.NoError(t, first.DecideDevice(first.devices, waiting["user_code"], first.User, true))
			assert.Equal(t, http.StatusOK, poll(first, approved["device_code"]).Status, name)
		}
	})
}
