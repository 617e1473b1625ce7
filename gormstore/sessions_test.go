package gormstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// Only a session that has not ended is kept, and none expires earlier than it did.
func TestWhichSessionIsKept(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		sessions := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db)
		for _, row := range []models.SessionMixin{
			{SID: "earlier", ExpiresAt: 99}, {SID: "same", ExpiresAt: 100}, {SID: "later", ExpiresAt: 101},
			{SID: "ended", ExpiresAt: 99, EndedAt: 1}, {SID: "another", ExpiresAt: 99},
		} {
			require.NoError(t, db.Create(&oauthtest.Session{SessionMixin: row}).Error)
			if row.SID != "another" {
				require.NoError(t, sessions.KeepSession(t.Context(), row.SID, time.Unix(100, 0)))
			}
		}
		kept := make(map[string]int64)
		var rows []oauthtest.Session
		require.NoError(t, db.Find(&rows).Error)
		for _, row := range rows {
			kept[row.SID] = row.ExpiresAt
		}
		assert.Equal(t, map[string]int64{"earlier": 100, "same": 100, "later": 101, "ended": 99, "another": 99}, kept)
	})
}

// A logout is due from its next attempt until it expires, the longest overdue first.
func TestWhichLogoutsAreDue(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		sessions, now := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db), time.Unix(1000, 0)
		long := "https://client.example/" + strings.Repeat("a", 60)
		key, full := models.SplitClientID(long)
		for _, row := range []models.LogoutMixin{
			{LogoutID: "now", ClientID: "a", NextAttemptAt: 1000, ExpiresAt: 1001},
			{LogoutID: "not yet", ClientID: "a", NextAttemptAt: 1001, ExpiresAt: 2000},
			{LogoutID: "expired", ClientID: "a", NextAttemptAt: 900, ExpiresAt: 1000},
			{LogoutID: "overdue", ClientID: key, LongClientID: full, NextAttemptAt: 998, ExpiresAt: 2000},
			{LogoutID: "a little", ClientID: "b", NextAttemptAt: 999, ExpiresAt: 2000},
		} {
			require.NoError(t, db.Create(&oauthtest.Logout{LogoutMixin: row}).Error)
		}
		for name, c := range map[string]struct {
			limit  int
			except []string
			want   []string
		}{
			"all":                        {10, nil, []string{"overdue", "a little", "now"}},
			"some":                       {2, nil, []string{"overdue", "a little"}},
			"not those of one":           {10, []string{"b"}, []string{"overdue", "now"}},
			"not those of a long one":    {10, []string{long}, []string{"a little", "now"}},
			"not those of several":       {10, []string{long, "a"}, []string{"a little"}},
			"not those of somebody else": {1, []string{"c"}, []string{"overdue"}},
		} {
			due, err := sessions.DueLogoutsExcept(t.Context(), now, c.limit, c.except)
			require.NoError(t, err)
			ids := []string{}
			for _, logout := range due {
				ids = append(ids, logout.LogoutID)
			}
			assert.Equal(t, c.want, ids, name)
		}
	})
}

// A logout is claimed once until its next attempt.
func TestALogoutIsClaimedOnce(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		sessions := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db)
		for _, id := range []string{"l", "another"} {
			require.NoError(t, db.Create(&oauthtest.Logout{LogoutMixin: models.LogoutMixin{LogoutID: id, Attempts: 3, NextAttemptAt: 10, ExpiresAt: 2000}}).Error)
		}
		for _, c := range []struct {
			attempts int64
			won      bool
		}{{2, false}, {3, true}, {3, false}, {4, true}} {
			won, err := sessions.ClaimLogout(t.Context(), &models.LogoutMixin{LogoutID: "l", Attempts: c.attempts}, time.Unix(1000+c.attempts, 0))
			require.NoError(t, err)
			assert.Equal(t, c.won, won, c.attempts)
		}
		var rows []oauthtest.Logout
		require.NoError(t, db.Order("logout_id").Find(&rows).Error)
		require.Len(t, rows, 2)
		assert.Equal(t, [2]int64{3, 10}, [2]int64{rows[0].Attempts, rows[0].NextAttemptAt})
		assert.Equal(t, [2]int64{5, 1004}, [2]int64{rows[1].Attempts, rows[1].NextAttemptAt})
	})
}

// With a session end the grants that its scope says, each once and whole, and it cannot be joined again.
func TestWhatEndsWithASession(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		sessions, now := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db), time.Unix(1_800_000_000, 0)
		user := &oauthtest.User{}
		require.NoError(t, db.Create(user).Error)
		for _, row := range []models.SessionMixin{
			{SID: "one", SessionID: "s", ClientID: "a", Subject: "alice"}, {SID: "two", SessionID: "s", ClientID: "b"}, {SID: "other", SessionID: "o", ClientID: "a"},
		} {
			require.NoError(t, db.Create(&oauthtest.Session{UserID: user.ID, SessionMixin: row}).Error)
		}
		for key, row := range map[string]struct{ grant, sid, scope string }{
			"one's": {"g1", "one", "profile"}, "one's, again": {"g1", "one", "profile"}, "offline": {"g2", "one", "offline_access"}, "another's": {"g3", "other", "profile"},
		} {
			require.NoError(t, db.Create(&Token{UserID: &user.ID, TokenMixin: models.TokenMixin{
				Authorization: models.Authorization{ClientID: "a", GrantID: row.grant, SessionID: &row.sid}, AccessToken: key, GrantedScope: row.scope, ExpiresAt: now.Unix() + 60,
			}}).Error)
		}
		_, err := sessions.EndSession(t.Context(), oidc.SessionEnd{UserID: "no number", Time: now})
		require.Error(t, err)
		end := oidc.SessionEnd{SessionID: "s", Time: now, LogoutExpiresAt: now.Add(time.Hour), Revokes: func(scope string) bool { return scope == "profile" }}
		ended, err := sessions.EndSession(t.Context(), end)
		require.NoError(t, err)
		assert.Len(t, ended.Clients, 2)
		assert.Equal(t, []string{"g1"}, ended.GrantIDs)
		assert.Equal(t, []oidc.EndedGrant{{GrantID: "g1", ClientID: "a", UserID: user.GetUserID()}}, ended.Grants)
		var alive []string
		require.NoError(t, db.Model(&Token{}).Where("refresh_token_revoked_at = 0").Order("access_token").Pluck("access_token", &alive).Error)
		assert.Equal(t, []string{"another's", "offline"}, alive)

		due, err := sessions.DueLogouts(t.Context(), now, 10)
		require.NoError(t, err)
		told := make(map[string]models.LogoutMixin)
		for _, logout := range due {
			assert.NotEmpty(t, logout.LogoutID)
			logout.LogoutID = ""
			told[logout.SID] = logout
		}
		assert.Equal(t, map[string]models.LogoutMixin{
			"one": {ClientID: "a", SID: "one", Subject: "alice", EndedAt: now.Unix(), NextAttemptAt: now.Unix(), ExpiresAt: now.Unix() + 3600},
			"two": {ClientID: "b", SID: "two", EndedAt: now.Unix(), NextAttemptAt: now.Unix(), ExpiresAt: now.Unix() + 3600},
		}, told)
		for at, n := range map[time.Duration]int{24*time.Hour - time.Second: 1, 24 * time.Hour: 0} { // the mark
			var marks int64
			require.NoError(t, db.Model(&oauthtest.Logout{}).Where("sid = '' AND expires_at > ?", now.Add(at).Unix()).Count(&marks).Error)
			assert.EqualValues(t, n, marks, at)
		}
		due, err = sessions.DueLogouts(t.Context(), now.Add(24*time.Hour), 10)
		require.NoError(t, err)
		assert.Empty(t, due, "the mark is not a logout")

		ended, err = sessions.EndSession(t.Context(), end)
		require.NoError(t, err)
		assert.Equal(t, new(oidc.EndedSession), ended, "again, with nothing to do")
		for sid, joins := range map[string]bool{"one": false, "new": false, "other": true} {
			record := &models.SessionMixin{SID: sid, SessionID: "s", ClientID: "a", StartedAt: now.Unix() + 1, ExpiresAt: now.Unix() + 60}
			if sid == "other" {
				record.SessionID = "o"
			}
			joined, err := sessions.JoinSession(t.Context(), record, user)
			require.NoError(t, err)
			assert.Equal(t, joins, joined, sid)
		}
		var left []string
		require.NoError(t, db.Model(&oauthtest.Session{}).Where("ended_at = 0").Pluck("sid", &left).Error)
		assert.Equal(t, []string{"other"}, left)
	})
}

// What is not a single-use credential does not end with the grants of its user.
func TestSessionsOutliveTheGrantsOfTheirUser(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db)
		user := &oauthtest.User{}
		require.NoError(t, db.Create(user).Error)
		require.NoError(t, db.Create(&oauthtest.Session{UserID: user.ID, SessionMixin: models.SessionMixin{SID: "s"}}).Error)
		require.NoError(t, db.Create(&Token{UserID: &user.ID, TokenMixin: models.TokenMixin{AccessToken: "t"}}).Error)
		tokens, _ := stores(t, db)
		require.NoError(t, tokens.RevokeUser(underway.Shorten(t.Context(), 0), user.GetUserID(), time.Unix(1, 0)))
		for model, alive := range map[any]string{&oauthtest.Session{}: "ended_at = 0", &Token{}: "refresh_token_revoked_at <> 0"} {
			var rows int64
			require.NoError(t, db.Model(model).Where(alive).Count(&rows).Error)
			assert.EqualValues(t, 1, rows, alive)
		}
	})
}
