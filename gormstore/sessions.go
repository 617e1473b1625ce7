package gormstore

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// SessionModel is a pointer to a model that embeds models.SessionMixin.
type SessionModel[M any] interface {
	*M
	sessionRow
}

type sessionRow interface {
	Described
	AsSessionMixin() *models.SessionMixin
}

// LogoutModel is a pointer to a model that embeds models.LogoutMixin.
type LogoutModel[M any] interface {
	*M
	logoutRow
}

type logoutRow interface {
	Described
	AsLogoutMixin() *models.LogoutMixin
}

// Sessions stores the clients that a user has signed in to within a session, and the
// outbox of logouts, in rows of the program's models; it is an [oidc.SessionStorage] and
// an [oidc.LogoutStorage].
type Sessions struct {
	table   *Table
	logouts *Table
	tokens  *Tokens
	codes   *AuthorizationCodes
}

// NewSessions returns the store, with sessions in rows of the model S and logouts in rows
// of the model L, or an error that says what is wrong with the models. The model of
// sessions needs an index on UserID. The tokens and codes that end with a session are in
// the models T and C.
func NewSessions[S, L, T, C any, PS SessionModel[S], PL LogoutModel[L], PT TokenModel[T], PC AuthorizationCodeModel[C]](db *gorm.DB) (*Sessions, error) {
	table, err := newTable(db, PS(new(S)))
	logouts, logoutsErr := newTable(db, PL(new(L)))
	tokens, tokensErr := NewTokens[T, PT](db)
	codes, codesErr := NewAuthorizationCodes[C, PC](db)
	if err := errors.Join(err, logoutsErr, tokensErr, codesErr); err != nil {
		return nil, err
	}
	if err := table.needsUserIndex(); err != nil {
		return nil, err
	}
	return &Sessions{table, logouts, tokens, codes}, nil
}

// Pruned returns the tables of sessions and of logouts.
func (s *Sessions) Pruned() []*Table { return []*Table{s.table, s.logouts} }

// Erased returns the table of sessions.
func (s *Sessions) Erased() []*Table { return []*Table{s.table} }

// JoinSession records that a user signed in to a client within a session; joined is false
// if the session has ended. If the client has already joined, a single statement renews
// the expiry. A client that is new to the session checks for the mark that the end of a
// session leaves, after its own row is stored: so either the end has seen the row, or the
// end is seen here.
func (s *Sessions) JoinSession(ctx context.Context, record *models.SessionMixin, user storage.User) (joined bool, err error) {
	own, alive := s.table.is("SID", record.SID), s.table.is("EndedAt", 0)
	fresh := false
	err = s.table.do(ctx, step{}, func(tx *tx) error {
		changed, err := tx.update(map[string]any{"ExpiresAt": record.ExpiresAt}, own, alive)
		if joined = changed > 0; err != nil || joined {
			fresh = joined && tx.lost // an earlier attempt may have inserted the row without an answer
			return err
		}
		row := s.table.newRow().(sessionRow)
		*row.AsSessionMixin() = *record
		if err := s.table.userID.set(row, user.GetUserID()); err != nil {
			return err
		}
		inserted, err := tx.insertNew(row)
		if fresh = err == nil && (inserted || tx.lost); fresh || err != nil {
			return err
		}
		// The row exists and did not change: the session has ended, or was joined within the
		// same second.
		joined, err = tx.find(s.table.newRow(), own, alive)
		return err
	})
	if err != nil || !fresh {
		return joined, err
	}
	ended, err := s.logouts.find(ctx, s.logouts.newRow(), s.logouts.is("LogoutID", endMark(record.SessionID)))
	if err != nil || !ended {
		return err == nil, err
	}
	return false, s.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.update(map[string]any{"EndedAt": record.StartedAt}, own, alive)
		return err
	})
}

// KeepSession extends the expiry of the session that a client knows by sid, unless it
// already expires later or has ended.
func (s *Sessions) KeepSession(ctx context.Context, sid string, until time.Time) error {
	return s.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.update(map[string]any{"ExpiresAt": until.Unix()}, s.table.is("SID", sid), s.table.is("EndedAt", 0),
			clause.Lt{Column: column(s.table.column("ExpiresAt")), Value: until.Unix()})
		return err
	})
}

// endMark returns the id of the row in the outbox that says that a session has ended, for
// clients that are about to join it. That row is never due.
func endMark(sessionID string) string { return secret.Digest("ended session " + sessionID) }

// endMarkLife is how long the mark is kept: much longer than it takes to answer a request
// that began before the end.
const endMarkLife = 24 * time.Hour

// mark records that a session has ended, before its rows are read.
func (s *Sessions) mark(ctx context.Context, end oidc.SessionEnd) error {
	if end.SessionID == "" {
		return nil
	}
	expiresAt := end.Time.Add(endMarkLife).Unix()
	return s.logouts.do(ctx, step{}, func(tx *tx) error {
		row := s.logouts.newRow().(logoutRow)
		*row.AsLogoutMixin() = models.LogoutMixin{
			LogoutID: endMark(end.SessionID), EndedAt: end.Time.Unix(), NextAttemptAt: expiresAt, ExpiresAt: expiresAt,
		}
		_, err := tx.insertNew(row)
		return err
	})
}

// EndSession ends sessions and the grants that end with them, and adds the logouts to the
// outbox, in one transaction. It stores the mark before that.
func (s *Sessions) EndSession(ctx context.Context, end oidc.SessionEnd) (*oidc.EndedSession, error) {
	which := s.table.is("SessionID", end.SessionID)
	if end.SessionID == "" {
		var err error
		if which, err = s.table.theirs(ctx, end.UserID); err != nil {
			return nil, err
		}
	}
	if err := s.mark(ctx, end); err != nil {
		return nil, err
	}
	var ended *oidc.EndedSession
	err := s.table.do(ctx, step{several: true}, func(tx *tx) error {
		ended = new(oidc.EndedSession)
		if err := s.end(tx, which, end, ended); err != nil || !tx.lost {
			return err
		}
		// An earlier attempt of this step may have ended them without an answer.
		rows, err := tx.list([]clause.Expression{which, s.table.is("EndedAt", end.Time.Unix())})
		for _, row := range rows {
			session := *row.(sessionRow).AsSessionMixin()
			if !slices.ContainsFunc(ended.Clients, func(known models.SessionMixin) bool { return known.SID == session.SID }) {
				ended.Clients = append(ended.Clients, session)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

func (s *Sessions) end(tx *tx, which clause.Expression, end oidc.SessionEnd, ended *oidc.EndedSession) error {
	rows, err := tx.list([]clause.Expression{which, s.table.is("EndedAt", 0)}, locked)
	if err != nil {
		return err
	}
	var sids []string
	var entries []entry
	for _, row := range rows {
		session := *row.(sessionRow).AsSessionMixin()
		changed, err := tx.update(map[string]any{"EndedAt": end.Time.Unix()}, s.table.is("SID", session.SID), s.table.is("EndedAt", 0))
		if err != nil {
			return err
		}
		if changed == 1 { // no other call was faster
			ended.Clients, sids = append(ended.Clients, session), append(sids, session.SID)
			e := clientEntry(models.AuditSessionEnded, session.GetClientID(), end.Time)
			e.userID = s.table.userID.get(row)
			entries = append(entries, e)
		}
	}
	if len(sids) == 0 {
		return nil
	}
	// A concurrent redemption of a code is waited for, and its token is then seen.
	if _, err := tx.on(s.codes.table).void(end.Time, s.codes.table.in("SessionID", sids)); err != nil {
		return err
	}
	grants, err := s.revoke(tx, sids, end, ended)
	if err != nil {
		return err
	}
	if err := tx.note(append(entries, grants...)...); err != nil {
		return err
	}
	if end.LogoutExpiresAt.IsZero() {
		return nil
	}
	return s.addLogouts(tx.on(s.logouts), ended.Clients, end)
}

// revoke revokes the grants that end with the sessions, and everything that descends from
// them, and returns the audit entries. It reads the scope of a grant from the rows of its
// own client, which are those with the session: tokens that others got by exchange may have
// less.
func (s *Sessions) revoke(tx *tx, sids []string, end oidc.SessionEnd, ended *oidc.EndedSession) (entries []entry, err error) {
	t := s.tokens.table
	tokens, err := tx.on(t).list([]clause.Expression{t.in("SessionID", sids), t.isZero("RefreshTokenRevokedAt")}, locked)
	if err != nil {
		return nil, err
	}
	var grantIDs []string
	for _, row := range tokens {
		token := row.(tokenRow).AsTokenMixin()
		if slices.Contains(grantIDs, token.GrantID) || !end.Revokes(token.GrantedScope) {
			continue
		}
		grantIDs = append(grantIDs, token.GrantID)
		e := clientEntry(models.AuditGrantRevoked, token.GetClientID(), end.Time)
		e.GrantID, e.Reason, e.userID = token.GrantID, models.AuditBySession, t.userID.get(row)
		entries = append(entries, e)
		ended.Grants = append(ended.Grants, oidc.EndedGrant{GrantID: token.GrantID, ClientID: token.GetClientID(), UserID: e.userID})
	}
	ended.GrantIDs = grantIDs
	_, err = s.tokens.grants(s.codes.table).end(tx, end.Time, grantIDs...)
	return entries, err
}

// addLogouts adds a logout for each session to the outbox.
func (s *Sessions) addLogouts(tx *tx, sessions []models.SessionMixin, end oidc.SessionEnd) error {
	for _, session := range sessions {
		row := tx.table.newRow().(logoutRow)
		*row.AsLogoutMixin() = models.LogoutMixin{
			LogoutID: rand.Text(), ClientID: session.ClientID, LongClientID: session.LongClientID, SID: session.SID, Subject: session.Subject,
			EndedAt: end.Time.Unix(), NextAttemptAt: end.Time.Unix(), ExpiresAt: end.LogoutExpiresAt.Unix(),
		}
		if _, err := tx.insert(row); err != nil {
			return err
		}
	}
	return nil
}

// DueLogouts returns up to limit logouts that are due to be sent to their clients, the
// longest overdue first.
func (s *Sessions) DueLogouts(ctx context.Context, now time.Time, limit int) (due []models.LogoutMixin, err error) {
	return s.DueLogoutsExcept(ctx, now, limit, nil)
}

// DueLogoutsExcept is like DueLogouts, but without the logouts of the given clients.
func (s *Sessions) DueLogoutsExcept(ctx context.Context, now time.Time, limit int, clientIDs []string) (due []models.LogoutMixin, err error) {
	next, expires := column(s.logouts.column("NextAttemptAt")), column(s.logouts.column("ExpiresAt"))
	conditions := []clause.Expression{clause.Lte{Column: next, Value: now.Unix()}, clause.Gt{Column: expires, Value: now.Unix()}}
	if len(clientIDs) > 0 {
		others := make([]any, len(clientIDs))
		for i, id := range clientIDs {
			others[i], _ = models.SplitClientID(id)
		}
		conditions = append(conditions, clause.Not(clause.IN{Column: column(s.logouts.column("ClientID")), Values: others}))
	}
	rows, err := s.logouts.list(ctx, conditions,
		clause.OrderBy{Columns: []clause.OrderByColumn{{Column: next}}}, clause.Limit{Limit: &limit})
	for _, row := range rows {
		due = append(due, *row.(logoutRow).AsLogoutMixin())
	}
	return due, err
}

// ClaimLogout claims a logout until next, so that no other worker sends it; won is false
// if another worker was faster. The count of attempts decides.
func (s *Sessions) ClaimLogout(ctx context.Context, logout *models.LogoutMixin, next time.Time) (won bool, err error) {
	err = s.logouts.do(ctx, step{}, func(tx *tx) error {
		changed, err := tx.update(map[string]any{"NextAttemptAt": next.Unix(), "Attempts": logout.Attempts + 1},
			s.logouts.is("LogoutID", logout.LogoutID), s.logouts.is("Attempts", logout.Attempts))
		won = err == nil && changed == 1
		return err
	})
	return won, err
}

// DeleteLogout deletes a logout.
func (s *Sessions) DeleteLogout(ctx context.Context, logoutID string) error {
	return s.logouts.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.remove(s.logouts.is("LogoutID", logoutID))
		return err
	})
}
