package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// What a hook returns is the hook's: a program that hands out one map for all has nobody else's
// claims in a token, and its map as it was.
func TestAMapOfTheProgramsOwnStaysAsItWas(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		shared := map[string]any{"department": "sales", "sub": "nobody", "Sub": "nobody"}
		p := newProvider(t, db, func(o *oidc.Provider) {
			o.Claims = func(_ context.Context, input *oidc.ClaimsInput) error {
				input.Claims = shared
				return nil
			}
		})
		jwt := &generator.JWTAccessToken{Keys: signingKeys(), Algorithm: jose.ES256, Audience: "https://api.example", Claims: func(context.Context, server.TokenInput) (map[string]any, error) { return shared, nil }}
		p.Server.RegisterTokenGenerator("authorization_code", jwt.Generate)
		client := p.client()
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				a := p.signIn(client)
				for _, text := range []string{a["id_token"], a["access_token"]} {
					claims, _ := verify(t, text)
					assert.Equal(t, p.User.GetUserID(), claims["sub"])
					assert.Equal(t, "sales", claims["department"])
					assert.NotContains(t, claims, "Sub")
				}
				var info map[string]any
				assert.NoError(t, json.Unmarshal([]byte(p.userInfo(a["access_token"]).Raw), &info))
				assert.Equal(t, p.User.GetUserID(), info["sub"])
				assert.Equal(t, "sales", info["department"])
			})
		}
		group.Wait()
		assert.Equal(t, map[string]any{"department": "sales", "sub": "nobody", "Sub": "nobody"}, shared)
	})
}

// By what a client knew the user when they let it in, it knows them until the grant ends, also
// where its sector has changed meanwhile.
func TestThePairwiseSubjectOfAGrantStays(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.client("subject_type", "pairwise")
		first := p.signIn(client, "scope=openid offline_access")
		claims, _ := verify(t, first["id_token"])
		subject := claims["sub"]
		require.NotEqual(t, p.User.GetUserID(), subject)
		client.ClientMetadata.RedirectURIs = []string{"https://elsewhere.example/cb"}
		require.NoError(t, db.Save(client).Error)
		next := p.Token(client, "grant_type=refresh_token&refresh_token="+first["refresh_token"])
		require.Equal(t, http.StatusOK, next.Status, next.Raw)
		claims, _ = verify(t, next.Body["id_token"])
		assert.Equal(t, subject, claims["sub"], "the ID token")
		assert.Equal(t, subject, p.userInfo(next.Body["access_token"]).Body["sub"], "UserInfo")
		assert.Equal(t, subject, p.Introspect(client, "token="+next.Body["access_token"]).Body["sub"], "introspection")
		a := p.Decide(query(client, "redirect_uri=https://elsewhere.example/cb"), "confirm=yes", p.alice())
		again := p.Token(client, "grant_type=authorization_code&redirect_uri=https%3A%2F%2Felsewhere.example%2Fcb&code="+a.Params()["code"])
		require.Equal(t, http.StatusOK, again.Status, again.Raw)
		claims, _ = verify(t, again.Body["id_token"])
		assert.NotEqual(t, subject, claims["sub"], "a new grant is of the new sector")
	})
}
