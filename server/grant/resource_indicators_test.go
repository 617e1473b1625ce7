package grant_test

import (
	"net/http"
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
	"github.com/gormoauth/gormoauth/server/secret"
)

const (
	apiA, apiB = "https://a.example", "https://b.example/api"
	askA, askB = "resource=https%3A%2F%2Fa.example", "resource=https%3A%2F%2Fb.example%2Fapi"
)

func TestResourceIndicators(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA, apiB, "https://c.example"}}))
		client := p.NewClient(nil)
		redeem := func(authorize, token string) oauthtest.Answer {
			return p.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+p.Code(client, authorize)+"&"+token)
		}
		audience := func(a oauthtest.Answer) string {
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			var row oauthtest.Token
			require.NoError(t, db.Where("access_token = ?", secret.Digest(a.Body["access_token"])).First(&row).Error)
			return row.Audience
		}
		rows := func() (n int64) {
			require.NoError(t, db.Model(&oauthtest.Token{}).Count(&n).Error)
			return n
		}

		t.Run("what is asked for, and less", func(t *testing.T) {
			assert.Empty(t, audience(redeem("", "")))
			assert.Equal(t, apiA, audience(redeem(askA, "")))
			assert.Equal(t, apiA+" "+apiB, audience(redeem(askB+"&"+askA+"&"+askA, "")))
			assert.Equal(t, apiB, audience(redeem(askA+"&"+askB, askB)))
			for rule, row := range map[string][2]string{
				"more than was granted": {askA, askB}, "some of it more": {askA, askA + "&" + askB}, "none was granted": {"", askA},
				"unknown": {askA, "resource=https%3A%2F%2Fx.example"}, "relative": {askA, "resource=%2Fapi"}, "a fragment": {askA, askA + "%23f"},
			} {
				a := redeem(row[0], row[1])
				assert.Equal(t, server.InvalidTarget, a.Body["error"], rule)
				assert.Equal(t, http.StatusBadRequest, a.Status)
			}
			for _, bad := range []string{"resource=https%3A%2F%2Fx.example", "resource=x", askA + "%23f", askA + "&resource=https%3A%2F%2Fx.example"} {
				a := p.Consent(oauthtest.AuthorizeQuery(client, bad))
				assert.Equal(t, server.InvalidTarget, a.Query.Get("error"), bad)
				assert.Equal(t, oauthtest.RedirectURI, a.To)
			}
		})
		t.Run("one resource has many spellings, and the server's own stands in the token", func(t *testing.T) { // RFC 3986 section 6.2.3
			const c = "https://c.example"
			for _, spelled := range []string{c, c + "/", "HTTPS://C.example", c + ":443", c + "/."} {
				ask := "resource=" + url.QueryEscape(spelled)
				assert.Equal(t, c, audience(redeem(ask, "")), spelled)
				assert.Equal(t, c, audience(redeem("resource="+url.QueryEscape(c), ask)), spelled)
				assert.Equal(t, c, audience(redeem(ask+"&resource="+url.QueryEscape(c)+"&"+ask, "")), "and once")
				a := redeem(ask+"&"+askA, "")
				assert.Equal(t, c, audience(p.Refresh(client, a.Body["refresh_token"], "&"+ask)), spelled)
			}
			for _, other := range []string{c + ":/", c + "//", c + "/v1", c + "?", c + ":80", "http://c.example", c + "%2F", "https://c.example.", "https://c@c.example", "c.example"} {
				a := p.Consent(oauthtest.AuthorizeQuery(client, "resource="+url.QueryEscape(other)))
				assert.Equal(t, server.InvalidTarget, a.Query.Get("error"), other)
			}
		})
		t.Run("tokens of several resources live side by side", func(t *testing.T) {
			both := redeem(askA+"&"+askB, "")
			before := rows()
			a := p.Refresh(client, both.Body["refresh_token"], "&"+askA)
			assert.Equal(t, apiA, audience(a))
			b := p.Refresh(client, a.Body["refresh_token"], "&"+askB)
			assert.Equal(t, apiB, audience(b))
			for _, token := range []oauthtest.Answer{both, a, b} {
				assert.True(t, p.Valid(token.Body["access_token"]))
			}
			assert.Equal(t, before+2, rows())
			again := p.Refresh(client, b.Body["refresh_token"], "&"+askA)
			assert.Equal(t, apiA, audience(again))
			assert.True(t, p.Valid(a.Body["access_token"]), "until it expires")
			assert.Equal(t, before+3, rows(), "a row of its own, whatever others look like")
			all := p.Refresh(client, again.Body["refresh_token"], "")
			assert.Equal(t, apiA+" "+apiB, audience(all), "a narrow refresh narrows no grant")
			assert.False(t, p.Valid(both.Body["access_token"]))
			live := []oauthtest.Answer{all, again, b, a}
			for _, token := range live {
				assert.True(t, p.Valid(token.Body["access_token"]))
			}
			assert.Equal(t, server.InvalidGrant, p.Refresh(client, a.Body["refresh_token"], "&"+askB).Body["error"], "a replay")
			for _, token := range live {
				assert.False(t, p.Valid(token.Body["access_token"]), "ends them all")
			}
		})
		t.Run("a refresh cannot gain", func(t *testing.T) {
			a := redeem(askA, "")
			assert.Equal(t, server.InvalidTarget, p.Refresh(client, a.Body["refresh_token"], "&"+askB).Body["error"])
			assert.Equal(t, apiA, audience(p.Refresh(client, a.Body["refresh_token"], "")), "and was not spent")
		})
		t.Run("a client of its own", func(t *testing.T) {
			service := p.NewClient(oauthtest.Grants("client_credentials"))
			assert.Equal(t, apiA+" "+apiB, audience(p.Token(service, "grant_type=client_credentials&"+askA+"&"+askB)))
			assert.Equal(t, server.InvalidTarget, p.Token(service, "grant_type=client_credentials&resource=x:y").Body["error"])
		})
		t.Run("a device", func(t *testing.T) {
			d := devices{p, gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)}
			d.endpoint.Attempts = ratelimit.Unlimited{}
			require.NoError(t, p.Server.RegisterEndpoint(d.endpoint))
			require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)))
			tv := p.NewClient(television)
			_, deviceCode, userCode := d.start(t, tv, askA)
			consent, err := d.consent(userCode, p.User)
			require.NoError(t, err)
			assert.Equal(t, apiA, consent.Request.Audience, "for the page to show")
			require.NoError(t, d.decide(userCode, p.User, true))
			assert.Equal(t, apiA, audience(d.poll(tv, deviceCode)))
			a, _, _ := d.start(t, tv, "resource=x:y")
			assert.Equal(t, server.InvalidTarget, a.Body["error"])
		})
	})
}

func TestResourceIndicatorsByDefault(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Introspection{QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db)}))
	require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA}, Default: apiA}))
	client, service := p.NewClient(nil), p.NewClient(oauthtest.Grants("client_credentials"))
	for owner, token := range map[*oauthtest.Client]string{
		client: p.Redeem(client, p.Code(client, "")).Body["access_token"], service: p.Token(service, "grant_type=client_credentials").Body["access_token"],
	} {
		assert.Equal(t, `["`+apiA+`"]`, p.Introspect(owner, "token="+token).Body["aud"])
	}

	plain := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client = plain.NewClient(nil)
	require.Equal(t, server.InvalidTarget, func() string {
		require.NoError(t, plain.Server.Register(grant.ResourceIndicators{}))
		return plain.Consent(oauthtest.AuthorizeQuery(client, askA)).Query.Get("error")
	}(), "no resource is one by itself")
}

func TestResourceIndicatorsThatMakeNoSense(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for fault, indicators := range map[string]grant.ResourceIndicators{
		`"https://c.example/" is listed twice`:                  {Resources: []string{"https://c.example", apiA, "https://c.example/"}},
		`"/api" is not an absolute URI`:                         {Resources: []string{"/api"}},
		`"https://c.example/#f" has a fragment`:                 {Resources: []string{"https://c.example/#f"}},
		`"https://c.example https://d.example" has a character`: {Resources: []string{"https://c.example https://d.example"}},
		`Default: "https://c.example" is not one of Resources`:  {Resources: []string{apiA}, Default: "https://c.example"},
	} {
		assert.ErrorContains(t, p.Server.Register(indicators), fault)
	}
	assert.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{"https://c.example/", "urn:example:d"}, Default: "https://c.example"}))
}

// A token that is exchanged is for the resource as the server spells it, whichever
// parameter names it.
func TestAnExchangedTokenIsForOneResourceHoweverItIsSpelled(t *testing.T) {
	p := newExchange(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA}, Default: apiA}))
	subject, _ := p.userToken()
	for _, more := range [][]string{
		{"resource", apiA + "/"}, {"audience", apiA + ":443"}, {"resource", apiA, "audience", apiA + "/"}, {"audience", "billing", "audience", "HTTPS://A.example"},
	} {
		a := p.exchange(p.service, subject, more...)
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		var row oauthtest.Token
		require.NoError(t, p.DB.Where("access_token = ?", secret.Digest(a.Body["access_token"])).First(&row).Error)
		assert.Equal(t, apiA, strings.TrimPrefix(row.Audience, "billing "), "%v", more)
	}
	assert.Equal(t, server.InvalidTarget, p.exchange(p.service, subject, "resource", apiA+"//").Body["error"])
}

// A refresh for a resource leaves alone what the client got for the same resource by an
// exchange of its own, however often both happen.
func TestARefreshForAResourceBesideTheClientsOwnExchanges(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA, apiB}}))
		app := p.NewClient(oauthtest.Grants("authorization_code", "refresh_token", exchangeGrant))
		a := p.Redeem(app, p.Code(app, url.Values{"resource": {apiA, apiB}}.Encode()))
		refresh, live := a.Body["refresh_token"], []string{a.Body["access_token"]}
		for range 3 {
			for range 2 {
				own := p.exchange(app, live[0], "resource", apiB)
				require.Equal(t, http.StatusOK, own.Status, own.Raw)
				live = append(live, own.Body["access_token"])
			}
			next := p.Refresh(app, refresh, "&resource="+url.QueryEscape(apiB))
			require.Equal(t, http.StatusOK, next.Status, next.Raw)
			refresh, live = next.Body["refresh_token"], append(live, next.Body["access_token"])
		}
		for i, token := range live {
			assert.True(t, p.Valid(token), i)
		}
		var made []string
		require.NoError(t, db.Model(&oauthtest.Token{}).Order("id").Pluck("origin", &made).Error)
		assert.Equal(t, []string{"grant", "exchange", "exchange", "refresh", "exchange", "exchange", "refresh", "exchange", "exchange", "refresh"}, made)
	})
}
