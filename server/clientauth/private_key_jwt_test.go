package clientauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/secret"
)

// keyPair is what a client has.
type keyPair struct {
	private *ecdsa.PrivateKey
	id      string
}

func newKeyPair(t *testing.T, id string) keyPair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return keyPair{private, id}
}

func (k keyPair) set(t *testing.T) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.private.Public(), KeyID: k.id, Algorithm: "ES256", Use: "sig"}}})
	require.NoError(t, err)
	return text
}

func signAssertion(t *testing.T, key any, algorithm jose.SignatureAlgorithm, kid string, claims map[string]any) string {
	t.Helper()
	return oauthtest.SignJWT(t, key, algorithm, map[jose.HeaderKey]any{"kid": kid}, claims)
}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func assertionBody(assertion string) string {
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {jwtBearer}, "client_assertion": {assertion}}.Encode()
}

func signsItself(keys json.RawMessage, uri string) func(*oauthtest.Client) {
	return oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs, c.ClientMetadata.JWKsURI = models.PrivateKeyJWT, keys, uri
	})
}

func TestPrivateKeyJWT(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
		pair, stranger := newKeyPair(t, "1"), newKeyPair(t, "1")
		client, other := p.NewClient(signsItself(pair.set(t), "")), p.NewClient(signsItself(stranger.set(t), ""))
		withSecret := p.NewClient(oauthtest.Grants("client_credentials"))
		now := p.Now.Unix()
		claims := func(more ...any) map[string]any {
			all := map[string]any{
				"iss": client.ClientID, "sub": client.ClientID, "aud": oauthtest.Issuer, "exp": now + 60, "iat": now, "jti": secret.Generate("j", secret.AccessToken),
			}
			for i := 0; i < len(more); i += 2 {
				if all[more[i].(string)] = more[i+1]; more[i+1] == nil {
					delete(all, more[i].(string))
				}
			}
			return all
		}
		sign := func(more ...any) string {
			return signAssertion(t, pair.private, jose.ES256, "1", claims(more...))
		}
		typed := func(typ string) string {
			return oauthtest.SignJWT(t, pair.private, jose.ES256, map[jose.HeaderKey]any{"kid": "1", "typ": typ}, claims())
		}
		try := func(body string) oauthtest.Answer { return p.Token(nil, body) }

		t.Run("an RSA key has 2048 bits", func(t *testing.T) { // RFC 7518 section 3.5
			for bits, want := range map[int]int{1024: http.StatusUnauthorized, 2048: http.StatusOK} {
				private, err := rsa.GenerateKey(rand.Reader, bits)
				require.NoError(t, err)
				set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private.Public(), KeyID: "1"}}})
				require.NoError(t, err)
				client := p.StoreClient(signsItself(set, ""))
				a := try(assertionBody(signAssertion(t, private, jose.PS256, "1", claims("iss", client.ClientID, "sub", client.ClientID))))
				assert.Equal(t, want, a.Status, "%d bits: %s", bits, a.Raw)
			}
		})
		for _, algorithm := range jwk.SignatureAlgorithms() {
			private := oauthtest.NewKeyFor(t, algorithm)
			client := p.NewClient(signsItself(oauthtest.KeySetOf(t, oauthtest.NewKey(t), private), ""))
			a := try(assertionBody(signAssertion(t, private, algorithm, "", claims("iss", client.ClientID, "sub", client.ClientID))))
			assert.Equal(t, http.StatusOK, a.Status, "%s is taken by default: %s", algorithm, a.Raw)
		}
		t.Run("an elliptic key signs by the algorithm of its own curve alone", func(t *testing.T) { // RFC 7518 section 3.4
			client := p.NewClient(signsItself(oauthtest.KeySetOf(t, pair.private), ""))
			mine := claims("iss", client.ClientID, "sub", client.ClientID)
			assert.Equal(t, http.StatusUnauthorized, try(assertionBody(oauthtest.SignByWrongCurve(t, pair.private, nil, mine))).Status)
			assert.Equal(t, http.StatusOK, try(assertionBody(signAssertion(t, pair.private, jose.ES256, "", mine))).Status)
		})
		for rule, assertion := range map[string]string{
			"the issuer is the audience":      sign(),
			"a list of one":                   sign("aud", []string{oauthtest.Issuer}),
			"or the token endpoint":           sign("aud", oauthtest.Issuer+"/oauth/token"),
			"without the name of the key":     signAssertion(t, pair.private, jose.ES256, "", claims()),
			"one that says it is a JWT":       typed("JWT"),
			"one that says what it is for":    typed("client-authentication+jwt"),
			"also in the long form":           typed("application/Client-Authentication+JWT"),
			"without the time it was made":    sign("iat", nil),
			"a clock that is a little ahead":  sign("iat", now+29, "nbf", now+29),
			"a clock that is a little behind": sign("exp", now-29),
			"an hour is the longest life":     sign("exp", now+3600),
			"also of one that is older":       sign("iat", now-3540, "nbf", now-3540),
			"whose clocks differ a little":    sign("iat", now-3570, "nbf", now-3570),
		} {
			a := try(assertionBody(assertion))
			assert.Equal(t, http.StatusOK, a.Status, "%s: %s", rule, a.Raw)
		}
		good := sign()
		a := try(assertionBody(good) + "&client_id=" + client.ClientID)
		assert.Equal(t, http.StatusOK, a.Status, "with the client_id beside it")
		assert.Equal(t, server.InvalidClient, try(assertionBody(good)).Body["error"], "an assertion is good once")

		parts := strings.Split(sign(), ".")
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
		for rule, assertion := range map[string]string{
			"a stranger's signature":          signAssertion(t, stranger.private, jose.ES256, "1", claims()),
			"no signature":                    none,
			"a signature that was taken away": parts[0] + "." + parts[1] + ".",
			"the public key as a secret":      signAssertion(t, []byte(pair.set(t)), jose.HS256, "1", claims()),
			"another key's name":              signAssertion(t, pair.private, jose.ES256, "2", claims()),
			"another client as the subject":   sign("sub", other.ClientID),
			"another issuer":                  sign("iss", other.ClientID),
			"a client with a secret":          sign("iss", withSecret.ClientID, "sub", withSecret.ClientID),
			"an unknown client":               sign("iss", "nobody", "sub", "nobody"),
			"another audience":                sign("aud", "https://evil.example"),
			"one audience more":               sign("aud", []string{oauthtest.Issuer, "https://evil.example"}),
			"no audience":                     sign("aud", nil),
			"an end":                          sign("exp", now-30),
			"no end":                          sign("exp", nil),
			"too long a life":                 sign("exp", now+3601),
			"one that was made long ago":      sign("iat", now-3571),
			"one that is valid since long":    sign("nbf", now-3571),
			"or since ever":                   sign("nbf", 0),
			"not yet":                         sign("nbf", now+31),
			"made in the future":              sign("iat", now+31),
			"no id":                           sign("jti", nil),
			"an id that is too long":          sign("jti", strings.Repeat("j", 513)),
			"what is no JWT":                  "a.b.c",
			"nothing much":                    "x",
			"too long":                        sign("more", strings.Repeat("a", 17<<10)),
			"a request object":                typed("oauth-authz-req+jwt"),
			"a JWT for something else":        typed("at+jwt"),
			"a claim of another type":         sign("jti", 7),
		} {
			a := try(assertionBody(assertion))
			assert.Equal(t, server.InvalidClient, a.Body["error"], rule)
		}
		for rule, body := range map[string]string{
			"another type":    strings.Replace(assertionBody(sign()), "jwt-bearer", "saml2-bearer", 1),
			"no type":         url.Values{"grant_type": {"client_credentials"}, "client_assertion": {sign()}}.Encode(),
			"a secret beside": assertionBody(sign()) + "&client_id=" + client.ClientID + "&client_secret=x",
			"another id":      assertionBody(sign()) + "&client_id=" + other.ClientID,
			"two of them":     assertionBody(sign()) + "&client_assertion=x",
		} {
			assert.Equal(t, server.InvalidRequest, try(body).Body["error"], rule)
		}
		assert.Equal(t, server.InvalidClient, p.Token(nil, "grant_type=client_credentials", basic(client.ClientID, "")...).Body["error"])
		assert.Equal(t, server.InvalidClient, try("grant_type=client_credentials&client_id=" + client.ClientID).Body["error"], "nothing at all")

		for range 5 {
			assertion := sign()
			var done sync.WaitGroup
			var in atomic.Int64
			for range 8 {
				done.Go(func() {
					if try(assertionBody(assertion)).Status == http.StatusOK {
						in.Add(1)
					}
				})
			}
			done.Wait()
			assert.EqualValues(t, 1, in.Load(), "also at once")
		}
		metadata := p.Get("/.well-known/oauth-authorization-server").Body
		assert.Contains(t, metadata["token_endpoint_auth_methods_supported"], models.PrivateKeyJWT)
		assert.JSONEq(t, `["ES256","ES384","ES512","EdDSA","PS256","PS384","PS512","RS256","RS384","RS512"]`, metadata["token_endpoint_auth_signing_alg_values_supported"])
	})
}

// A client that publishes its keys rotates them by itself.
func TestPrivateKeyJWTWithAJWKsURI(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	first, second := newKeyPair(t, "1"), newKeyPair(t, "2")
	var published atomic.Value
	published.Store([]byte(first.set(t)))
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(published.Load().([]byte)) }))
	t.Cleanup(site.Close)
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays, Fetcher: fetch.New(fetch.Options{AllowPrivateAddresses: true, CacheFor: 50 * time.Millisecond, KeepKeySetsFor: 50 * time.Millisecond})}))
	client := p.NewClient(signsItself(nil, site.URL+"/keys"))
	try := func(pair keyPair) string {
		text := signAssertion(t, pair.private, jose.ES256, pair.id, map[string]any{
			"iss": client.ClientID, "sub": client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": secret.Generate("j", secret.AccessToken),
		})
		return p.Token(nil, assertionBody(text)).Body["error"]
	}
	assert.Empty(t, try(first))
	assert.Equal(t, server.InvalidClient, try(second))
	published.Store([]byte(second.set(t)))
	require.Eventually(t, func() bool { return try(second) == "" }, 5*time.Second, 20*time.Millisecond)
	assert.Equal(t, server.InvalidClient, try(first), "the old key is void")
	published.Store([]byte("no keys"))
	require.Eventually(t, func() bool { return try(second) == server.InvalidClient }, 5*time.Second, 20*time.Millisecond, "a client's own mistake is no failure of the server")

	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays}))
	assert.Equal(t, server.InvalidClient, try(first), "nothing is fetched unless the operator says so")
	assert.ErrorContains(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{}), "Replays is missing")
}

func TestClientsThatSignAreRegistered(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open = true
	require.NoError(t, p.Server.RegisterEndpoint(registration))
	register := func(more string) oauthtest.Answer {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/oauth/register",
			strings.NewReader(`{"redirect_uris":["`+oauthtest.RedirectURI+`"],"token_endpoint_auth_method":"private_key_jwt"`+more+`}`))
		r.Header.Set("Content-Type", "application/json")
		return p.Serve(r)
	}
	keys := `,"jwks":` + string(newKeyPair(t, "1").set(t))
	a := register(keys + `,"token_endpoint_auth_signing_alg":"ES256"`)
	assert.Equal(t, http.StatusCreated, a.Status, a.Raw)
	assert.Equal(t, "ES256", a.Body["token_endpoint_auth_signing_alg"])
	assert.NotContains(t, a.Body, "client_secret", "it needs none")
	for _, more := range []string{"", `,"jwks_uri":"https://client.example/keys"`, keys + `,"token_endpoint_auth_signing_alg":"none"`, keys + `,"token_endpoint_auth_signing_alg":7`} {
		assert.Equal(t, server.InvalidClientMetadata, register(more).Body["error"], more)
	}
}

// A key that could never be used is refused by its name, unless another one can be.
func TestAKeyThatCanNeverSignIsNotRegistered(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	key := func(id, use, algorithm string, public any) jose.JSONWebKey {
		return jose.JSONWebKey{Key: public, KeyID: id, Use: use, Algorithm: algorithm}
	}
	p384, p256 := oauthtest.NewKeyFor(t, jose.ES384).Public(), oauthtest.NewKeyFor(t, jose.ES256).Public()
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{
		Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db), Algorithms: []jose.SignatureAlgorithm{jose.PS256, jose.ES256, jose.EdDSA},
	}))
	factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open = true
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
	require.NoError(t, errors.Join(p.Server.RegisterEndpoint(registration), p.Server.Register(documents)))
	s := newSite(t)
	for rule, c := range map[string]struct {
		keys   []jose.JSONWebKey
		chosen string
		named  string // of the keys in the refusal, empty where one will do
	}{
		"a curve that is not taken":        {[]jose.JSONWebKey{key("big", "", "", p384)}, "", "big"},
		"beside one that is":               {[]jose.JSONWebKey{key("big", "", "", p384), key("small", "", "", p256)}, "", ""},
		"without a name":                   {[]jose.JSONWebKey{key("", "", "", p384)}, "", "EC P-384"},
		"a short RSA key":                  {[]jose.JSONWebKey{key("weak", "", "", weak.Public())}, "", "weak"},
		"for encryption":                   {[]jose.JSONWebKey{key("enc", "enc", "", p256)}, "", "enc"},
		"for another algorithm":            {[]jose.JSONWebKey{key("other", "", "ES384", p256)}, "", "other"},
		"another than the client's choice": {[]jose.JSONWebKey{key("small", "", "", p256)}, "PS256", "small"},
		"that of the client's choice":      {[]jose.JSONWebKey{key("small", "", "", p256)}, "ES256", ""},
	} {
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: c.keys})
		require.NoError(t, err)
		client := new(oauthtest.Client)
		signsItself(set, "")(client)
		if c.chosen != "" {
			client.ClientMetadata.Extra = map[string]json.RawMessage{"token_endpoint_auth_signing_alg": json.RawMessage(`"` + c.chosen + `"`)}
		}
		_, err = factory.Create(t.Context(), client)
		if c.named == "" {
			require.NoError(t, err, rule)
		} else {
			require.ErrorContains(t, err, "jwks", rule)
			require.ErrorContains(t, err, c.named, rule)
		}

		// It makes no difference who says so, nor what else is in the set.
		for _, set := range []json.RawMessage{set, oauthtest.WithKey(set, oauthtest.KeysNotUnderstood()["AKP"])} {
			members := `"redirect_uris":["` + oauthtest.RedirectURI + `"],"token_endpoint_auth_method":"private_key_jwt","jwks":` + string(set)
			if c.chosen != "" {
				members += `,"token_endpoint_auth_signing_alg":"` + c.chosen + `"`
			}
			a := p.Register(`{` + members + `}`)
			found, err := p.Server.QueryClient(t.Context(), s.putText("/"+rand.Text(), members))
			require.NoError(t, err)
			if c.named == "" {
				assert.Equal(t, http.StatusCreated, a.Status, "%s: %s", rule, a.Raw)
				assert.NotNil(t, found, rule)
				continue
			}
			assert.Equal(t, server.InvalidClientMetadata, a.Body["error"], "%s: %s", rule, a.Raw)
			assert.Contains(t, a.Body["error_description"], "jwks '", rule)
			assert.Contains(t, a.Body["error_description"], c.named, rule)
			assert.Nil(t, found, rule)
		}
	}
}
