package grant_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/on"
)

func TestRefreshToken(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client, public := p.NewClient(nil), p.NewClient(oauthtest.Public)
		first := p.Redeem(client, p.Code(client, "scope=profile+email"))
		second := p.Refresh(client, first.Body["refresh_token"], "")
		assert.Equal(t, http.StatusOK, second.Status, second.Raw)
		assert.Equal(t, "profile email", second.Body["scope"])
		assert.NotEqual(t, first.Body["refresh_token"], second.Body["refresh_token"], "it rotates")
		assert.NotEqual(t, first.Body["access_token"], second.Body["access_token"])
		assert.True(t, p.Valid(second.Body["access_token"]))

		narrow := p.Refresh(client, second.Body["refresh_token"], "&scope=profile")
		assert.Equal(t, "profile", narrow.Body["scope"], "a request may ask for less")
		assert.Equal(t, http.StatusForbidden, p.Call(narrow.Body["access_token"], "email").Status)
		wide := p.Refresh(client, narrow.Body["refresh_token"], "")
		assert.Equal(t, "profile email", wide.Body["scope"], "which narrows that access token, never the grant")

		token := wide.Body["refresh_token"]
		for _, row := range []struct{ rule, body, code string }{
			{"refresh_token is needed", "", "invalid_request"},
			{"it must be known", "&refresh_token=unknown", "invalid_grant"},
			{"a malformed one is none", "&refresh_token=" + token + "x", "invalid_grant"},
			{"an access token is none", "&refresh_token=" + wide.Body["access_token"], "invalid_grant"},
			{"more than was granted is refused", "&scope=profile+admin&refresh_token=" + token, "invalid_scope"},
			{"a scope has no quotes", "&scope=%22&refresh_token=" + token, "invalid_scope"},
		} {
			a := p.Token(client, "grant_type=refresh_token"+row.body)
			assert.Equal(t, http.StatusBadRequest, a.Status, row.rule)
			assert.Equal(t, row.code, a.Body["error"], row.rule)
		}
		assert.Equal(t, "invalid_grant", p.Refresh(public, token, "").Body["error"], "it is for its client")
		assert.Equal(t, http.StatusOK, p.Refresh(client, token, "").Status, "and no refusal has spent it")

		var rows int64
		require.NoError(t, db.Model(&oauthtest.Token{}).Count(&rows).Error)
		assert.EqualValues(t, 1, rows, "one grant, one row")
	})
}

func TestReuseOfAnyGenerationRevokesTheGrant(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Public)
		for generation := range 3 { // the last but one comes back when its successor was not used, and its time is over
			a := p.Redeem(client, p.Code(client, ""))
			generations := []string{a.Body["refresh_token"]}
			for range 3 {
				a = p.Refresh(client, a.Body["refresh_token"], "")
				generations = append(generations, a.Body["refresh_token"])
			}
			require.True(t, p.Valid(a.Body["access_token"]))
			if generation == 2 {
				p.Now = p.Now.Add(30 * time.Second)
			}
			assert.Equal(t, "invalid_grant", p.Refresh(client, generations[generation], "").Body["error"])
			assert.False(t, p.Valid(a.Body["access_token"]), "generation %d", generation)
			assert.Equal(t, "invalid_grant", p.Refresh(client, a.Body["refresh_token"], "").Body["error"])
		}
	})
}

func TestARefreshTokenExpiresWhenItIsNotUsed(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		day := 24 * time.Hour
		for _, row := range []struct {
			setting, unused time.Duration
			works           bool
		}{{0, 30*day - time.Second, true}, {0, 30 * day, false}, {day, day, false}, {-1, 3000 * day, true}} {
			p := oauthtest.New(t, db, func(c *server.Config) { c.RefreshTokenExpiresIn = row.setting })
			client := p.NewClient(nil)
			token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
			p.Now = p.Now.Add(row.unused)
			assert.Equal(t, row.works, p.Refresh(client, token, "").Status == http.StatusOK, "%v %v", row.setting, row.unused)
		}
	})
}

// A generator that is turned off later ends the grants that are there at
// their next refresh, and does not leave them with a spent token.
func TestTurningRefreshTokensOff(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	on := oauthtest.New(t, db)
	client := on.NewClient(nil)
	token := on.Redeem(client, on.Code(client, "")).Body["refresh_token"]
	off := oauthtest.New(t, db, func(c *server.Config) { c.NoRefreshTokens = true })
	a := off.Refresh(client, token, "")
	assert.Equal(t, http.StatusOK, a.Status)
	assert.NotContains(t, a.Body, "refresh_token")
	assert.Equal(t, "invalid_grant", off.Refresh(client, token, "").Body["error"])
}

// A grant that ended in good order is no sign of a thief.
func TestARevokedGrantIsRefusedAndNotReportedAsReuse(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		var told []server.Revocation
		require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, _ *server.Request, r server.Revocation) { told = append(told, r) })))
		client := p.NewClient(nil)
		first := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
		current := p.Refresh(client, first, "").Body["refresh_token"]
		p.Revoke(client, "token="+current)
		for _, token := range []string{current, first} {
			a := p.Refresh(client, token, "")
			assert.Equal(t, http.StatusBadRequest, a.Status)
			assert.Equal(t, "invalid_grant", a.Body["error"])
		}
		require.Len(t, told, 1, "it was revoked once")
		assert.False(t, told[0].Reuse)
	})
}

// Nor is one whose time is over, until an earlier token of it comes back.
func TestAnExpiredRefreshTokenIsNotReportedAsReuse(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	var reused int
	require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, _ *server.Request, r server.Revocation) {
		if r.Reuse {
			reused++
		}
	})))
	client := p.NewClient(nil)
	first := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
	current := p.Refresh(client, first, "").Body["refresh_token"]
	p.Now = p.Now.Add(31 * 24 * time.Hour)
	assert.Equal(t, "invalid_grant", p.Refresh(client, current, "").Body["error"])
	assert.Zero(t, reused)
	assert.Equal(t, "invalid_grant", p.Refresh(client, first, "").Body["error"])
	assert.Equal(t, 1, reused)
}
