package resource_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/resource"
)

const apiURL = "https://api.example"

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestDPoPTokens(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db)))
		keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
		opaque := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
		jwts := &resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: apiURL, Keys: keys, Opaque: opaque, Clock: p.Protector.Clock()}
		validator := gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, apiURL, jwts)
		require.NoError(t, p.Protector.RegisterTokenValidator(jwts))
		require.NoError(t, p.Protector.RegisterTokenValidator(validator))
		client, key, other := p.NewClient(oauthtest.Grants("client_credentials")), oauthtest.NewKey(t), oauthtest.NewKey(t)
		issue := func() string {
			a := p.Token(client, "grant_type=client_credentials&scope=profile", "DPoP", p.DPoP(key, http.MethodPost, oauthtest.Issuer+"/oauth/token"))
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			return a.Body["access_token"]
		}
		call := func(scheme, token string, proofs ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "/v1/me?x=y", http.NoBody)
			r.Header.Set("Authorization", scheme+" "+token)
			for _, proof := range proofs {
				r.Header.Add("DPoP", proof)
			}
			w := p.Record(http.StripPrefix("/v1", p.Protector.Require("profile")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))), r)
			return w
		}
		proof := func(key *ecdsa.PrivateKey, token string, more ...any) string {
			return p.DPoP(key, http.MethodGet, apiURL+"/v1/me", append([]any{"ath", hashOf(token)}, more...)...)
		}
		for _, kind := range []string{"opaque", "JWT"} {
			if kind == "JWT" {
				p.Server.RegisterTokenGenerator("client_credentials", (&generator.JWTAccessToken{Keys: keys, Audience: apiURL}).Generate)
			}
			t.Run(kind, func(t *testing.T) {
				token := issue()
				assert.Equal(t, http.StatusOK, call("DPoP", token, proof(key, token)).Code)
				assert.Equal(t, http.StatusOK, call("dpop", token, proof(key, token)).Code)
				for rule, w := range map[string]*httptest.ResponseRecorder{
					"as a bearer token":            call("Bearer", token),
					"as one, with a proof":         call("Bearer", token, proof(key, token)),
					"by the proof of another key":  call("DPoP", token, proof(other, token)),
					"by an unknown token":          call("DPoP", "x", proof(key, "x")),
					"without a proof":              call("DPoP", token),
					"with two":                     call("DPoP", token, proof(key, token), proof(key, token)),
					"by a proof without a token":   call("DPoP", token, proof(key, token, "ath", nil)),
					"by the proof of another":      call("DPoP", token, proof(key, "x")),
					"by a proof for elsewhere":     call("DPoP", token, proof(key, token, "htu", apiURL+"/me")),
					"by one for another method":    call("DPoP", token, proof(key, token, "htm", "POST")),
					"by one for another authority": call("DPoP", token, proof(key, token, "htu", "https://x.example/v1/me")),
				} {
					assert.Equal(t, http.StatusUnauthorized, w.Code, "%s: %s", rule, w.Body)
				}
				once := proof(key, token)
				assert.Equal(t, http.StatusOK, call("DPoP", token, once).Code)
				w := call("DPoP", token, once)
				assert.Equal(t, http.StatusUnauthorized, w.Code)
				challenges := w.Header().Values("WWW-Authenticate")
				assert.Contains(t, strings.Join(challenges, "\n"), `DPoP realm="api", algs="ES256 ES384 ES512 RS256 RS384 RS512 PS256 PS384 PS512 EdDSA", error="invalid_dpop_proof"`)
				assert.Contains(t, challenges, `Bearer realm="api"`, "the scheme that was not used has nothing to say")
			})
		}
		t.Run("an address is compared after its normalization", func(t *testing.T) { // RFC 9449 section 4.3
			token := issue()
			for _, row := range []struct {
				path, htu string
				same      bool
			}{
				{"/v1/me", "/v1/me", true}, {"/v1/me", "/v1/%6de", true}, {"/v1/%6De", "/v1/me", true}, {"/v1/me", "/v1/me?a=b", true}, {"/v1/me?a=b", "/v1/me#c", true},
				{"/v1/a%2Fb", "/v1/a%2fb", true}, {"/v1/a%2fb", "/v1/a%2Fb?c", true}, {"/v1/a%20b", "/v1/a%20b", true}, {"/v1/a~b", "/v1/a%7Eb", true},
				{"/v1/x/../me", "/v1/me", true}, {"/v1/%2e%2e/v1/me", "/v1/me", true}, {"/v1/me", "/v1/./me", true},
				{"/v1/a%2Fb", "/v1/a/b", false}, {"/v1/a/b", "/v1/a%2Fb", false}, {"/v1/a%252Fb", "/v1/a%2Fb", false}, {"/v1/a%3Fb", "/v1/a?b", false}, {"/v1/a%23b", "/v1/a#b", false},
				{"/v1/me", "/v1/me/", false}, {"/v1/me", "/v1//me", false}, {"/v1/me", "/v1/Me", false}, {"/v1/me", "/v1/me%00", false}, {"/v1/me", "/v1/me%20", false},
				{"/v1/a+b", "/v1/a%2Bb", false}, {"/v1/a+b", "/v1/a%20b", false}, {"/v1/x%2F..%2Fme", "/v1/me", false},
			} {
				r := httptest.NewRequest(http.MethodGet, row.path, http.NoBody)
				r.Header.Set("Authorization", "DPoP "+token)
				r.Header.Set("DPoP", proof(key, token, "htu", apiURL+row.htu))
				w := p.Record(http.StripPrefix("/v1", p.Protector.Require("profile")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))), r)
				assert.Equal(t, row.same, w.Code == http.StatusOK, "%s by a proof for %s: %s", row.path, row.htu, w.Body)
			}
		})
		t.Run("a bearer token is no DPoP token", func(t *testing.T) {
			token := p.Token(client, "grant_type=client_credentials&scope=profile").Body["access_token"]
			assert.Equal(t, http.StatusUnauthorized, call("DPoP", token, proof(key, token)).Code)
			assert.Equal(t, http.StatusOK, call("Bearer", token).Code)
		})
		t.Run("a nonce", func(t *testing.T) {
			validator.Proofs.NonceKey = []byte(strings.Repeat("n", 32))
			token := issue()
			w := call("DPoP", token, proof(key, token))
			assert.Equal(t, http.StatusUnauthorized, w.Code)
			assert.Contains(t, strings.Join(w.Header().Values("WWW-Authenticate"), "\n"), `error="use_dpop_nonce"`)
			assert.Equal(t, http.StatusOK, call("DPoP", token, proof(key, token, "nonce", w.Header().Get("DPoP-Nonce"))).Code)
		})
	})
}

func TestADPoPTokenValidatorNeedsItsSettings(t *testing.T) {
	_, err := resource.NewProtector(resource.Config{}, &resource.DPoPTokenValidator{BaseURL: "http://api.example"})
	for _, missing := range []string{"Tokens", "BaseURL", "Replays"} {
		require.ErrorContains(t, err, missing)
	}
}
