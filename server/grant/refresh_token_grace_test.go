package grant_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/secret"
)

func withGrace(c *server.Config) {
	c.RefreshTokenGrace = time.Minute
	c.RefreshTokenKey = bytes.Repeat([]byte("k"), 32)
}

// A client that never saw the answer to its refresh asks again.
func TestALostAnswerSignsNobodyOut(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, withGrace)
		client, thief := p.NewClient(nil), p.NewClient(nil)
		start := func() string { return p.Redeem(client, p.Code(client, "scope=profile+email")).Body["refresh_token"] }

		token := start()
		lost := p.Refresh(client, token, "&scope=profile")
		p.Now = p.Now.Add(59 * time.Second)
		again := p.Refresh(client, token, "&scope=profile")
		assert.Equal(t, http.StatusOK, again.Status, again.Raw)
		assert.Equal(t, lost.Raw, again.Raw, "the very same answer")
		assert.True(t, p.Valid(again.Body["access_token"]))
		var rows int64
		require.NoError(t, db.Model(&oauthtest.Token{}).Count(&rows).Error)
		assert.EqualValues(t, 1, rows, "and no second row")
		assert.Equal(t, "invalid_grant", p.Refresh(thief, token, "").Body["error"], "not for another client")
		assert.True(t, p.Valid(again.Body["access_token"]))

		next := p.Refresh(client, again.Body["refresh_token"], "")
		require.Equal(t, http.StatusOK, next.Status)
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "once the successor was used it is reuse")
		assert.False(t, p.Valid(next.Body["access_token"]))

		token = start()
		late := p.Refresh(client, token, "")
		p.Now = p.Now.Add(time.Minute)
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "after the period it is reuse")
		assert.False(t, p.Valid(late.Body["access_token"]))

		token = start()
		revoked := p.Refresh(client, token, "")
		p.Revoke(client, "token="+revoked.Body["refresh_token"])
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "a revoked grant answers nobody")

		token = start()
		p.Refresh(client, token, "")
		require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "nor does that of a disabled user")
	})
}

func TestTabsThatRefreshTogetherGetTheSameAnswer(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, withGrace)
		client := p.NewClient(oauthtest.Public)
		for _, tabs := range []int{2, 8} {
			token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
			answers := make([]oauthtest.Answer, tabs)
			var group sync.WaitGroup
			for i := range tabs {
				group.Go(func() { answers[i] = p.Refresh(client, token, "") })
			}
			group.Wait()
			for _, a := range answers {
				assert.Equal(t, http.StatusOK, a.Status, a.Raw)
				assert.Equal(t, answers[0].Raw, a.Raw)
			}
			assert.True(t, p.Valid(answers[0].Body["access_token"]))
			assert.Equal(t, http.StatusOK, p.Refresh(client, answers[0].Body["refresh_token"], "").Status)
		}
	})
}

func TestSuccessorsCannotBeGuessedWithoutTheKey(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, withGrace)
	other := oauthtest.New(t, db, withGrace, func(c *server.Config) { c.RefreshTokenKey = bytes.Repeat([]byte("l"), 32) })
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
	assert.Equal(t, http.StatusOK, p.Refresh(client, token, "").Status)
	assert.Equal(t, "invalid_grant", other.Refresh(client, token, "").Body["error"], "another key knows no successor")
}

func TestSettingsOfARepeatedRefresh(t *testing.T) {
	for fault, change := range map[string]func(*server.Config){
		"": func(*server.Config) {},
		"Config.RefreshTokenKey must have at least 32 random bytes":               func(c *server.Config) { c.RefreshTokenKey = make([]byte, 31) },
		"Config.RefreshTokenGrace needs the built-in generator of refresh tokens": func(c *server.Config) { c.RefreshTokenGrace, c.RefreshTokenGenerator = time.Minute, ownGenerator },
	} {
		config := minimalConfig()
		change(&config)
		_, err := server.New(config)
		if fault == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, fault)
		}
	}
}

const (
	apiOne = "https://one.example"
	apiTwo = "https://two.example"
)

// generators are all ways in which access tokens come about.
func generators(t *testing.T, db *gorm.DB) map[string]func(*oauthtest.Provider) {
	t.Helper()
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256}})
	jwt := func(algorithm jose.SignatureAlgorithm) server.TokenGenerator {
		return (&generator.JWTAccessToken{Keys: keys, Audience: "https://api.example", Algorithm: algorithm}).Generate
	}
	return map[string]func(*oauthtest.Provider){
		"opaque":             func(*oauthtest.Provider) {},
		"ES256":              func(p *oauthtest.Provider) { p.Server.RegisterTokenGenerator("refresh_token", jwt(jose.ES256)) },
		"EdDSA":              func(p *oauthtest.Provider) { p.Server.RegisterTokenGenerator("refresh_token", jwt(jose.EdDSA)) },
		"of a resource":      func(p *oauthtest.Provider) { p.Server.RegisterResourceTokenGenerator(apiOne, jwt(jose.ES256)) },
		"PS256, with a salt": func(p *oauthtest.Provider) { p.Server.RegisterTokenGenerator("refresh_token", jwt(jose.PS256)) },
		"random": func(p *oauthtest.Provider) {
			p.Server.RegisterTokenGenerator("refresh_token", func(context.Context, server.TokenInput) (string, error) { return rand.Text(), nil })
		},
	}
}

// Six tabs that refresh at once on default settings stay signed in, whatever their access
// tokens are. Where the same can be made again, all get the same answer.
func TestSixParallelRefreshesKeepEverybodySignedIn(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, generate := range generators(t, db) {
			p := oauthtest.New(t, db)
			require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiOne, apiTwo}}))
			generate(p)
			client := p.NewClient(oauthtest.Public)
			token := p.Redeem(client, p.Code(client, url.Values{"resource": {apiOne, apiTwo}}.Encode())).Body["refresh_token"]
			for range 3 {
				answers := make([]oauthtest.Answer, 6)
				var group sync.WaitGroup
				for i := range answers {
					group.Go(func() { answers[i] = p.Refresh(client, token, "") })
				}
				group.Wait()
				for _, a := range answers {
					require.Equal(t, http.StatusOK, a.Status, "%s: %s", name, a.Raw)
					assert.Equal(t, answers[0].Body["refresh_token"], a.Body["refresh_token"], name)
					assert.True(t, p.Valid(a.Body["access_token"]), name)
					if name != "random" && !strings.HasPrefix(name, "PS256") {
						assert.Equal(t, answers[0].Raw, a.Raw, name)
					}
					if name != "opaque" && name != "random" {
						assert.Len(t, strings.Split(a.Body["access_token"], "."), 3, "%s: nothing becomes opaque", name)
					}
				}
				token = answers[0].Body["refresh_token"]
			}
		}
	})
}

// A repeat that asks for another part of the grant gets that, and the same refresh token. One
// that asks for more than the grant is refused, first or repeated, and changes nothing.
func TestARepeatGetsWhatItAsksFor(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, generate := range generators(t, db) {
			p := oauthtest.New(t, db)
			require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiOne, apiTwo, "https://three.example"}}))
			generate(p)
			client := p.NewClient(nil)
			token := p.Redeem(client, p.Code(client, "scope=profile+email&"+url.Values{"resource": {apiOne, apiTwo}}.Encode())).Body["refresh_token"]
			of := func(a oauthtest.Answer) (scope, audience string) {
				require.Equal(t, http.StatusOK, a.Status, "%s: %s", name, a.Raw)
				var row oauthtest.Token
				require.NoError(t, db.Where("access_token = ?", secret.Digest(a.Body["access_token"])).First(&row).Error)
				assert.Equal(t, a.Body["scope"], row.Scope, name)
				return row.Scope, row.Audience
			}
			refused := func() {
				for more, code := range map[string]string{"&scope=profile+phone": "invalid_scope", "&resource=https://three.example": "invalid_target"} {
					assert.Equal(t, code, p.Refresh(client, token, more).Body["error"], "%s: %s", name, more)
				}
			}
			refused()
			first := p.Refresh(client, token, "&resource="+apiOne)
			_, audience := of(first)
			assert.Equal(t, apiOne, audience)
			p.Now = p.Now.Add(20 * time.Second)
			refused()
			asked := map[string][2]string{
				"&resource=" + apiTwo:               {"profile email", apiTwo},
				"&scope=profile&resource=" + apiTwo: {"profile", apiTwo},
				"":                                  {"profile email", apiOne + " " + apiTwo},
				"&resource=" + apiOne:               {"profile email", apiOne},
			}
			tokens := []string{first.Body["access_token"]}
			for more, want := range asked {
				a := p.Refresh(client, token, more)
				scope, audience := of(a)
				assert.Equal(t, want, [2]string{scope, audience}, "%s: %q", name, more)
				assert.Equal(t, first.Body["refresh_token"], a.Body["refresh_token"], name)
				tokens = append(tokens, a.Body["access_token"])
				if more == "&resource="+apiOne && (name == "opaque" || name == "ES256") {
					assert.Equal(t, first.Raw, a.Raw, "%s: the same again", name)
				}
			}
			refused()
			for _, access := range tokens {
				assert.True(t, p.Valid(access), name)
			}
			p.Now = p.Now.Add(11 * time.Second)
			assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "%s: no repeat has moved on the time", name)
			for _, access := range tokens {
				assert.False(t, p.Valid(access), "%s: the reuse ends all of them", name)
			}
		}
	})
}

// Who reads the database cannot make a token of it, and who has a token that was spent cannot
// make its successor without the database.
func TestSuccessorsNeedTheTokenAndTheSalt(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
	first := p.Refresh(client, token, "")
	var row oauthtest.Token
	require.NoError(t, db.First(&row).Error)
	salt := row.SuccessorSalt
	require.Len(t, salt, 26)
	p.Refresh(client, first.Body["refresh_token"], "")
	require.NoError(t, db.First(&row).Error)
	assert.NotEqual(t, salt, row.SuccessorSalt, "each rotation has its own")

	// A row without a salt was rotated by an older release: what a thief could derive by
	// nothing at all is not taken.
	other := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
	p.Refresh(client, other, "")
	require.NoError(t, db.Model(&oauthtest.Token{}).Where("1 = 1").Update("successor_salt", nil).Error)
	assert.Equal(t, "invalid_grant", p.Refresh(client, other, "").Body["error"])
}

// A key that was rotated meanwhile signs another token, which is as good.
func TestARepeatAfterTheSigningKeyWasRotated(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
		p.Server.RegisterTokenGenerator("refresh_token", (&generator.JWTAccessToken{Keys: keys, Audience: "https://api.example"}).Generate)
		client := p.NewClient(nil)
		token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
		first := p.Refresh(client, token, "")
		require.NoError(t, keys.Rotate(t.Context(), jose.ES256, p.Now, true))
		again := p.Refresh(client, token, "")
		require.Equal(t, http.StatusOK, again.Status, again.Raw)
		assert.NotEqual(t, first.Body["access_token"], again.Body["access_token"])
		assert.Equal(t, first.Body["refresh_token"], again.Body["refresh_token"])
		assert.True(t, p.Valid(again.Body["access_token"]))
	})
}
