package grant_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// oldDetails are authorization details as a row may have them that is older than the rule
// by which they are read, each with what is left of them.
func oldDetails() map[string]string {
	const pay = `{"type":"payment","amount":50}`
	return map[string]string{
		`[` + pay + `,{"type":"payment","amount":5,"amount":60}]`: `[` + pay + `]`,
		`[{"type":"account","x":{"a":1,"a":2}},` + pay + `]`:      `[` + pay + `]`,
		`[` + pay + `,"payment",null,7]`:                          `[` + pay + `]`,
		"[" + pay + ",{\"type\":\"account\",\"id\":\"\\ud800\"}]": `[` + pay + `]`,
		`[{"type":"payment","amount":50,"amount":60}]`:            ``,
		`{"type":"payment","amount":50}`:                          ``,
		`"payment"`:                                               ``,
		`null`:                                                    ``,
		`[{"type":"payment","amount":50}`:                         ``,
		`not JSON`:                                                ``,
		`[{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]`:  ``,
		`[{"type":"payment","amount":50},{"type":"payment","amount":60}][]`:  ``,
		`[{"Type":"payment","amount":50},{"type":"payment","type":"other"}]`: `[{"Type":"payment","amount":50}]`,
	}
}

// plant writes a text into a column of every row of a table.
func plant(t *testing.T, db *gorm.DB, model any, column, text string) {
	t.Helper()
	require.NoError(t, db.Model(model).Where("1 = 1").UpdateColumn(column, text).Error)
}

// What a row says in detail in two ways it does not say: tokens, codes, devices and
// consents go on without it, and nothing fails.
func TestStoredDetailsWithTwoReadings(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		types := payments()
		account := types.Types["account"]
		account.Remembered = true
		types.Types["account"] = account
		device := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
		device.Attempts, device.PublicRequests = ratelimit.Unlimited{}, ratelimit.Unlimited{}
		require.NoError(t, errors.Join(
			p.Server.Register(types, &grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)}),
			p.Server.RegisterEndpoint(device), p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)),
		))
		d := devices{p.Provider, device}
		tv := p.NewClient(television)
		const pay50 = `[{"type":"payment","amount":50}]`
		pay20, pay55 := details(`[{"type":"payment","amount":20}]`), details(`[{"type":"payment","amount":55}]`)
		for text, left := range oldDetails() {
			said := func(a oauthtest.Answer, where string) {
				t.Helper()
				require.Equal(t, http.StatusOK, a.Status, "%s: %s: %s", text, where, a.Raw)
				if left == "" {
					assert.NotContains(t, a.Body, "authorization_details", "%s: %s", text, where)
				} else {
					assert.JSONEq(t, left, a.Body["authorization_details"], "%s: %s", text, where)
				}
			}
			may := func(a oauthtest.Answer, want bool, where string) {
				t.Helper()
				if want {
					assert.Equal(t, http.StatusOK, a.Status, "%s: %s: %s", text, where, a.Raw)
				} else {
					assert.Equal(t, server.InvalidAuthorizationDetails, a.Body["error"], "%s: %s: %s", text, where, a.Raw)
				}
			}
			isPayment := strings.Contains(left, `"type":"payment"`)

			first := p.Redeem(p.app, p.Code(p.app, details(pay50)))
			require.Equal(t, http.StatusOK, first.Status, first.Raw)
			plant(t, db, &oauthtest.Token{}, "authorization_details", text)
			plant(t, db, &oauthtest.Token{}, "granted_authorization_details", text)
			said(p.Introspect(p.app, "token="+first.Body["access_token"]), "introspection")
			assert.True(t, p.Valid(first.Body["access_token"]), text)
			may(p.exchange(p.service, first.Body["access_token"], "authorization_details", `[{"type":"payment","amount":20}]`), isPayment, "an exchange for less")
			may(p.exchange(p.service, first.Body["access_token"]), true, "an exchange")
			may(p.Refresh(p.app, first.Body["refresh_token"], "&"+pay55), false, "a refresh for more")
			second := p.Refresh(p.app, first.Body["refresh_token"], "")
			said(second, "a refresh")
			may(p.Refresh(p.app, second.Body["refresh_token"], "&"+pay20), isPayment, "a refresh for less")

			code := p.Code(p.app, details(pay50))
			plant(t, db, &oauthtest.AuthorizationCode{}, "authorization_details", text)
			said(p.Redeem(p.app, code), "a code")
			code = p.Code(p.app, details(pay50))
			plant(t, db, &oauthtest.AuthorizationCode{}, "authorization_details", text)
			may(p.Token(p.app, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code+"&"+pay20), isPayment, "a code for less")

			_, deviceCode, userCode := d.start(t, tv, details(pay50))
			plant(t, db, &oauthtest.DeviceCode{}, "authorization_details", text)
			consent, err := d.consent(userCode, p.User)
			require.NoError(t, err, text)
			if left == "" {
				assert.Empty(t, consent.Request.AuthorizationDetails, text)
			} else {
				assert.JSONEq(t, left, consent.Request.AuthorizationDetails, text)
			}
			require.NoError(t, d.decide(userCode, p.User, true), text)
			said(d.later(tv, deviceCode), "a device")
		}

		const known = `[{"type":"account","id":"1"}]`
		query := oauthtest.AuthorizeQuery(p.app, "scope=profile&redirect_uri="+oauthtest.RedirectURI+"&"+details(known))
		interaction := func() server.Interaction {
			consent, err := p.Server.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+query, http.NoBody), p.User)
			require.NoError(t, err)
			return consent.Interaction
		}
		for text := range oldDetails() {
			require.True(t, p.Grant(query).Query.Has("code"))
			require.Equal(t, server.NoInteraction, interaction(), "it is remembered")
			plant(t, db, &oauthtest.Consent{}, "authorization_details", text)
			assert.Equal(t, server.AskConsent, interaction(), "%s: it is asked for again", text)
		}
		require.True(t, p.Grant(query).Query.Has("code"))
		plant(t, db, &oauthtest.Consent{}, "authorization_details", `[{"type":"account","id":"1"},{"type":"account","id":"2","id":"3"}]`)
		assert.Equal(t, server.NoInteraction, interaction(), "what is good is remembered all the same")
		other := strings.Replace(query, "%221%22", "%222%22", 1)
		require.NotEqual(t, query, other)
		require.True(t, p.Grant(other).Query.Has("code"))
		var row oauthtest.Consent
		require.NoError(t, db.First(&row).Error)
		assert.JSONEq(t, `[{"type":"account","id":"1"},{"type":"account","id":"2"}]`, row.AuthorizationDetails, "and what is stored next is good")
	})
}

// A token of which it cannot be read to whom it belongs, or who acts with it, stands for
// nothing: without that it would stand for more.
func TestStoredActorsAndKeysWithTwoReadings(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		for _, text := range []string{`{"sub":"a","sub":"b"}`, `{"jkt":"a","jkt":"b"}`, `"x"`, `null`, `[]`, `not JSON`, `{"act":{"sub":"a","sub":"b"}}`, `{"sub":"\ud800"}`} {
			for _, column := range []string{"actor", "confirmation"} {
				access, refresh := p.userToken()
				require.Equal(t, "true", p.Introspect(p.app, "token="+access).Body["active"])
				plant(t, db, &oauthtest.Token{}, column, text)
				told := p.Introspect(p.app, "token="+access)
				assert.Equal(t, http.StatusOK, told.Status, "%s: %s", column, text)
				assert.JSONEq(t, `{"active":false}`, told.Raw, "%s: %s", column, text)
				if column == "actor" {
					a := p.exchange(p.service, access)
					assert.Equal(t, server.InvalidRequest, a.Body["error"], "%s: %s: %s", column, text, a.Raw)
					assert.Equal(t, http.StatusOK, p.Refresh(p.app, refresh, "").Status, "the grant goes on")
				} else {
					assert.False(t, p.Valid(access), "%s: %s", column, text)
					assert.Equal(t, server.InvalidGrant, p.Refresh(p.app, refresh, "").Body["error"], "%s: %s", column, text)
				}
				plant(t, db, &oauthtest.Token{}, column, "")
			}
			code := p.Code(p.app, "scope=profile")
			plant(t, db, &oauthtest.AuthorizationCode{}, "confirmation", text)
			assert.Equal(t, server.InvalidGrant, p.Redeem(p.app, code).Body["error"], text)
		}
	})
}

// Who has acted with another issuer's token before is taken over as it is said, once and
// by the exact names (RFC 8693 section 4.1).
func TestTheActorOfAnotherIssuersToken(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newExchange(t, db)
	key := oauthtest.NewKey(t)
	p.grant.Keys = func(context.Context, string) (*jose.JSONWebKeySet, error) {
		return jwk.ParseSet(oauthtest.KeySet(t, key))
	}
	p.grant.QueryUser = func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return p.User, nil }
	number := 0
	exchange := func(members string, more ...string) oauthtest.Answer {
		number++
		claims := `{"iss":"https://other.example","sub":"them","aud":"` + oauthtest.Issuer + `","exp":1800000060,"scope":"profile","jti":"` + strings.Repeat("j", number) + `",` + members + `}`
		return p.exchange(p.service, oauthtest.SignRaw(t, key, `{"alg":"ES256","kid":"1"}`, claims), append(more, "subject_token_type", jwtType)...)
	}
	own := p.Token(p.service, "grant_type=client_credentials").Body["access_token"]
	for _, row := range []struct{ members, actor string }{
		{`"act":{"sub":"a","x":1.50}`, `{"sub":"a","x":1.5}`}, {`"act":{"sub":"a","act":{"sub":"b"}}`, `{"sub":"a","act":{"sub":"b"}}`},
		{`"act":null`, ``}, {`"Act":{"sub":"a"}`, ``}, {`"\u0061ct":{"sub":"a"}`, `{"sub":"a"}`}, {`"x":1`, ``},
		{`"may_act":{"sub":"` + p.service.ClientID + `"},"MAY_ACT":{"sub":"x"}`, ``},
	} {
		a := exchange(row.members)
		require.Equal(t, http.StatusOK, a.Status, "%s: %s", row.members, a.Raw)
		var token oauthtest.Token
		require.NoError(t, db.Where("access_token = ?", secret.Digest(a.Body["access_token"])).First(&token).Error)
		if row.actor == "" {
			assert.Empty(t, token.Actor, row.members)
		} else {
			assert.JSONEq(t, row.actor, token.Actor, row.members)
			told := p.Introspect(p.service, "token="+a.Body["access_token"])
			assert.JSONEq(t, row.actor, told.Body["act"], row.members)
			nested := exchange(row.members, "actor_token", own, "actor_token_type", accessType)
			require.Equal(t, http.StatusOK, nested.Status, nested.Raw)
			assert.Contains(t, p.Introspect(p.service, "token="+nested.Body["access_token"]).Body["act"], `"act":{`)
		}
	}
	for _, members := range []string{
		`"act":{"sub":"a","\u017fub":"admin"}`, `"act":{"sub":"a","Client_ID":"x"}`, `"act":{"sub":"a","act":{"SUB":"b"}}`, `"act":{"sub":"a","ACT":{"sub":"b"}}`,
		`"act":{"sub":"a","sub":"b"}`, `"act":{"sub":"a","act":{"sub":"b","sub":"c"}}`, `"act":"a"`, `"act":["a"]`, `"act":7`, `"act":{"sub":"a"},"act":{"sub":"b"}`,
		`"act":` + strings.Repeat(`{"act":`, 40) + `{}` + strings.Repeat(`}`, 40), `"act":` + strings.Repeat(`{"act":`, 28) + `{}` + strings.Repeat(`}`, 28),
		`"may_act":{"sub":"x"}`, `"may_act":{"\u017fub":"` + p.service.ClientID + `"}`, `"may_act":{"sub":"` + p.service.ClientID + `","Sub":"x"}`, `"may_act":{}`, `"may_act":null`, `"may_act":"x"`,
		`"may_act":{"sub":"` + p.service.ClientID + `","sub":"` + p.service.ClientID + `"}`,
	} {
		a := exchange(members)
		assert.Equal(t, server.InvalidRequest, a.Body["error"], "%s: %s", members, a.Raw)
		assert.Equal(t, http.StatusBadRequest, a.Status, members)
	}
}
