package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	sessionLifetime = 12 * time.Hour

	// Keys of what a session holds.
	sessionUserID     = "user_id"
	sessionSignedInAt = "signed_in_at" // in Unix seconds
	sessionID         = "id"           // tells applications which session has ended
	sessionReturnTo   = "return_to"    // the request that the user signed in for
	sessionReturnedAt = "returned_at"  // in Unix seconds
	sessionChosenFor  = "chosen_for"   // the request that the user chose the account for
	sessionChosenAt   = "chosen_at"    // in Unix seconds
	sessionNotice     = "notice"
)

// acrPassword is the authentication context class of a sign-in with a password, the
// only one that there is (OASIS SAML 2.0 Authentication Context).
const acrPassword = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"

// newSessions keeps sessions in the database, so that they outlive a restart
// and are shared by all instances. Only digests of their tokens are stored.
func newSessions(a *app) *scs.SessionManager {
	sessions := scs.New()
	sessions.Store = &sessionStore{a.db}
	sessions.HashTokenInStore = true
	sessions.Lifetime = sessionLifetime
	sessions.ErrorFunc = a.fail
	sessions.Cookie.Persist = false
	sessions.Cookie.HttpOnly = true
	sessions.Cookie.SameSite = http.SameSiteLaxMode
	if a.cfg.secure() {
		// The prefix has the browser refuse a cookie of this name that another
		// host under the same domain, or plain http, tries to set.
		sessions.Cookie.Name = "__Host-session"
		sessions.Cookie.Secure = true
	}
	return sessions
}

// currentUser returns the signed-in user, or nil if there is none or the user was disabled.
func (a *app) currentUser(r *http.Request) (*User, error) {
	user, err := a.users.Query(r.Context(), a.sessions.GetString(r.Context(), sessionUserID))
	if err != nil || user == nil {
		return nil, err
	}
	return user.(*User), nil
}

// authenticated returns the user together with when and how they signed in. user may be nil.
func (a *app) authenticated(r *http.Request, user *User) storage.User {
	if user == nil {
		return nil
	}
	ctx := r.Context()
	return server.SignedIn{User: user, Authentication: server.Authentication{
		Time: a.sessions.GetInt64(ctx, sessionSignedInAt), ACR: acrPassword, AMR: []string{"pwd"},
		ReturnTo: a.sessions.GetString(ctx, sessionReturnTo), ReturnedAt: a.sessions.GetInt64(ctx, sessionReturnedAt),
		AccountChosenFor: a.sessions.GetString(ctx, sessionChosenFor), AccountChosenAt: a.sessions.GetInt64(ctx, sessionChosenAt),
		SessionID: a.sessions.GetString(ctx, sessionID),
	}}
}

// signedInUser returns the signed-in user, together with when and how they signed in.
func (a *app) signedInUser(r *http.Request) (storage.User, error) {
	user, err := a.currentUser(r)
	return a.authenticated(r, user), err
}

// forgetReturning is called when a request is answered, so that the sign-in does not count for
// the same request tomorrow.
func (a *app) forgetReturning(r *http.Request) {
	a.sessions.Remove(r.Context(), sessionReturnTo)
	a.sessions.Remove(r.Context(), sessionChosenFor)
}

// signedIn calls next for signed-in users, and sends others to the sign-in page.
func (a *app) signedIn(next func(http.ResponseWriter, *http.Request, *User)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, err := a.currentUser(r)
		switch {
		case err != nil:
			a.fail(w, r, err)
		case user == nil:
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		default:
			next(w, r, user)
		}
	}
}

// notify shows a message on the next page.
func (a *app) notify(r *http.Request, notice string) {
	a.sessions.Put(r.Context(), sessionNotice, notice)
}

// sessionStore is an scs.CtxStore.
type sessionStore struct{ db *gorm.DB }

func (s *sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var session Session
	result := s.db.WithContext(ctx).Where("token = ? AND expires_at > ?", token, time.Now().Unix()).Limit(1).Find(&session)
	return session.Data, result.RowsAffected == 1, result.Error
}

func (s *sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.db.WithContext(ctx).
		Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "token"}},
			DoUpdates: clause.AssignmentColumns([]string{"data", "expires_at"}),
		}).
		Create(&Session{Token: token, Data: data, ExpiresAt: expiry.Unix()}).Error
}

func (s *sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.db.WithContext(ctx).Where("token = ?", token).Delete(&Session{}).Error
}

// The methods without a context are part of the interface. scs does not call them if a store
// also has the others.

func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s *sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

func (s *sessionStore) Delete(token string) error {
	return s.DeleteCtx(context.Background(), token)
}

// cleanUpSessions deletes expired sessions now and every hour, until ctx ends.
func cleanUpSessions(ctx context.Context, db *gorm.DB, log *slog.Logger) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		if err := deleteExpiredSessions(ctx, db, time.Now()); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "expired sessions could not be deleted", slog.String("cause", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-hourly.C:
		}
	}
}

// deleteExpiredSessions works in steps, so that no statement holds locks for long.
func deleteExpiredSessions(ctx context.Context, db *gorm.DB, now time.Time) error {
	const step = 1000
	for {
		expired := db.Model(&Session{}).Select("token").Where("expires_at <= ?", now.Unix()).Limit(step)
		result := db.WithContext(ctx).Where("token IN (?)", expired).Delete(&Session{})
		if result.Error != nil || result.RowsAffected < step {
			return result.Error
		}
	}
}
