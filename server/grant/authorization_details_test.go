package grant_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// payments has a type "payment", of an amount up to 100, and a type "account".
func payments() *grant.AuthorizationDetails {
	type payment struct {
		Amount float64 `json:"amount"`
	}
	type account struct {
		Type string  `json:"type"`
		ID   string  `json:"id"`
		X    *limits `json:"x"`
		grant.CommonMembers
	}
	amount := func(detail grant.AuthorizationDetail) float64 {
		var p payment
		_ = detail.Decode(&p)
		return p.Amount
	}
	return &grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{
		"payment": {
			Members: payment{},
			Check: func(_ context.Context, _ *server.Request, detail grant.AuthorizationDetail) error {
				if amount(detail) <= 0 || amount(detail) > 100 {
					return errors.New("the secret limit is 100")
				}
				return nil
			},
			Covers: func(granted, requested grant.AuthorizationDetail) bool { return amount(requested) <= amount(granted) },
		},
		"account": {Members: account{}, Check: func(_ context.Context, _ *server.Request, detail grant.AuthorizationDetail) error {
			var a account
			if err := detail.Decode(&a); err != nil {
				return err
			}
			if a.ID == "x" || a.Type != "account" {
				return server.NewError(server.InvalidRequest, "The request must not have the member '%s'. Leave it out.", "x")
			}
			return nil
		}},
		"presence": {Check: func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }},
	}}
}

// limits are members within a member.
type limits struct {
	A int     `json:"a"`
	B float64 `json:"b"`
}

func details(text string) string { return url.Values{"authorization_details": {text}}.Encode() }

func TestAuthorizationDetails(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.Register(payments()))
		require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)))
		client := p.NewClient(nil)
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		const pay50, account = `{"type":"payment","amount":50}`, `{"type":"account","id":"1","x":{"b":1.10,"a":2}}`
		redeem := func(authorize, token string) oauthtest.Answer {
			return p.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+p.Code(client, authorize)+"&"+token)
		}

		t.Run("what is granted is told", func(t *testing.T) {
			a := redeem(details("["+pay50+","+account+"]"), "")
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.JSONEq(t, "["+pay50+","+account+"]", a.Body["authorization_details"])
			assert.Contains(t, a.Raw, "1.10", "as it was written")
			told := p.Introspect(client, "token="+a.Body["access_token"])
			assert.JSONEq(t, "["+pay50+","+account+"]", told.Body["authorization_details"])
			assert.NotContains(t, redeem("", "").Raw, "authorization_details")
			own := p.Token(service, "grant_type=client_credentials&"+details("["+pay50+"]"))
			assert.JSONEq(t, "["+pay50+"]", own.Body["authorization_details"])
		})
		t.Run("and can become less", func(t *testing.T) {
			pay20, pay60 := details(`[{"type":"payment","amount":20}]`), details(`[{"type":"payment","amount":60}]`)
			a := redeem(details("["+pay50+","+account+"]"), pay20)
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.JSONEq(t, `[{"type":"payment","amount":20}]`, a.Body["authorization_details"])
			b := p.Refresh(client, a.Body["refresh_token"], "")
			assert.JSONEq(t, "["+pay50+","+account+"]", b.Body["authorization_details"], "the grant is what it was")
			assert.Equal(t, server.InvalidAuthorizationDetails, p.Refresh(client, b.Body["refresh_token"], "&"+pay60).Body["error"])
			c := p.Refresh(client, b.Body["refresh_token"], "&"+details(`[{"x":{"a":2,"b":1.10},"id":"1","type":"account"}]`))
			assert.Equal(t, http.StatusOK, c.Status, "the order of members makes no difference: %s", c.Raw)
			assert.Equal(t, server.InvalidAuthorizationDetails, redeem(details("["+pay50+"]"), details("["+account+"]")).Body["error"])
			assert.Equal(t, server.InvalidAuthorizationDetails, redeem("", pay20).Body["error"], "nothing was granted")
		})
		t.Run("what is refused", func(t *testing.T) {
			for rule, text := range map[string]string{
				"no JSON": "x", "no list": pay50, "empty": "[]", "no objects": `["payment"]`, "null": "null", "a null": "[null]", "no type": `[{"amount":1}]`, "a type that is none": `[{"type":1}]`,
				"an unknown type": `[{"type":"transfer"}]`, "what its type does not allow": `[{"type":"payment","amount":200}]`,
				"too many": "[" + strings.Repeat(pay50+",", 40) + pay50 + "]", "too long": `[{"type":"account","id":"` + strings.Repeat("x", 17<<10) + `"}]`,
			} {
				a := p.Consent(oauthtest.AuthorizeQuery(client, details(text)))
				assert.Equal(t, server.InvalidAuthorizationDetails, a.Query.Get("error"), rule)
				assert.NotContains(t, a.Query.Get("error_description"), "secret", "what the check says stays inside")
				assert.Equal(t, server.InvalidAuthorizationDetails, p.Token(service, "grant_type=client_credentials&"+details(text)).Body["error"], rule)
			}
			assert.Equal(t, server.InvalidRequest, p.Consent(oauthtest.AuthorizeQuery(client, details(`[{"type":"account","id":"x"}]`))).Query.Get("error"), "a check's own error is told")
			some := p.NewClient(func(c *oauthtest.Client) {
				c.ClientMetadata.Extra = map[string]json.RawMessage{"authorization_details_types": json.RawMessage(`["account"]`)}
			})
			assert.Equal(t, server.InvalidAuthorizationDetails, p.Consent(oauthtest.AuthorizeQuery(some, details("["+pay50+"]"))).Query.Get("error"))
			assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(some, details("["+account+"]"))).Status)
		})
		t.Run("what its type does not have", func(t *testing.T) {
			for text, named := range map[string]string{
				`{"type":"payment","amount":50,"recurring":"weekly"}`:              "recurring",
				`{"type":"payment","amount":50,"Amount":1}`:                        "Amount",
				`{"type":"payment","amount":50,"locations":["https://a.example"]}`: "locations",
				`{"type":"payment","amount":50,"sub_type":{"recurring":1}}`:        "sub_type",
				`{"type":"account","id":"1","x":{"a":1,"recurring":"weekly"}}`:     "x.recurring",
				`{"type":"account","id":"1","x":{"a":"1"}}`:                        "x.a",
				`{"type":"account","id":1}`:                                        "id",
				`{"type":"account","actions":"read"}`:                              "actions",
				`{"type":"presence","id":"1"}`:                                     "id",
				// Names that cannot stand in a description as they are, or fold to others.
				"{\"type\":\"payment\",\"\u017fum\":1}":                   "%C5%BFum",
				`{"type":"payment","amount":50,"amoun\u0074 ":1}`:         "amount ",
				`{"type":"payment","a\"b'c":1}`:                           "a%22b%27c",
				`{"type":"payment","` + strings.Repeat("a", 200) + `":1}`: strings.Repeat("a", 100) + "...",
			} {
				for _, a := range []oauthtest.Answer{p.Consent(oauthtest.AuthorizeQuery(client, details("["+text+"]"))), p.Token(service, "grant_type=client_credentials&"+details("["+text+"]"))} {
					code, description := a.Query.Get("error"), a.Query.Get("error_description")
					if a.Query == nil {
						code, description = a.Body["error"], a.Body["error_description"]
					}
					assert.Equal(t, server.InvalidAuthorizationDetails, code, text)
					assert.Contains(t, description, "'"+named+"'", text)
				}
			}
			for _, text := range []string{`{"type":"presence"}`, `{"type":"account","id":"1","locations":["https://a.example"],"actions":["read"],"datatypes":["a"],"privileges":["b"],"identifier":"c"}`} {
				a := redeem(details("["+text+"]"), "")
				assert.JSONEq(t, "["+text+"]", a.Body["authorization_details"])
			}
		})
		t.Run("what has two readings", func(t *testing.T) {
			for _, text := range []string{
				`[{"type":"payment","amount":5,"amount":50}]`, `[{"type":"payment","type":"account","id":"1"}]`, `[{"type":"account","x":{"a":1,"a":2}}]`,
				`[{"type":"payment","x":[{"y":{"z":1,"z":2}}]}]`, `[{"type":"account","id":"\ud800"}]`, `[{"type":"payment","amount":5}][]`,
				`[{"type":"payment","amount":5,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]`, `[{"type":"payment","amount":1e400}]`, `[{"Type":"payment","amount":5}]`,
			} {
				assert.Equal(t, server.InvalidAuthorizationDetails, p.Token(service, "grant_type=client_credentials&"+details(text)).Body["error"], text)
			}
		})
		t.Run("in a pushed request", func(t *testing.T) {
			push := func(text string) oauthtest.Answer {
				return p.Post("/oauth/par", client, strings.Replace(oauthtest.AuthorizeQuery(client, details(text)), "&client_id="+client.ClientID, "", 1))
			}
			assert.Equal(t, server.InvalidAuthorizationDetails, push("[{}]").Body["error"])
			a := push("[" + pay50 + "]")
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			code := p.Grant("client_id=" + client.ClientID + "&request_uri=" + a.Body["request_uri"]).Query.Get("code")
			assert.JSONEq(t, "["+pay50+"]", p.Redeem(client, code).Body["authorization_details"])
		})
		t.Run("in a JWT", func(t *testing.T) {
			keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
			p.Server.RegisterTokenGenerator("client_credentials", (&generator.JWTAccessToken{Keys: keys, Audience: apiA}).Generate)
			token := p.Token(service, "grant_type=client_credentials&"+details("["+pay50+"]")).Body["access_token"]
			assert.JSONEq(t, "["+pay50+"]", string(claimsOf(t, token)["authorization_details"]))
		})
		assert.JSONEq(t, `["account","payment","presence"]`, p.Get("/.well-known/oauth-authorization-server").Body["authorization_details_types_supported"])
	})
}

// What an authorization detail may not say is refused as RFC 9396 section 5 has it, at each
// endpoint at which it comes in.
func TestAuthorizationDetailsAtEveryEndpoint(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newRequestObjects(t, db)
		device := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
		device.PublicRequests = ratelimit.Unlimited{}
		exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
		exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
		require.NoError(t, errors.Join(
			p.Server.Register(payments()), p.Server.RegisterEndpoint(device), p.Server.RegisterGrant(exchange),
			p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)),
		))
		const good = `[{"type":"account","id":"1","x":{"a":1,"b":1.50},"actions":["read"]}]`
		service, tv := p.NewClient(oauthtest.Grants("client_credentials", exchangeGrant)), p.NewClient(television)
		tokens := func() map[string]string { return p.Redeem(p.client, p.Code(p.client, details(good))).Body }
		subject, refresh := tokens()["access_token"], tokens()["refresh_token"]
		code := p.Code(p.client, details(good))
		request := strings.Replace(oauthtest.AuthorizeQuery(p.client, ""), "&client_id="+p.client.ClientID, "", 1)
		places := map[string]func(text string) oauthtest.Answer{
			"authorization": func(text string) oauthtest.Answer {
				return p.Consent(oauthtest.AuthorizeQuery(p.client, details(text)))
			},
			"the decision": func(text string) oauthtest.Answer {
				return p.Grant(oauthtest.AuthorizeQuery(p.client, details(text)))
			},
			"a pushed request": func(text string) oauthtest.Answer { return p.Post("/oauth/par", p.client, request+"&"+details(text)) },
			"a device":         func(text string) oauthtest.Answer { return p.Post("/oauth/device_authorization", tv, details(text)) },
			"a client's own token": func(text string) oauthtest.Answer {
				return p.Token(service, "grant_type=client_credentials&"+details(text))
			},
			"a code": func(text string) oauthtest.Answer {
				return p.Token(p.client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code+"&"+details(text))
			},
			"a refresh token": func(text string) oauthtest.Answer { return p.Refresh(p.client, refresh, "&"+details(text)) },
			"an exchange": func(text string) oauthtest.Answer {
				return p.Token(service, url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessType}, "authorization_details": {text}}.Encode())
			},
			"a request object, as a text": func(text string) oauthtest.Answer {
				return p.Consent(p.query("request", p.sign("authorization_details", text)))
			},
			"a pushed request object, as a text": func(text string) oauthtest.Answer {
				return p.Post("/oauth/par", p.client, "request="+p.sign("authorization_details", text))
			},
			"a request object": func(text string) oauthtest.Answer {
				return p.Consent(p.query("request", p.sign("authorization_details", json.RawMessage(text))))
			},
			"a pushed request object": func(text string) oauthtest.Answer {
				return p.Post("/oauth/par", p.client, "request="+p.sign("authorization_details", json.RawMessage(text)))
			},
		}
		for rule, text := range map[string]string{
			"an unknown member":            `[{"type":"payment","amount":50,"recurring":"weekly"}]`,
			"one within another":           `[{"type":"account","id":"1","x":{"a":1,"recurring":"weekly"}}]`,
			"one of a type without any":    `[{"type":"presence","id":"1"}]`,
			"a member of other types":      `[{"type":"payment","amount":50,"locations":["https://a.example"]}]`,
			"the lookalike of a member":    `[{"type":"account","id":"1","action\u017f":["write"]}]`,
			"a member in capitals":         `[{"type":"payment","amount":50,"AMOUNT":1}]`,
			"a member with NUL":            `[{"type":"payment","amount":50,"amount\u0000":1}]`,
			"another type":                 `[{"type":"payment","amount":"50"}]`,
			"another type within":          `[{"type":"account","id":"1","x":{"a":"1"}}]`,
			"a list in place of a text":    `[{"type":"account","id":["1"]}]`,
			"a text in place of a list":    `[{"type":"account","id":"1","actions":"read"}]`,
			"a number out of range":        `[{"type":"payment","amount":1e400}]`,
			"a fraction":                   `[{"type":"account","id":"1","x":{"a":1.5}}]`,
			"no type":                      `[{"amount":50}]`,
			"a type that there is not":     `[{"type":"transfer"}]`,
			"the type by its lookalike":    `[{"TYPE":"payment","amount":50}]`,
			"a type of another JSON type":  `[{"type":["payment"],"amount":50}]`,
			"one good and one bad":         `[{"type":"presence"},{"type":"payment","amount":50,"recurring":"weekly"}]`,
			"no list":                      `{"type":"presence"}`,
			"a list of something else":     `[7]`,
			"a list of nothing":            `[null]`,
			"a list in a list":             `[[{"type":"presence"}]]`,
			"more than may be":             `[{"type":"payment","amount":200}]`,
			"twice":                        `[{"type":"payment","amount":5,"amount":50}]`,
			"twice, once with an escape":   `[{"type":"payment","amount":5,"amoun\u0074":50}]`,
			"twice within":                 `[{"type":"account","id":"1","x":{"a":1,"a":2}}]`,
			"twice in a member unknown":    `[{"type":"payment","amount":50,"x":[{"y":{"z":1,"z":2}}]}]`,
			"two types":                    `[{"type":"presence","type":"payment","amount":50}]`,
			"half a character":             `[{"type":"account","id":"\ud800"}]`,
			"nested deeper than it can be": `[{"type":"payment","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}]`,
			"nothing at all":               `[]`,
			"null":                         `null`,
		} {
			for where, send := range places {
				asJSON := where == "a request object" || where == "a pushed request object"
				want := []string{server.InvalidAuthorizationDetails}
				switch {
				case asJSON && (text == "[]" || text == "null"): // which is left out of a JWT
					continue
				case asJSON: // a JWT that has two readings is none
					want = append(want, server.InvalidRequestObject)
				}
				a := send(text)
				assert.Contains(t, want, a.Params()["error"], "%s: %s: %d %s", where, rule, a.Status, a.Raw)
				assert.Less(t, a.Status, http.StatusInternalServerError, "%s: %s", where, rule)
				if !strings.HasPrefix(rule, "twice") && !strings.HasPrefix(rule, "two") && !strings.HasPrefix(rule, "half") && !strings.HasPrefix(rule, "nested") {
					assert.Equal(t, server.InvalidAuthorizationDetails, a.Params()["error"], "%s: %s", where, rule)
				}
			}
		}
		for where, send := range places {
			a := send(good)
			assert.Empty(t, a.Params()["error"], "%s: what is right is taken: %s", where, a.Raw)
		}
	})
}

// The answer that is given once more is the same in detail.
func TestAuthorizationDetailsWithinTheGraceOfARefresh(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.RefreshTokenGrace, c.RefreshTokenKey = time.Minute, []byte(strings.Repeat("k", 32))
	})
	require.NoError(t, p.Server.Register(payments()))
	client := p.NewClient(nil)
	first := p.Redeem(client, p.Code(client, details(`[{"type":"payment","amount":50}]`))).Body["refresh_token"]
	answer, again := p.Refresh(client, first, ""), p.Refresh(client, first, "")
	assert.Contains(t, answer.Raw, "payment")
	assert.Equal(t, answer.Raw, again.Raw)
}

func TestAuthorizationDetailsNeedTheirTypes(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	require.ErrorContains(t, srv.Register(&grant.AuthorizationDetails{}), "Types")
	require.ErrorContains(t, srv.Register(&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"payment": {}}}), `Types["payment"].Check`)
	check := payments().Types["account"].Check
	for _, members := range []any{&limits{}, "payment", map[string]string{}} {
		types := map[string]grant.AuthorizationDetailType{"payment": {Members: members, Check: check}}
		assert.ErrorContains(t, srv.Register(&grant.AuthorizationDetails{Types: types}), `Types["payment"].Members`, "%T", members)
	}
	a := payments()
	for text, ok := range map[string]bool{`["payment"]`: true, `["x"]`: false, `"payment"`: false, `[1]`: false} {
		metadata := &models.ClientMetadata{Extra: map[string]json.RawMessage{"authorization_details_types": json.RawMessage(text)}}
		assert.Equal(t, ok, a.CheckClientMetadata(t.Context(), nil, metadata) == nil, text)
	}
}
