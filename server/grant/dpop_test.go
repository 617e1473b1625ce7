package grant_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/secret"
)

const tokenEndpoint = oauthtest.Issuer + "/oauth/token"

type dpopTest struct {
	*oauthtest.Provider
	dpop *grant.DPoP
}

func newDPoP(t *testing.T, db *gorm.DB, configure ...func(*server.Config)) *dpopTest {
	t.Helper()
	p := &dpopTest{oauthtest.New(t, db, configure...), gormoauth.CreateDPoP[oauthtest.Replay](db)}
	require.NoError(t, p.Server.Register(p.dpop))
	require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)))
	return p
}

func (p *dpopTest) redeem(client *oauthtest.Client, code string, header ...string) oauthtest.Answer {
	return p.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code, header...)
}

func (p *dpopTest) refresh(client *oauthtest.Client, token string, header ...string) oauthtest.Answer {
	return p.Token(client, "grant_type=refresh_token&refresh_token="+token, header...)
}

func (p *dpopTest) proof(key *ecdsa.PrivateKey, more ...any) []string {
	return []string{"DPoP", p.DPoP(key, http.MethodPost, tokenEndpoint, more...)}
}

func TestDPoP(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newDPoP(t, db)
		key, other := oauthtest.NewKey(t), oauthtest.NewKey(t)
		web, spa := p.NewClient(nil), p.NewClient(oauthtest.Public)
		service := p.NewClient(oauthtest.Grants("client_credentials"))

		t.Run("a token is bound to the key of the proof", func(t *testing.T) {
			for _, client := range []*oauthtest.Client{web, spa} {
				a := p.redeem(client, p.Code(client, ""), p.proof(key)...)
				require.Equal(t, http.StatusOK, a.Status, a.Raw)
				assert.Equal(t, "DPoP", a.Body["token_type"])
				assert.False(t, p.Valid(a.Body["access_token"]), "it is no bearer token")
				var row oauthtest.Token
				require.NoError(t, db.Last(&row).Error)
				assert.JSONEq(t, `{"jkt":"`+oauthtest.Thumbprint(t, key)+`"}`, row.Confirmation)
				if client == web {
					told := p.Introspect(web, "token="+a.Body["access_token"])
					assert.Equal(t, "DPoP", told.Body["token_type"])
					assert.JSONEq(t, row.Confirmation, told.Body["cnf"])
				}
			}
			assert.Equal(t, "Bearer", p.redeem(web, p.Code(web, "")).Body["token_type"], "without a proof it is not")
			assert.Equal(t, "DPoP", p.Token(service, "grant_type=client_credentials", p.proof(key)...).Body["token_type"])
		})

		t.Run("what no proof may be", func(t *testing.T) {
			private := map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key}}
			public := map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}}
			claims := map[string]any{"jti": "1", "htm": "POST", "htu": tokenEndpoint, "iat": p.Now.Unix()}
			short, err := rsa.GenerateKey(rand.Reader, 1024)
			require.NoError(t, err)
			good := p.DPoP(key, http.MethodPost, tokenEndpoint)
			parts := strings.Split(p.DPoP(other, http.MethodPost, tokenEndpoint), ".")
			publicKey, err := json.Marshal(jose.JSONWebKey{Key: key.Public()})
			require.NoError(t, err)
			critical := `{"alg":"ES256","typ":"dpop+jwt","crit":["exp2"],"exp2":1,"jwk":` + string(publicKey) + `}`
			for rule, proofs := range map[string][]string{
				"two":                 {good, p.DPoP(key, http.MethodPost, tokenEndpoint)},
				"no JWT":              {"x"},
				"empty":               {""},
				"very long":           {p.DPoP(key, http.MethodPost, tokenEndpoint, "x", strings.Repeat("x", 5000))},
				"without an id":       {p.DPoP(key, http.MethodPost, tokenEndpoint, "jti", nil)},
				"with a very long id": {p.DPoP(key, http.MethodPost, tokenEndpoint, "jti", strings.Repeat("x", 600))},
				"for another method":  {p.DPoP(key, http.MethodGet, tokenEndpoint)},
				"without a method":    {p.DPoP(key, http.MethodPost, tokenEndpoint, "htm", nil)},
				"for another address": {p.DPoP(key, http.MethodPost, "https://id.example/oauth/par")},
				"for another host":    {p.DPoP(key, http.MethodPost, "https://x.example/oauth/token")},
				"for http":            {p.DPoP(key, http.MethodPost, "http://id.example/oauth/token")},
				"for an address that has an encoded slash": {p.DPoP(key, http.MethodPost, "https://id.example/oauth%2Ftoken")},
				"for an address in other letters":          {p.DPoP(key, http.MethodPost, "https://id.example/OAuth/token")},
				"for an address of somebody at the host":   {p.DPoP(key, http.MethodPost, "https://id.example@id.example/oauth/token")},
				"for an address with two slashes":          {p.DPoP(key, http.MethodPost, "https://id.example//oauth/token")},
				"for a path":                               {p.DPoP(key, http.MethodPost, "/oauth/token")},
				"without an address":                       {p.DPoP(key, http.MethodPost, tokenEndpoint, "htu", nil)},
				"of the past":                              {p.DPoP(key, http.MethodPost, tokenEndpoint, "iat", p.Now.Add(-3*time.Minute).Unix())},
				"of the future":                            {p.DPoP(key, http.MethodPost, tokenEndpoint, "iat", p.Now.Add(61*time.Second).Unix())},
				"without a time":                           {p.DPoP(key, http.MethodPost, tokenEndpoint, "iat", nil)},
				"with a time that is none":                 {p.DPoP(key, http.MethodPost, tokenEndpoint, "iat", "now")},
				"of another type":                          {oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"typ": "JWT", "jwk": jose.JSONWebKey{Key: key.Public()}}, claims)},
				"without a key":                            {oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"typ": "dpop+jwt"}, claims)},
				"with a private key":                       {oauthtest.SignJWT(t, key, jose.ES256, private, claims)},
				"by an RSA key of 1024 bits":               {oauthtest.SignJWT(t, short, jose.PS256, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: short.Public()}}, claims)},
				"by an elliptic key of another algorithm":  {oauthtest.SignByWrongCurve(t, key, public, claims)},
				"signed by another key":                    {oauthtest.SignJWT(t, other, jose.ES256, public, claims)},
				"signed by a shared secret":                {oauthtest.SignJWT(t, []byte(strings.Repeat("k", 32)), jose.HS256, public, claims)},
				"not signed":                               {strings.Split(good, ".")[0] + "." + strings.Split(good, ".")[1] + "."},
				"by an algorithm named none":               {"eyJhbGciOiJub25lIiwidHlwIjoiZHBvcCtqd3QifQ." + parts[1] + "."},
				"with a critical header":                   {oauthtest.SignRaw(t, key, critical, `{"jti":"1","htm":"POST"}`)},
				"with another's payload":                   {strings.Split(good, ".")[0] + "." + parts[1] + "." + strings.Split(good, ".")[2]},
			} {
				var header []string
				for _, proof := range proofs {
					header = append(header, "DPoP", proof)
				}
				a := p.Token(service, "grant_type=client_credentials", header...)
				assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", rule, a.Raw)
				assert.Equal(t, server.InvalidDPoPProof, a.Body["error"], rule)
				if rule == "with a critical header" {
					assert.True(t, a.Refusal().Has("reason", "the JWT has a critical header parameter that is not supported", "values.crit", `["exp2"]`), a.Refusal())
				}
			}
			for _, algorithm := range jwk.SignatureAlgorithms() {
				signer := oauthtest.NewKeyFor(t, algorithm)
				header := map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: signer.Public()}}
				a := p.Token(service, "grant_type=client_credentials", "DPoP", oauthtest.SignJWT(t, signer, algorithm, header, oauthtest.Claims(claims, "jti", string(algorithm))))
				assert.Equal(t, http.StatusOK, a.Status, "%s is taken by default: %s", algorithm, a.Raw)
			}
			for rule, target := range map[string]string{
				"a query": tokenEndpoint + "?a=b#c", "a port": "https://id.example:443/oauth/token", "letters": "HTTPS://ID.example/oauth/token",
				"an encoded letter": "https://id.example/oauth/%74oken", "a dot segment": "https://id.example/x/../oauth/./token",
			} {
				a := p.Token(service, "grant_type=client_credentials", "DPoP", p.DPoP(key, http.MethodPost, target))
				assert.Equal(t, http.StatusOK, a.Status, "%s makes no difference: %s", rule, a.Raw)
			}
		})

		t.Run("a proof is good once, whoever is first", func(t *testing.T) {
			proof := p.proof(key)
			var won atomic.Int32
			var wait sync.WaitGroup
			for range 8 {
				wait.Go(func() {
					if p.Token(service, "grant_type=client_credentials", proof...).Status == http.StatusOK {
						won.Add(1)
					}
				})
			}
			wait.Wait()
			assert.EqualValues(t, 1, won.Load())
			assert.Equal(t, http.StatusOK, p.Token(service, "grant_type=client_credentials", p.proof(other, "jti", "same")...).Status)
			assert.Equal(t, http.StatusOK, p.Token(service, "grant_type=client_credentials", p.proof(key, "jti", "same")...).Status, "an id is another key's as well")
		})

		t.Run("a public client's refresh token is bound", func(t *testing.T) {
			first := p.redeem(spa, p.Code(spa, ""), p.proof(key)...).Body
			assert.Equal(t, server.InvalidGrant, p.refresh(spa, first["refresh_token"], p.proof(other)...).Body["error"])
			assert.Equal(t, server.InvalidDPoPProof, p.refresh(spa, first["refresh_token"]).Body["error"])
			second := p.refresh(spa, first["refresh_token"], p.proof(key)...)
			assert.Equal(t, http.StatusOK, second.Status, second.Raw)
			assert.Equal(t, server.InvalidGrant, p.refresh(spa, second.Body["refresh_token"], p.proof(other)...).Body["error"], "and its successor")
		})
		t.Run("a confidential client may change its key, but not go without", func(t *testing.T) {
			first := p.redeem(web, p.Code(web, ""), p.proof(key)...).Body
			assert.Equal(t, server.InvalidDPoPProof, p.refresh(web, first["refresh_token"]).Body["error"])
			second := p.refresh(web, first["refresh_token"], p.proof(other)...)
			require.Equal(t, http.StatusOK, second.Status, second.Raw)
			var row oauthtest.Token
			require.NoError(t, db.Where("access_token = ?", secret.Digest(second.Body["access_token"])).First(&row).Error)
			assert.Contains(t, row.Confirmation, oauthtest.Thumbprint(t, other))
		})

		t.Run("a code is bound to dpop_jkt", func(t *testing.T) {
			ask := "dpop_jkt=" + oauthtest.Thumbprint(t, key)
			code := p.Code(web, ask)
			assert.Equal(t, server.InvalidDPoPProof, p.redeem(web, code).Body["error"])
			assert.Equal(t, server.InvalidGrant, p.redeem(web, code, p.proof(other)...).Body["error"])
			assert.Equal(t, http.StatusOK, p.redeem(web, code, p.proof(key)...).Status)
			for _, bad := range []string{"dpop_jkt=x", "dpop_jkt=" + strings.Repeat("A", 44), "dpop_jkt=%20"} {
				assert.Equal(t, server.InvalidRequest, p.Consent(oauthtest.AuthorizeQuery(web, bad)).Query.Get("error"), bad)
			}
		})
		t.Run("or to the proof of a pushed request", func(t *testing.T) {
			par := oauthtest.Issuer + "/oauth/par"
			push := func(more string, proof string) oauthtest.Answer {
				body := strings.Replace(oauthtest.AuthorizeQuery(web, more), "&client_id="+web.ClientID, "", 1)
				return p.Post("/oauth/par", web, body, "DPoP", proof)
			}
			pushed := push("", p.DPoP(key, http.MethodPost, par))
			require.Equal(t, http.StatusCreated, pushed.Status, pushed.Raw)
			code := p.Grant("client_id=" + web.ClientID + "&request_uri=" + pushed.Body["request_uri"]).Query.Get("code")
			assert.Equal(t, server.InvalidGrant, p.redeem(web, code, p.proof(other)...).Body["error"])
			assert.Equal(t, http.StatusOK, p.redeem(web, code, p.proof(key)...).Status)
			assert.Equal(t, server.InvalidDPoPProof, push("dpop_jkt="+oauthtest.Thumbprint(t, other), p.DPoP(key, http.MethodPost, par)).Body["error"])
			assert.Equal(t, server.InvalidDPoPProof, push("", p.DPoP(key, http.MethodPost, tokenEndpoint)).Body["error"])
			assert.Equal(t, http.StatusCreated, push("dpop_jkt="+oauthtest.Thumbprint(t, key), p.DPoP(key, http.MethodPost, par)).Status)
		})

		t.Run("the metadata names the algorithms", func(t *testing.T) {
			assert.Contains(t, p.Get("/.well-known/oauth-authorization-server").Body["dpop_signing_alg_values_supported"], "ES256")
		})
	})
}

func TestDPoPCanBeRequired(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newDPoP(t, db)
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	asks := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"dpop_bound_access_tokens": json.RawMessage("true")}
	}))
	assert.Equal(t, http.StatusOK, p.Token(service, "grant_type=client_credentials").Status)
	assert.Equal(t, server.InvalidDPoPProof, p.Token(asks, "grant_type=client_credentials").Body["error"])
	p.dpop.Required = true
	assert.Equal(t, server.InvalidDPoPProof, p.Token(service, "grant_type=client_credentials").Body["error"])
	assert.Equal(t, http.StatusOK, p.Token(service, "grant_type=client_credentials", p.proof(oauthtest.NewKey(t))...).Status)
}

// The key comes from a stranger: one that takes long to verify by is refused.
func TestADPoPKeyIsOfAReasonableSize(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newDPoP(t, db)
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	for bits, status := range map[int]int{2048: http.StatusOK, 4104: http.StatusBadRequest} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		require.NoError(t, err)
		proof := oauthtest.SignJWT(t, key, jose.RS256, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}},
			map[string]any{"jti": "1", "htm": "POST", "htu": tokenEndpoint, "iat": p.Now.Unix()})
		assert.Equal(t, status, p.Token(service, "grant_type=client_credentials", "DPoP", proof).Status, bits)
	}
}

func TestDPoPNonce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newDPoP(t, db)
	p.dpop.Proofs.NonceKey = []byte(strings.Repeat("n", 32))
	service, key := p.NewClient(oauthtest.Grants("client_credentials")), oauthtest.NewKey(t)
	ask := func(more ...any) oauthtest.Answer {
		return p.Token(service, "grant_type=client_credentials", p.proof(key, more...)...)
	}
	a := ask()
	assert.Equal(t, http.StatusBadRequest, a.Status)
	assert.Equal(t, server.UseDPoPNonce, a.Body["error"])
	nonce := a.Header.Get("DPoP-Nonce")
	require.NotEmpty(t, nonce)
	assert.Equal(t, http.StatusOK, ask("nonce", nonce).Status)
	assert.Equal(t, http.StatusOK, ask("nonce", nonce).Status, "a nonce is for many proofs")
	assert.Equal(t, server.UseDPoPNonce, ask("nonce", nonce+"x").Body["error"])
	p.Now = p.Now.Add(5 * time.Minute)
	assert.Equal(t, http.StatusOK, ask("nonce", nonce).Status)
	p.Now = p.Now.Add(5 * time.Minute)
	old := ask("nonce", nonce)
	assert.Equal(t, server.UseDPoPNonce, old.Body["error"], "it grows old")
	assert.Equal(t, http.StatusOK, ask("nonce", old.Header.Get("DPoP-Nonce")).Status)

	elsewhere := newDPoP(t, db) // another instance
	elsewhere.dpop.Proofs.NonceKey, elsewhere.Now = p.dpop.Proofs.NonceKey, p.Now
	assert.Equal(t, http.StatusOK, elsewhere.Token(service, "grant_type=client_credentials", elsewhere.proof(key, "nonce", old.Header.Get("DPoP-Nonce"))...).Status)
}

// Nonces by the server's secrets outlive a rotation, on instances of before and after it.
func TestDPoPNoncesBySecrets(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	a, b := []byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 32))
	key := oauthtest.NewKey(t)
	var service *oauthtest.Client
	nonces := make(map[string]string)
	instances := make(map[string]func(nonce any) oauthtest.Answer)
	for name, proofs := range map[string]dpop.Proofs{
		"before": {Secrets: secret.Keyring{a, b}}, "after": {Secrets: secret.Keyring{b, a}}, "keyed": {Secrets: secret.Keyring{b}, NonceKey: a}, "another": {Secrets: secret.Keyring{[]byte(strings.Repeat("c", 32))}},
	} {
		p := newDPoP(t, db)
		p.dpop.Proofs.Secrets, p.dpop.Proofs.NonceKey = proofs.Secrets, proofs.NonceKey
		if service == nil {
			service = p.NewClient(oauthtest.Grants("client_credentials"))
		}
		instances[name] = func(nonce any) oauthtest.Answer {
			return p.Token(service, "grant_type=client_credentials", p.proof(key, "nonce", nonce)...)
		}
		first := instances[name](nil)
		assert.Equal(t, server.UseDPoPNonce, first.Body["error"], name)
		nonces[name] = first.Header.Get("DPoP-Nonce")
		assert.Equal(t, http.StatusOK, instances[name](nonces[name]).Status, name)
	}
	assert.Equal(t, http.StatusOK, instances["before"](nonces["after"]).Status)
	assert.Equal(t, http.StatusOK, instances["after"](nonces["before"]).Status)
	assert.Equal(t, http.StatusOK, instances["keyed"](nonces["after"]).Status)
	for _, name := range []string{"before", "after", "keyed"} {
		assert.Equal(t, server.UseDPoPNonce, instances[name](nonces["another"]).Body["error"], name)
	}
	short := newDPoP(t, db).dpop
	short.Proofs.Secrets = secret.Keyring{[]byte("short")}
	assert.ErrorContains(t, short.CheckConfig(&server.Config{}), "32")
}

// A client that never saw the answer to a refresh still has to prove its key.
func TestDPoPWithinTheGraceOfARefresh(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newDPoP(t, db, func(c *server.Config) {
		c.RefreshTokenGrace, c.RefreshTokenKey = time.Minute, []byte(strings.Repeat("k", 32))
	})
	spa, key := p.NewClient(oauthtest.Public), oauthtest.NewKey(t)
	first := p.redeem(spa, p.Code(spa, ""), p.proof(key)...).Body["refresh_token"]
	answer := p.refresh(spa, first, p.proof(key)...)
	assert.Equal(t, server.InvalidGrant, p.refresh(spa, first, p.proof(oauthtest.NewKey(t))...).Body["error"])
	again := p.refresh(spa, first, p.proof(key)...)
	assert.Equal(t, answer.Raw, again.Raw)
	assert.Equal(t, "DPoP", again.Body["token_type"])
}

func TestDPoPNeedsItsSettings(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	require.ErrorContains(t, srv.Register(&grant.DPoP{}), "Replays")
	var lazy server.Server
	require.NoError(t, lazy.Register(&grant.DPoP{}))
	require.ErrorContains(t, lazy.Init(minimalConfig()), "Replays")
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	short := gormoauth.CreateDPoP[oauthtest.Replay](db)
	short.Proofs.NonceKey = []byte("short")
	require.ErrorContains(t, srv.Register(short), "NonceKey")
}
