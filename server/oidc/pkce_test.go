package oidc_test

import (
	"crypto/ecdsa"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// ruledClient is a client model with a rule of its own.
type ruledClient struct {
	ID   uint
	PKCE server.PKCE
	models.ClientMixin
}

func (*ruledClient) TableName() string { return "clients" }

// GetPKCE returns the column.
func (c *ruledClient) GetPKCE() server.PKCE { return c.PKCE }

// pkceTest is an OpenID Provider to which requests come in each way.
type pkceTest struct {
	*oauthtest.Provider
	key *ecdsa.PrivateKey
}

func newPKCETest(t *testing.T, db *gorm.DB, rule server.PKCE) *pkceTest {
	t.Helper()
	require.NoError(t, db.AutoMigrate(&ruledClient{}))
	p := &pkceTest{Provider: oauthtest.New(t, db, func(c *server.Config) {
		c.PKCE, c.QueryClient = rule, gormoauth.CreateQueryClientFunc[ruledClient](db)
	}), key: oauthtest.NewKey(t)}
	provider := &oidc.Provider{Keys: signingKeys()}
	require.NoError(t, errors.Join(
		provider.Register(p.Server, p.Protector),
		p.Server.RegisterGrant(&oidc.Hybrid{Provider: provider, Code: gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)}),
		p.Server.Register(&grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}),
		p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)),
	))
	return p
}

func (p *pkceTest) client(public bool, own server.PKCE) *oauthtest.Client {
	client := p.NewClient(func(c *oauthtest.Client) {
		m := &c.ClientMetadata
		m.GrantTypes, m.ResponseTypes = []string{"authorization_code", "implicit"}, []string{"code", "code id_token", "code token", "code id_token token"}
		m.Scope, m.JWKs = "openid profile", oauthtest.KeySet(p.T, p.key)
		if public {
			m.TokenEndpointAuthMethod = models.None
		}
	})
	require.NoError(p.T, p.DB.Model(client).Update("pkce", own).Error)
	return client
}

// ways returns the answer to a granted request, by the way in which it came.
func (p *pkceTest) ways(client *oauthtest.Client, params url.Values) map[string]oauthtest.Answer {
	claims := map[string]any{"iss": client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Add(time.Minute).Unix()}
	for name := range params {
		claims[name] = params.Get(name)
	}
	object := url.Values{"client_id": {client.ClientID}, "request": {oauthtest.SignJWT(p.T, p.key, jose.ES256, nil, claims)}}
	answers := map[string]oauthtest.Answer{"plain": p.Grant(params.Encode()), "request object": p.Grant(object.Encode())}
	for way, body := range map[string]url.Values{"pushed": params, "pushed request object": object} {
		body = maps.Clone(body)
		body.Del("client_id") // which comes with the client's authentication
		a := p.Post("/oauth/par", client, body.Encode())
		if uri := a.Body["request_uri"]; uri != "" {
			a = p.Grant(url.Values{"client_id": {client.ClientID}, "request_uri": {uri}}.Encode())
		}
		answers[way] = a
	}
	return answers
}

// One rule for the server holds for every grant that gives codes, however the request
// comes (OAuth 2.1 section 7.5.1, RFC 9700 section 2.1.1).
func TestWhoNeedsACodeChallenge(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		const confidential, public = false, true
		const withNonce, required, optional = server.PKCEWithNonce, server.PKCERequired, server.PKCEOptional
		openid, withoutNonce, plain := "openid profile", "openid profile", "profile"
		for _, row := range []struct {
			rule, own server.PKCE
			public    bool
			scope     string
			nonce     string
			code      bool
		}{
			{"", "", confidential, openid, "n", true},
			{withNonce, "", confidential, openid, "n", true},
			{withNonce, "", confidential, withoutNonce, "", false},
			{withNonce, "", confidential, plain, "n", false},
			{withNonce, "", confidential, "", "n", false},
			{withNonce, "", public, openid, "n", false},
			{required, "", confidential, openid, "n", false},
			{required, "", public, openid, "n", false},
			{optional, "", confidential, plain, "", true},
			{optional, "", confidential, openid, "n", true},
			{optional, "", public, openid, "n", false},
			{required, optional, confidential, plain, "", true},
			{required, withNonce, confidential, openid, "n", true},
			{required, withNonce, confidential, plain, "n", false},
			{optional, required, confidential, openid, "n", false},
			{optional, withNonce, confidential, plain, "", false},
			{optional, optional, public, openid, "n", false},
			{optional, "nonsense", confidential, openid, "n", false},
		} {
			p := newPKCETest(t, db, row.rule)
			client := p.client(row.public, row.own)
			for _, responseType := range []string{"code", "code id_token", "code token", "code id_token token"} {
				if responseType != "code" && responseType != "code token" && (row.scope != openid || row.nonce == "") {
					continue // an ID token needs these anyway
				}
				params := url.Values{"client_id": {client.ClientID}, "response_type": {responseType}, "redirect_uri": {oauthtest.RedirectURI}}
				for name, value := range map[string]string{"scope": row.scope, "nonce": row.nonce} {
					if value != "" {
						params.Set(name, value)
					}
				}
				for way, a := range p.ways(client, params) {
					answer := a.Params()
					assert.Equal(t, row.code, answer["code"] != "", "%+v %q %s: %v %s", row, responseType, way, answer, a.Raw)
					if !row.code {
						assert.Equal(t, server.InvalidRequest, answer["error"], "%+v %q %s", row, responseType, way)
						assert.Equal(t, "The request has no 'code_challenge' (RFC 7636).", answer["error_description"])
						continue
					}
					a = p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code_verifier="+oauthtest.Verifier+"&code="+answer["code"])
					assert.Equal(t, server.InvalidRequest, a.Body["error"], "a verifier for a code without a challenge (RFC 9700 section 4.8.2)")
					a = p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+answer["code"])
					assert.Equal(t, http.StatusOK, a.Status, a.Raw)
				}
				params.Set("code_challenge", oauthtest.Challenge)
				params.Set("code_challenge_method", "S256")
				code := p.Grant(params.Encode()).Params()["code"]
				redeem := "grant_type=authorization_code&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI) + "&code=" + code
				assert.Equal(t, server.InvalidGrant, p.Token(client, redeem).Body["error"], "a challenge needs its verifier, also beside %q", responseType)
				assert.Equal(t, server.InvalidGrant, p.Token(client, redeem+"&code_verifier="+oauthtest.Challenge).Body["error"])
				assert.Equal(t, http.StatusOK, p.Token(client, redeem+"&code_verifier="+oauthtest.Verifier).Status)
			}
		}
	})
}

// A code that came without a challenge, by a grant of the program's own, is redeemed
// by those alone who may do without.
func TestACodeThatNeedsAChallengeIsNotRedeemedWithoutOne(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newPKCETest(t, db, "")
		for name, c := range map[string]struct {
			client *oauthtest.Client
			more   string
			want   string
		}{
			"public":                            {p.client(true, ""), "&scope=openid&nonce=n", server.InvalidGrant},
			"confidential":                      {p.client(false, ""), "&scope=openid", server.InvalidGrant},
			"confidential, with nonce":          {p.client(false, ""), "&scope=openid&nonce=n", ""},
			"confidential, that may do without": {p.client(false, server.PKCEOptional), "", ""},
		} {
			code := p.Code(c.client, "redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+c.more)
			require.NoError(t, db.Model(&oauthtest.AuthorizationCode{}).Where("redeemed_at = 0").Updates(map[string]any{"code_challenge": "", "code_challenge_method": ""}).Error)
			a := p.Token(c.client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code)
			assert.Equal(t, c.want, a.Body["error"], "%s: %s", name, a.Raw)
		}
	})
}
