package gormstore

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// SessionModel is a pointer to a model that embeds models.SessionMixin.
type SessionModel[M any] interface {
	*M
	AsSessionMixin() *models.SessionMixin
}

// LogoutModel is a pointer to a model that embeds models.LogoutMixin.
type LogoutModel[M any] interface {
	*M
	AsLogoutMixin() *models.LogoutMixin
}

// Sessions keeps to which clients a user's session has signed in, in rows of the
// program's model S, and the outbox of logouts in rows of the model L; it is an
// [oidc.SessionStorage] and an [oidc.LogoutStorage]. What ends with a session is in
// the models T of tokens and C of codes.
type Sessions[S any, PS SessionModel[S], L any, PL LogoutModel[L], T any, PT TokenModel[T], C any, PC AuthorizationCodeModel[C]] struct {
	store   *store
	columns columns
	logouts *outbox[L, PL]
	tokens  *Tokens[T, PT]
	codes   *AuthorizationCodes[C, PC]
}

// outbox is the rows of logouts.
type outbox[L any, PL LogoutModel[L]] struct {
	store   *store
	columns columns
}

// NewSessions returns the store, or what is wrong with the models: the model of
// sessions needs an index on UserID.
func NewSessions[S, L, T, C any, PS SessionModel[S], PL LogoutModel[L], PT TokenModel[T], PC AuthorizationCodeModel[C]](db *gorm.DB) (*Sessions[S, PS, L, PL, T, PT, C, PC], error) {
	s, names, err := newGrantedStore(db, new(S), models.SessionMixin{})
	logouts, logoutColumns, logoutsErr := newMixinStore(db, new(L), models.LogoutMixin{})
	tokens, tokensErr := NewTokens[T, PT](db)
	codes, codesErr := NewAuthorizationCodes[C, PC](db)
	if err := errors.Join(err, logoutsErr, tokensErr, codesErr); err != nil {
		return nil, err
	}
	if err := s.needsUserIndex(); err != nil {
		return nil, err
	}
	return &Sessions[S, PS, L, PL, T, PT, C, PC]{s, names, &outbox[L, PL]{logouts, logoutColumns}, tokens, codes}, nil
}

// JoinSession notes that a user signed in to a client: where that is known, one
// statement sets when it is forgotten.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) JoinSession(ctx context.Context, record *models.SessionMixin, user server.User) (joined bool, err error) {
	own := eq(s.columns["SID"], record.SID)
	err = s.store.write(ctx, func(bool) error {
		changed, err := s.store.update(s.store.conn(ctx), new(S), map[string]any{s.columns["ExpiresAt"]: record.ExpiresAt}, own, eq(s.columns["EndedAt"], 0))
		if joined = changed > 0; err != nil || joined {
			return err
		}
		row := new(S)
		*PS(row).AsSessionMixin() = *record
		if err := s.store.userID.set(row, user.GetUserID()); err != nil {
			return err
		}
		_, err = s.store.insert(s.store.conn(ctx), row)
		if joined = err == nil; joined || !isDuplicate(err) {
			return err
		}
		// It is there and did not change: it has ended, or was joined this very second.
		found, err := s.store.load(ctx, row, own, eq(s.columns["EndedAt"], 0))
		joined = found
		return err
	})
	return joined, err
}

// EndSession ends sessions, and what ends with them, and writes to the outbox, in one
// transaction.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) EndSession(ctx context.Context, end oidc.SessionEnd) (*oidc.EndedSession, error) {
	which := eq(s.columns["SessionID"], end.SessionID)
	if end.SessionID == "" {
		var err error
		if which, err = s.store.theirs(ctx, end.UserID); err != nil {
			return nil, err
		}
	}
	var ended *oidc.EndedSession
	err := s.store.write(ctx, func(lost bool) error {
		ended = new(oidc.EndedSession)
		return atomically(s.store.conn(ctx), func(tx *gorm.DB) error {
			if err := s.end(tx, which, end, ended); err != nil || !lost {
				return err
			}
			// What nobody heard of may have been this very step.
			rows, err := list[S](s.store, tx, []clause.Expression{which, eq(s.columns["EndedAt"], end.Time.Unix())})
			for i := range rows {
				ended.Clients = append(ended.Clients, *PS(&rows[i]).AsSessionMixin())
			}
			return err
		})
	})
	return ended, err
}

func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) end(tx *gorm.DB, which clause.Expression, end oidc.SessionEnd, ended *oidc.EndedSession) error {
	alive, err := list[S](s.store, tx, []clause.Expression{which, eq(s.columns["EndedAt"], 0)})
	if err != nil {
		return err
	}
	var sids []any
	var entries []entry
	for i := range alive {
		session := *PS(&alive[i]).AsSessionMixin()
		changed, err := s.store.update(tx, new(S), map[string]any{s.columns["EndedAt"]: end.Time.Unix()},
			eq(s.columns["SID"], session.SID), eq(s.columns["EndedAt"], 0))
		if err != nil {
			return err
		}
		if changed == 1 { // and nobody else was faster
			ended.Clients, sids = append(ended.Clients, session), append(sids, session.SID)
			e := clientEntry(models.AuditSessionEnded, session.GetClientID(), end.Time)
			e.userID = s.store.userID.get(&alive[i])
			entries = append(entries, e)
		}
	}
	if len(sids) == 0 {
		return nil
	}
	// A code that is redeemed meanwhile is waited for, and its token is seen then.
	if _, err := s.codes.void(tx, end.Time, clause.IN{Column: column(s.codes.columns["SessionID"]), Values: sids}); err != nil {
		return err
	}
	grants, err := s.revoke(tx, sids, end, ended)
	if err != nil {
		return err
	}
	if err := s.store.trail.note(tx, append(entries, grants...)...); err != nil {
		return err
	}
	if end.LogoutExpiresAt.IsZero() {
		return nil
	}
	return s.logouts.add(tx, ended.Clients, end)
}

// revoke revokes the grants that end with the sessions, and all that came of them. It
// returns what that is to the audit trail.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) revoke(tx *gorm.DB, sids []any, end oidc.SessionEnd, ended *oidc.EndedSession) (entries []entry, err error) {
	// A locking read sees what was committed since the transaction began, on MySQL as
	// elsewhere; SQLite, which has one writer, knows no other.
	tokens, err := list[T](s.tokens.store, tx, []clause.Expression{
		clause.IN{Column: column(s.tokens.columns["SessionID"]), Values: sids}, s.tokens.is("RefreshTokenRevokedAt", 0),
	}, clause.Locking{Strength: clause.LockingStrengthUpdate})
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for i := range tokens {
		token := PT(&tokens[i]).AsTokenMixin()
		if seen[token.GrantID] || !end.Revokes(token.GrantedScope) {
			continue
		}
		seen[token.GrantID] = true
		if _, err := s.tokens.revokeGrants(tx, end.Time, s.tokens.is("GrantID", token.GrantID)); err != nil {
			return nil, err
		}
		ended.GrantIDs = append(ended.GrantIDs, token.GrantID)
		e := clientEntry(models.AuditGrantRevoked, token.GetClientID(), end.Time)
		e.GrantID, e.Reason, e.userID = token.GrantID, models.AuditBySession, s.tokens.store.userID.get(&tokens[i])
		entries = append(entries, e)
	}
	return entries, nil
}

func (o *outbox[L, PL]) add(tx *gorm.DB, sessions []models.SessionMixin, end oidc.SessionEnd) error {
	for _, session := range sessions {
		row := new(L)
		*PL(row).AsLogoutMixin() = models.LogoutMixin{
			LogoutID: rand.Text(), ClientID: session.ClientID, LongClientID: session.LongClientID, SID: session.SID, Subject: session.Subject,
			EndedAt: end.Time.Unix(), NextAttemptAt: end.Time.Unix(), ExpiresAt: end.LogoutExpiresAt.Unix(),
		}
		if _, err := o.store.insert(tx, row); err != nil {
			return err
		}
	}
	return nil
}

// DueLogouts returns the logouts of which it is time to tell the client, the longest
// due first.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) DueLogouts(ctx context.Context, now time.Time, limit int) (due []models.LogoutMixin, err error) {
	o := s.logouts
	var rows []L
	err = retry(ctx, func(bool) error {
		rows, err = list[L](o.store, o.store.primary(ctx).Limit(limit), []clause.Expression{
			clause.Lte{Column: column(o.columns["NextAttemptAt"]), Value: now.Unix()}, clause.Gt{Column: column(o.columns["ExpiresAt"]), Value: now.Unix()},
		}, clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column(o.columns["NextAttemptAt"])}}})
		return err
	})
	for i := range rows {
		due = append(due, *PL(&rows[i]).AsLogoutMixin())
	}
	return due, err
}

// ClaimLogout takes a logout for its own until it is due next. The count of attempts
// decides.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) ClaimLogout(ctx context.Context, logout *models.LogoutMixin, next time.Time) (won bool, err error) {
	o := s.logouts
	err = o.store.write(ctx, func(bool) error {
		changed, err := o.store.update(o.store.conn(ctx), new(L), map[string]any{
			o.columns["NextAttemptAt"]: next.Unix(), o.columns["Attempts"]: logout.Attempts + 1,
		}, eq(o.columns["LogoutID"], logout.LogoutID), eq(o.columns["Attempts"], logout.Attempts))
		won = err == nil && changed == 1
		return err
	})
	return won, err
}

// DeleteLogout forgets a logout.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) DeleteLogout(ctx context.Context, logoutID string) error {
	o := s.logouts
	return o.store.write(ctx, func(bool) error {
		_, err := o.store.remove(o.store.conn(ctx), eq(o.columns["LogoutID"], logoutID))
		return err
	})
}

// Logouts is the outbox as something that [Prune] prunes, beside the sessions
// themselves.
func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) Logouts() Prunable { return s.logouts }

func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) pruning(grants, time.Time) pruning {
	return pruning{store: s.store, key: s.columns["SID"], expiresAt: s.columns["ExpiresAt"]}
}

func (o *outbox[L, PL]) pruning(grants, time.Time) pruning {
	return pruning{store: o.store, key: o.columns["LogoutID"], expiresAt: o.columns["ExpiresAt"]}
}
