package resource_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
)

type keysOf = gormstore.SigningKeys

// newJWTProvider issues JWTs for one API.
func newJWTProvider(t *testing.T, db *gorm.DB, algorithm jose.SignatureAlgorithm) (*oauthtest.Provider, *keysOf, *resource.JWTAccessTokenValidator) {
	t.Helper()
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{algorithm}})
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.AccessTokenGenerator = (&generator.JWTAccessToken{Keys: keys, Algorithm: algorithm, Audience: api}).Generate
	})
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: keys}))
	require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{api, "https://other.example"}}))
	validator := &resource.JWTAccessTokenValidator{
		Issuer: oauthtest.Issuer, Audience: api, Keys: keys, Opaque: gormoauth.CreateBearerTokenValidator[oauthtest.Token](db), Clock: p.Protector.Clock(),
	}
	require.NoError(t, p.Protector.RegisterTokenValidator(validator))
	return p, keys, validator
}

func decode(t *testing.T, part string) (members map[string]any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &members))
	return members
}

func TestJWTAccessTokens(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA} {
			t.Run(string(algorithm), func(t *testing.T) {
				require.NoError(t, db.Where("1 = 1").Delete(&oauthtest.SigningKey{}).Error)
				p, keys, validator := newJWTProvider(t, db, algorithm)
				client, service := p.NewClient(nil), p.NewClient(oauthtest.Grants("client_credentials"))
				tokens := p.Redeem(client, p.Code(client, "scope=profile")).Body
				text := tokens["access_token"]

				parts := strings.Split(text, ".")
				require.Len(t, parts, 3)
				header, claims := decode(t, parts[0]), decode(t, parts[1])
				assert.Equal(t, "at+jwt", header["typ"])
				assert.Equal(t, string(algorithm), header["alg"])
				now := float64(p.Now.Unix())
				assert.NotEmpty(t, claims["jti"])
				delete(claims, "jti")
				assert.Equal(t, map[string]any{
					"iss": oauthtest.Issuer, "aud": []any{api}, "sub": p.User.GetUserID(), "client_id": client.ClientID,
					"iat": now, "exp": now + 3600, "scope": "profile",
				}, claims)

				var set jose.JSONWebKeySet
				a := p.Get("/oauth/jwks")
				assert.Equal(t, "application/jwk-set+json", a.Header.Get("Content-Type"))
				require.NoError(t, json.Unmarshal([]byte(a.Raw), &set))
				require.Len(t, set.Key(header["kid"].(string)), 1)
				assert.True(t, set.Keys[0].IsPublic())
				assert.Equal(t, oauthtest.Issuer+"/oauth/jwks", p.Get("/.well-known/oauth-authorization-server").Body["jwks_uri"])

				assert.Empty(t, p.Queried(func() { assert.Equal(t, http.StatusOK, p.Call(text, "profile").Status) }), "no query for a token")
				assert.Equal(t, http.StatusForbidden, p.Call(text, "email").Status)
				own := p.Token(service, "grant_type=client_credentials").Body["access_token"]
				assert.Equal(t, service.ClientID, decode(t, strings.Split(own, ".")[1])["sub"])
				assert.Equal(t, http.StatusOK, p.Call(own).Status)
				other := p.Redeem(client, p.Code(client, "resource=https%3A%2F%2Fother.example")).Body["access_token"]
				assert.Equal(t, http.StatusUnauthorized, p.Call(other).Status, "another API's")

				assert.Equal(t, "true", p.Introspect(client, "token="+text).Body["active"], "it is stored as any other")
				refreshed := p.Refresh(client, tokens["refresh_token"], "").Body
				assert.Equal(t, http.StatusOK, p.Call(refreshed["access_token"]).Status)
				p.Revoke(client, "token="+refreshed["refresh_token"])
				assert.Equal(t, http.StatusOK, p.Call(refreshed["access_token"]).Status, "whoever asks nobody learns nothing of a revocation")
				validator.QueryToken = gormoauth.CreateQueryTokenFunc[oauthtest.Token](db)
				assert.Equal(t, http.StatusUnauthorized, p.Call(refreshed["access_token"]).Status)
				validator.QueryToken = nil
				p.Now = p.Now.Add(time.Hour)
				assert.Equal(t, http.StatusUnauthorized, p.Call(text).Status, "expired")
				p.Now = p.Now.Add(-time.Hour)
				require.NoError(t, keys.Rotate(t.Context(), algorithm, p.Now, true))
				assert.Equal(t, http.StatusUnauthorized, p.Call(text).Status, "signed by a key that was discarded")
			})
		}
	})
}

// A JWT is what it says only when all of RFC 9068 section 4 holds.
func TestForgedJWTs(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, keys, validator := newJWTProvider(t, db, jose.ES256)
	private, err := keys.SigningKey(t.Context(), jose.ES256, p.Now)
	require.NoError(t, err)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := json.Marshal(private.Public())
	require.NoError(t, err)

	sign := func(key any, algorithm jose.SignatureAlgorithm, header map[jose.HeaderKey]any, claims map[string]any) string {
		all := map[jose.HeaderKey]any{"typ": "at+jwt", "kid": private.KeyID}
		maps.Copy(all, header)
		return oauthtest.SignJWT(t, key, algorithm, all, claims)
	}
	now := p.Now.Unix()
	claims := func(name string, value any) map[string]any {
		all := map[string]any{"iss": oauthtest.Issuer, "aud": api, "sub": "1", "client_id": "c", "iat": now, "exp": now + 60, "jti": "j"}
		if all[name] = value; value == nil {
			delete(all, name)
		}
		return all
	}
	good := sign(private.Key, jose.ES256, nil, claims("scope", "profile"))
	require.Equal(t, http.StatusOK, p.Call(good, "profile").Status)
	require.Equal(t, http.StatusOK, p.Call(sign(private.Key, jose.ES256, map[jose.HeaderKey]any{"typ": "application/at+jwt"}, claims("aud", []string{"x", api}))).Status)

	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"`+private.KeyID+`"}`)) + "." + parts[1] + "."
	for rule, text := range map[string]string{
		"a stranger's signature":            sign(stranger, jose.ES256, nil, claims("", "")),
		"a stranger's key in the header":    sign(stranger, jose.ES256, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: stranger.Public()}}, claims("", "")),
		"an unknown key":                    sign(private.Key, jose.ES256, map[jose.HeaderKey]any{"kid": "other"}, claims("", "")),
		"no key":                            sign(private.Key, jose.ES256, map[jose.HeaderKey]any{"kid": ""}, claims("", "")),
		"no signature":                      none,
		"a signature that was taken away":   parts[0] + "." + parts[1] + ".",
		"a payload that was changed":        parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"2"}`)) + "." + parts[2],
		"a secret made of the public key":   sign(public, jose.HS256, nil, claims("", "")),
		"an ID token":                       sign(private.Key, jose.ES256, map[jose.HeaderKey]any{"typ": "JWT"}, claims("", "")),
		"another issuer":                    sign(private.Key, jose.ES256, nil, claims("iss", "https://evil.example")),
		"another audience":                  sign(private.Key, jose.ES256, nil, claims("aud", "https://other.example")),
		"no audience":                       sign(private.Key, jose.ES256, nil, claims("aud", nil)),
		"no subject":                        sign(private.Key, jose.ES256, nil, claims("sub", nil)),
		"no client":                         sign(private.Key, jose.ES256, nil, claims("client_id", nil)),
		"no id":                             sign(private.Key, jose.ES256, nil, claims("jti", nil)),
		"no end":                            sign(private.Key, jose.ES256, nil, claims("exp", nil)),
		"an end":                            sign(private.Key, jose.ES256, nil, claims("exp", now)),
		"no beginning":                      sign(private.Key, jose.ES256, nil, claims("iat", nil)),
		"issued in the future":              sign(private.Key, jose.ES256, nil, claims("iat", now+31)),
		"not yet":                           sign(private.Key, jose.ES256, nil, claims("nbf", now+31)),
		"a claim of another type":           sign(private.Key, jose.ES256, nil, claims("sub", 7)),
		"a critical header that is unknown": sign(private.Key, jose.ES256, map[jose.HeaderKey]any{"crit": []string{"x"}, "x": true}, claims("", "")),
		"what is no JWT":                    "a.b.c",
		"too many parts":                    good + ".x",
		"too long":                          good + strings.Repeat("A", 9000),
	} {
		assert.Contains(t, []int{http.StatusUnauthorized, http.StatusBadRequest}, p.Call(text).Status, rule)
	}
	validator.Opaque = nil
	client := p.NewClient(nil)
	p.Server.RegisterTokenGenerator("authorization_code", func(context.Context, server.TokenInput) (string, error) {
		return secret.Generate("goa", secret.AccessToken), nil
	})
	opaque := p.Redeem(client, p.Code(client, "")).Body["access_token"]
	assert.Equal(t, http.StatusUnauthorized, p.Call(opaque).Status)
	validator.Opaque = gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	assert.Equal(t, http.StatusOK, p.Call(opaque).Status, "both kinds at once")
}

// Every algorithm signs, and is taken by default. RSA keys take their time: here all
// have the same.
func TestJWTAccessTokensByEveryAlgorithm(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for _, algorithm := range jwk.SignatureAlgorithms() {
		p, _, validator := newJWTProvider(t, db, algorithm)
		if strings.HasPrefix(string(algorithm), "RS") || strings.HasPrefix(string(algorithm), "PS") {
			key := oneKey{jose.JSONWebKey{Key: oauthtest.NewKeyFor(t, algorithm), KeyID: "1", Algorithm: string(algorithm)}}
			p.Server.RegisterTokenGenerator("client_credentials", (&generator.JWTAccessToken{Keys: key, Algorithm: algorithm, Audience: api}).Generate)
			validator.Keys = key
		}
		text := p.Token(p.NewClient(oauthtest.Grants("client_credentials")), "grant_type=client_credentials&scope=profile").Body["access_token"]
		assert.Equal(t, string(algorithm), decode(t, strings.Split(text, ".")[0])["alg"])
		assert.Equal(t, http.StatusOK, p.Call(text).Status, algorithm)
	}
}

// oneKey is a jwk.SigningKeys of one key.
type oneKey struct{ key jose.JSONWebKey }

func (k oneKey) SigningKey(context.Context, jose.SignatureAlgorithm, time.Time) (*jose.JSONWebKey, error) {
	return &k.key, nil
}

func (k oneKey) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.key.Public()}}, nil
}

// An RSA key signs by PS256 as well as by RS256; what counts is what it is for.
func TestAKeySignsByItsOwnAlgorithm(t *testing.T) {
	p, keys, _ := newJWTProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), jose.RS256)
	private, err := keys.SigningKey(t.Context(), jose.RS256, p.Now)
	require.NoError(t, err)
	now := p.Now.Unix()
	for algorithm, status := range map[jose.SignatureAlgorithm]int{jose.RS256: http.StatusOK, jose.PS256: http.StatusUnauthorized} {
		text := oauthtest.SignJWT(t, private.Key, algorithm, map[jose.HeaderKey]any{"typ": "at+jwt", "kid": private.KeyID}, map[string]any{
			"iss": oauthtest.Issuer, "aud": api, "sub": "1", "client_id": "c", "iat": now, "exp": now + 60, "jti": "j",
		})
		assert.Equal(t, status, p.Call(text).Status, algorithm)
	}
}

// severalKeys have one id, as keys of different servers may.
type severalKeys struct {
	jwk.SigningKeys
	keys []jose.JSONWebKey
}

func (k severalKeys) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	return &jose.JSONWebKeySet{Keys: k.keys}, nil
}

// Of several keys of one id, each may have signed.
func TestKeysOfOneID(t *testing.T) {
	p, keys, validator := newJWTProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), jose.ES256)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "resource="+api)).Body["access_token"]
	private, err := keys.SigningKey(t.Context(), jose.ES256, p.Now)
	require.NoError(t, err)
	right, other, foreign := private.Public(), private.Public(), private.Public()
	other.Key = oauthtest.NewKey(t).Public()
	foreign.Algorithm, foreign.Key = "RS256", oauthtest.NewKeyFor(t, jose.RS256).Public()
	for rule, row := range map[string]struct {
		keys   []jose.JSONWebKey
		status int
	}{
		"its own": {[]jose.JSONWebKey{right}, http.StatusOK}, "behind others": {[]jose.JSONWebKey{foreign, other, right}, http.StatusOK}, "before others": {[]jose.JSONWebKey{right, other, foreign}, http.StatusOK},
		"others alone": {[]jose.JSONWebKey{foreign, other}, http.StatusUnauthorized},
	} {
		own := *validator
		own.Keys = severalKeys{keys, row.keys}
		require.NoError(t, p.Protector.RegisterTokenValidator(&own))
		assert.Equal(t, row.status, p.Call(token).Status, rule)
	}
}

// JWTs are verified while the database is away, and on an instance that has not seen yet
// by which key another one signs since a moment ago.
func TestJWTsAreVerifiedWithoutTheDatabase(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		var away atomic.Bool
		away.Store(false)
		broken := faults.DB(db, &faults.Plan{Next: func(faults.Call) faults.Fault {
			if away.Load() {
				return faults.Fault{Err: errors.New("away")}
			}
			return faults.Fault{}
		}})
		p, keys, _ := newJWTProvider(t, db, jose.ES256)
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		issue := func() string {
			return p.Token(service, "grant_type=client_credentials&resource="+api).Body["access_token"]
		}
		now := p.Now
		elsewhere := &resource.JWTAccessTokenValidator{
			Issuer: oauthtest.Issuer, Audience: api, Clock: func() time.Time { return now },
			Keys: gormoauth.CreateSigningKeys[oauthtest.SigningKey](broken, gormstore.SigningKeyOptions{}),
		}
		verified := func(text string) error {
			token, err := elsewhere.AuthenticateToken(t.Context(), text)
			if err == nil {
				assert.NotNil(t, token)
			}
			return err
		}
		first := issue()
		require.NoError(t, verified(first))
		require.NoError(t, keys.Rotate(t.Context(), jose.ES256, p.Now, false))
		now = now.Add(time.Second)
		require.NoError(t, verified(issue()), "its key is new")
		away.Store(true)
		for _, later := range []time.Duration{61 * time.Second, 50 * time.Minute} {
			now = p.Now.Add(later)
			require.NoError(t, verified(first), later)
			_, err := (&server.Request{Time: now}).PublicKeysResponse(t.Context(), elsewhere.Keys)
			require.NoError(t, err, "and the document of keys is served")
		}
	})
}
