package grant_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
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
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

func TestJWTBearer(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		const idp = "https://idp.example"
		trusted, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.RegisterGrant(&grant.JWTBearer{
			Keys: func(_ context.Context, issuer string) (*jose.JSONWebKeySet, error) {
				if issuer != idp {
					return nil, nil
				}
				return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: trusted.Public()}}}, nil
			},
			QueryUser: func(_ context.Context, req *server.Request, a *assertion.Assertion) (storage.User, error) {
				if a.Subject != "alice" {
					return (*oauthtest.User)(nil), nil
				}
				assert.NotEmpty(t, req.Client.GetClientID())
				return p.User, nil
			},
			Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db),
		}))
		client, other := p.NewClient(oauthtest.Grants(jwtBearerGrant, "refresh_token")), p.NewClient(nil)
		sign := func(key *ecdsa.PrivateKey, more ...any) string {
			claims := map[string]any{
				"iss": idp, "sub": "alice", "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": secret.Generate("j", secret.AccessToken),
			}
			for i := 0; i < len(more); i += 2 {
				if claims[more[i].(string)] = more[i+1]; more[i+1] == nil {
					delete(claims, more[i].(string))
				}
			}
			return oauthtest.SignJWT(t, key, jose.ES256, nil, claims)
		}
		try := func(client *oauthtest.Client, assertion, more string) oauthtest.Answer {
			return p.Token(client, url.Values{"grant_type": {jwtBearerGrant}, "assertion": {assertion}}.Encode()+more)
		}
		good := sign(trusted)
		a := try(client, good, "&scope=profile")
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		assert.Equal(t, "profile", a.Body["scope"])
		assert.NotContains(t, a.Body, "refresh_token", "the client asks the issuer again")
		assert.Equal(t, p.User.GetUserID(), p.Introspect(client, "token="+a.Body["access_token"]).Body["sub"])
		assert.Equal(t, server.InvalidGrant, try(client, good, "").Body["error"], "an assertion is good once")

		assert.Equal(t, server.InvalidScope, try(client, sign(trusted), "&scope=admin").Body["error"])
		assert.Equal(t, server.UnauthorizedClient, try(other, sign(trusted), "").Body["error"])
		assert.Equal(t, server.InvalidClient, try(nil, sign(trusted), "").Body["error"])
		assert.Equal(t, server.InvalidRequest, p.Token(client, "grant_type="+url.QueryEscape(jwtBearerGrant)).Body["error"])
		for rule, assertion := range map[string]string{
			"a stranger's":      sign(stranger),
			"another issuer":    sign(trusted, "iss", "https://other.example"),
			"no issuer":         sign(trusted, "iss", nil),
			"an unknown user":   sign(trusted, "sub", "mallory"),
			"no user":           sign(trusted, "sub", nil),
			"another audience":  sign(trusted, "aud", "https://other.example"),
			"several audiences": sign(trusted, "aud", []string{oauthtest.Issuer, "https://other.example"}),
			"no audience":       sign(trusted, "aud", nil),
			"an end":            sign(trusted, "exp", p.Now.Unix()-30),
			"no end":            sign(trusted, "exp", nil),
			"too long a life":   sign(trusted, "exp", p.Now.Unix()+3601),
			"made long ago":     sign(trusted, "iat", p.Now.Unix()-3571),
			"not yet":           sign(trusted, "nbf", p.Now.Unix()+31),
			"no id":             sign(trusted, "jti", nil),
			"what is no JWT":    "x",
		} {
			assert.Equal(t, server.InvalidGrant, try(client, assertion, "").Body["error"], rule)
		}
		require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
		assert.Equal(t, server.InvalidGrant, try(client, sign(trusted), "").Body["error"], "the gate asks for the user, too")
	})
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, missing := range []string{"Keys", "QueryUser", "Replays"} {
		assert.ErrorContains(t, p.Server.RegisterGrant(&grant.JWTBearer{}), "JWTBearer."+missing+" is missing")
	}
}
