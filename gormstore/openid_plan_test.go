package gormstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// No statement of sessions, logouts and consents reads a whole table.
func TestEveryStatementOfSessionsAndConsentsHasAnIndex(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		user := &oauthtest.User{}
		require.NoError(t, db.Create(user).Error)
		sessions, err := gormstore.NewSessions[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](db)
		require.NoError(t, err)
		consents, err := gormstore.NewConsents[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
		require.NoError(t, err)
		sid, now := "of a session", time.Now()
		require.NoError(t, db.Create(&oauthtest.Token{UserID: &user.ID, TokenMixin: models.TokenMixin{Authorization: models.Authorization{ClientID: "c", GrantID: "g", SessionID: &sid}, AccessToken: "a"}}).Error)
		require.NoError(t, db.Create(&oauthtest.AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Authorization: models.Authorization{ClientID: "c", SessionID: &sid}, Code: "a"}}).Error)

		var statements []string
		note := func(tx *gorm.DB) {
			statements = append(statements, tx.Dialector.Explain(tx.Statement.SQL.String(), tx.Statement.Vars...))
		}
		require.NoError(t, db.Callback().Query().After("gorm:query").Register("plan", note))
		require.NoError(t, db.Callback().Update().After("gorm:update").Register("plan", note))
		require.NoError(t, db.Callback().Delete().After("gorm:delete").Register("plan", note))

		ctx := t.Context()
		_, err = sessions.JoinSession(ctx, &models.SessionMixin{SID: sid, SessionID: "s", ClientID: "c", ExpiresAt: now.Add(time.Hour).Unix()}, user)
		require.NoError(t, err)
		for _, end := range []oidc.SessionEnd{{SessionID: "s"}, {UserID: user.GetUserID()}} {
			end.Time, end.LogoutExpiresAt, end.Revokes = now, now.Add(time.Hour), func(string) bool { return true }
			_, err = sessions.EndSession(ctx, end)
			require.NoError(t, err)
		}
		due, err := sessions.DueLogouts(ctx, now, 10)
		require.NoError(t, err)
		require.Len(t, due, 1)
		none, err := sessions.DueLogoutsExcept(ctx, now, 10, []string{"another", due[0].ClientID})
		require.NoError(t, err)
		require.Empty(t, none)
		_, err = sessions.ClaimLogout(ctx, &due[0], now)
		require.NoError(t, err)
		require.NoError(t, sessions.DeleteLogout(ctx, due[0].LogoutID))
		consent := &models.ConsentMixin{ClientID: "c", Revision: 1}
		_, err = consents.SaveConsent(ctx, nil, consent, user)
		require.NoError(t, err)
		_, err = consents.SaveConsent(ctx, consent, consent, user)
		require.NoError(t, err)
		_, err = consents.QueryConsent(ctx, user.GetUserID(), "c")
		require.NoError(t, err)
		of, err := consents.Of(ctx, user.GetUserID())
		require.NoError(t, err)
		require.Len(t, of, 1)
		require.NoError(t, consents.Revoke(ctx, user.GetUserID(), "c", now))

		require.GreaterOrEqual(t, len(statements), 15)
		for _, statement := range statements {
			assert.NotRegexp(t, `\bSCAN\b|Seq Scan`, explain(t, db, statement), statement)
		}
	})
}

// A model in which a user's rows could not be found is refused, with the remedy.
func TestWhatIsFoundByItsUserNeedsAnIndex(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	type Consent struct {
		ID, UserID uint
		models.ConsentMixin
	}
	type Session struct {
		ID, UserID uint
		models.SessionMixin
	}
	type Code struct {
		ID, UserID uint
		models.AuthorizationCodeMixin
	}
	const remedy = "has no index on UserID, which finding a user's rows needs; add the tag `gorm:\"index\"`"
	_, err := gormstore.NewConsents[Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
	assert.ErrorContains(t, err, "Consent "+remedy)
	_, err = gormstore.NewConsents[oauthtest.Consent, oauthtest.Token, Code](db)
	assert.ErrorContains(t, err, "Code "+remedy)
	_, err = gormstore.NewSessions[Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](db)
	assert.ErrorContains(t, err, "Session "+remedy)
	consents, err := gormstore.NewConsents[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	require.NoError(t, err)
	require.Error(t, consents.Revoke(t.Context(), "", "c", time.Now()))
	require.Error(t, consents.Revoke(t.Context(), "no number", "c", time.Now()))
	_, err = consents.Of(t.Context(), "")
	require.Error(t, err)
	_, err = consents.SaveConsent(t.Context(), nil, new(models.ConsentMixin), storage.UserID("no number"))
	require.Error(t, err)
}
