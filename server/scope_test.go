package server_test

import (
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
)

const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

// scopeTest asks for a scope in each of the ways in which a client can.
type scopeTest struct {
	*oauthtest.Provider
	device *endpoint.DeviceAuthorization
	client *oauthtest.Client
}

func newScopeTest(t *testing.T, db *gorm.DB, change func(*oauthtest.Client), configure ...func(*server.Config)) *scopeTest {
	t.Helper()
	p := &scopeTest{Provider: oauthtest.New(t, db, configure...)}
	p.device = gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	require.NoError(t, p.Server.RegisterEndpoint(p.device))
	require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)))
	require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)))
	require.NoError(t, p.Server.RegisterGrant(&grant.Implicit{AllowConfidentialClients: true}))
	p.client = p.NewClient(oauthtest.All(
		oauthtest.Grants("authorization_code", "client_credentials", "password", "implicit", deviceGrantType), change,
	))
	return p
}

// ways returns the answer to a request for a scope, by the way in which it is asked
// for, up to the token or the first refusal.
func (p *scopeTest) ways(scope string) map[string]oauthtest.Answer {
	more := "scope=" + queryEscape(scope)
	query := oauthtest.AuthorizeQuery(p.client, more)
	answers := map[string]oauthtest.Answer{
		"client credentials": p.Token(p.client, "grant_type=client_credentials&"+more),
		"password":           p.Token(p.client, "grant_type=password&username=a&password="+oauthtest.Password+"&"+more),
		"implicit":           p.Grant("response_type=token&client_id=" + p.client.ClientID + "&" + more),
	}
	if a := p.Grant(query); a.Query.Has("code") {
		answers["authorization"] = p.Redeem(p.client, a.Query.Get("code"))
	} else {
		answers["authorization"] = a
	}
	a := p.Post("/oauth/par", p.client, query)
	if uri := a.Body["request_uri"]; uri != "" {
		code := p.Grant("client_id=" + p.client.ClientID + "&request_uri=" + queryEscape(uri)).Query.Get("code")
		a = p.Redeem(p.client, code)
	}
	answers["pushed request"] = a
	a = p.Post("/oauth/device_authorization", p.client, more)
	if code := a.Body["user_code"]; code != "" {
		require.NoError(p.T, p.DecideDevice(p.device, code, p.User, true))
		a = p.Token(p.client, "grant_type="+deviceGrantType+"&device_code="+a.Body["device_code"])
	}
	answers["device"] = a
	return answers
}

// RFC 6749 section 3.3, OpenID Connect Core section 3.1.2.1: what is unknown is left
// out, and the answer says what was given.
func TestWhatAScopeBecomes(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		supported := func(c *server.Config) { c.ScopesSupported = []string{"openid", "profile", "email", "admin"} }
		strict := func(c *server.Config) { c.StrictScope = true }
		openid := func(c *oauthtest.Client) { c.ClientMetadata.Scope = "openid profile email" }
		byDefault := func(c *oauthtest.Client) { c.DefaultScope = "email" }
		refusesEmpty := func(c *oauthtest.Client) { c.RefuseEmpty = true }
		const refused, no = "invalid_scope", "The client cannot have the scope '"
		for _, row := range []struct {
			rule        string
			client      func(*oauthtest.Client)
			config      []func(*server.Config)
			scope       string
			given       string
			description string
		}{
			{"all that is the client's is given", openid, nil, "email openid", "email openid", ""},
			{"what is not the client's is left out", openid, nil, "profile admin", "profile", ""},
			{"what the server does not know is left out", openid, []func(*server.Config){supported}, "profile nonsense email", "profile email", ""},
			{"no word of several has to be the client's but one", openid, nil, "a b c email d", "email", ""},
			{"a word is not what it begins with", openid, nil, "prof profile Email", "profile", ""},
			{"if nothing is left the words are named", openid, nil, "admin root", refused, no + "admin root'"},
			{"unknown words are no request for the default", byDefault, []func(*server.Config){supported}, "nonsense", refused, no + "nonsense'"},
			{"nor are those of others", byDefault, nil, "admin", refused, no + "admin'"},
			{"nor is what the server has and the client has not", byDefault, []func(*server.Config){supported}, "admin", refused, no + "admin'"},
			{"the default is for who names none", byDefault, nil, "", "email", ""},
			{"or nothing but spaces", byDefault, nil, "  ", "email", ""},
			{"a client may have to name one", refusesEmpty, nil, "", refused, "The request has no 'scope', and the client has no default."},
			{"openid is not left out", nil, nil, "openid profile", refused, no + "openid'"},
			{"nor where the server does not know it", openid, []func(*server.Config){func(c *server.Config) { c.ScopesSupported = []string{"profile"} }}, "openid profile x", refused, no + "openid x'"},
			{"what begins like it is", nil, nil, "openid2 profile", "profile", ""},
			{"strict: all that is the client's is given", openid, []func(*server.Config){strict}, "profile email", "profile email", ""},
			{"strict: a word of others is named", openid, []func(*server.Config){strict}, "profile admin", refused, no + "admin'"},
			{"strict: so is one that the server does not know", openid, []func(*server.Config){strict, supported}, "profile nonsense", refused, no + "nonsense'"},
			{"many words are named up to a length", nil, nil, strings.Repeat("w ", 500), refused, no + strings.Repeat("w ", 100) + "...'"},
			{"so is a long one", nil, nil, strings.Repeat("w", 5000), refused, no + strings.Repeat("w", 200) + "...'"},
			{"what looks like markup is a word", nil, nil, "<script>%s%d", refused, no + "<script>%s%d'"},
		} {
			t.Run(row.rule, func(t *testing.T) {
				p := newScopeTest(t, db, oauthtest.All(func(*oauthtest.Client) {}, orNothing(row.client)), row.config...)
				for way, a := range p.ways(row.scope) {
					if row.given == refused {
						assert.Equal(t, refused, a.Params()["error"], "%s: %s", way, a.Raw)
						assert.True(t, strings.HasPrefix(a.Params()["error_description"], row.description), "%s: %s", way, a.Params()["error_description"])
						assert.Empty(t, a.Params()["access_token"], way)
						continue
					}
					assert.NotEmpty(t, a.Params()["access_token"], "%s: %s", way, a.Raw)
					assert.Equal(t, row.given, a.Params()["scope"], "%s: the answer says what was given: %s", way, a.Raw)
				}
			})
		}
	})
}

func orNothing(change func(*oauthtest.Client)) func(*oauthtest.Client) {
	if change == nil {
		return func(*oauthtest.Client) {}
	}
	return change
}

// ownScope is a client model that refuses in a way of its own.
type ownScope struct {
	ID uint
	oauthtest.Client
}

func (*ownScope) TableName() string { return "clients" }

// GetAllowedScope refuses "admin", whatever stands beside it.
func (c *ownScope) GetAllowedScope(scope string) (allowed string, ok bool) {
	return scope, !strings.Contains(scope, "admin")
}

// A model that returns false refuses, be it that it returns the words as well.
func TestAModelThatRefusesAScopeIsHeard(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.QueryClient = gormoauth.CreateQueryClientFunc[ownScope](db) })
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	a := p.Token(client, "grant_type=client_credentials&scope=anything")
	assert.Equal(t, "anything", a.Body["scope"], a.Raw)
	a = p.Token(client, "grant_type=client_credentials&scope=profile+admin")
	assert.Equal(t, server.InvalidScope, a.Body["error"], a.Raw)
	assert.Contains(t, a.Body["error_description"], "'profile admin'")
}

// RFC 6749 section 6: the scope of a refresh is no more than what was granted.
func TestARefreshBeyondTheGrantIsRefused(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		token := p.Redeem(client, p.Code(client, "scope=profile")).Body["refresh_token"]
		for scope, more := range map[string]string{"profile email": "email", "email": "email", "profile nonsense": "nonsense", "openid": "openid"} {
			a := p.Refresh(client, token, "&scope="+queryEscape(scope))
			assert.Equal(t, server.InvalidScope, a.Body["error"], scope)
			assert.Equal(t, "The scope '"+more+"' exceeds the scope that was granted.", a.Body["error_description"])
		}
		assert.Equal(t, "profile", p.Refresh(client, token, "").Body["scope"], "a refusal spends nothing")
	})
}

// An answer without a scope would say that all was given (RFC 6749 section 5.1).
func TestAGrantOfWhichNothingIsLeftGivesNoToken(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		code, token := p.Code(client, "scope=profile"), p.Redeem(client, p.Code(client, "scope=profile")).Body["refresh_token"]
		client.ClientMetadata.Scope = "email"
		require.NoError(t, db.Save(client).Error)
		for _, a := range []oauthtest.Answer{p.Redeem(client, code), p.Refresh(client, token, "")} {
			assert.Equal(t, server.InvalidScope, a.Body["error"], a.Raw)
			assert.Contains(t, a.Body["error_description"], "'profile'")
		}
		client.ClientMetadata.Scope = "email profile"
		require.NoError(t, db.Save(client).Error)
		assert.Equal(t, "profile", p.Refresh(client, token, "").Body["scope"])
	})
}
