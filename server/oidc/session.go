package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// SessionStorage stores which clients each session has signed in to.
type SessionStorage interface {
	// JoinSession records that the user signed in to a client. If that is already recorded,
	// it updates ExpiresAt. It returns false if the session has ended at the client.
	JoinSession(ctx context.Context, record *models.SessionMixin, user storage.User) (joined bool, err error)
	// EndSession ends sessions in one atomic step: it ends their codes and the grants that
	// end with them, and adds a row to the outbox for each client.
	EndSession(ctx context.Context, end SessionEnd) (*EndedSession, error)
}

// SessionEnd says which sessions end. Exactly one of SessionID and UserID is set.
type SessionEnd struct {
	// SessionID is the digest of the program's session id.
	SessionID string
	// UserID is the user all of whose sessions end.
	UserID string
	// Time is when they end.
	Time time.Time
	// Revokes reports, by scope, whether a grant ends with its session.
	Revokes func(scope string) bool
	// LogoutExpiresAt is until when logouts are retried. The zero time means that clients
	// are not told.
	LogoutExpiresAt time.Time
}

// EndedSession is the result of ending sessions.
type EndedSession struct {
	// Clients are the ended sessions, one for each client.
	Clients []models.SessionMixin
	// GrantIDs are the grants that were revoked.
	GrantIDs []string
	// Grants are the same grants with their client and user, or nil if the storage does not
	// provide them.
	Grants []EndedGrant
}

// EndedGrant is a grant that ended with a session.
type EndedGrant struct{ GrantID, ClientID, UserID string }

// SessionKeeper is implemented by a [SessionStorage] that can extend a session whose grants
// last longer.
type SessionKeeper interface {
	// KeepSession makes sure that the session with this sid at a client is remembered at
	// least until then. An unknown or ended session is not an error.
	KeepSession(ctx context.Context, sid string, until time.Time) error
}

// sid returns the session id for a client, which differs for each client. It is empty if
// there is no session, or no Sessions storage.
func (p *Provider) sid(client storage.Client, sessionID string) string {
	if p.Sessions == nil || sessionID == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(fmt.Sprintf("sid %q %q", sessionID, client.GetClientID())))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// PrepareAuthorizationResponse records that the session has signed in to the client. It
// refuses a session that has ended.
func (p *Provider) PrepareAuthorizationResponse(ctx context.Context, req *server.Request, _ map[string][]string) error {
	sid := p.sid(req.Client, req.Authentication.SessionID)
	if sid == "" || !isOpenID(req.Scope) {
		return nil
	}
	clientID, longClientID := models.SplitClientID(req.Client.GetClientID())
	joined, err := p.Sessions.JoinSession(ctx, &models.SessionMixin{
		SID: sid, SessionID: secret.Digest(req.Authentication.SessionID), ClientID: clientID, LongClientID: longClientID,
		Subject: req.Server.Subject(req.Client, req.User.GetUserID()), StartedAt: req.Time.Unix(),
		ExpiresAt: p.forgottenAt(req).Unix(),
	}, req.User)
	if err != nil {
		return fmt.Errorf("note a session: %w", err)
	}
	if !joined {
		return server.NewError(server.LoginRequired, "The session of the user has ended.")
	}
	return nil
}

// forgottenAt returns when a session is deleted in which the user signs in, or a grant is
// refreshed, now: after the end of every grant in it. A refresh after half of a grant's
// life postpones it; see keepSession.
func (p *Provider) forgottenAt(req *server.Request) time.Time {
	life := req.Server.GrantLife()
	if life < 0 { // without end
		return req.Time.AddDate(100, 0, 0)
	}
	return req.Time.Add(max(orDefault(p.SessionExpiresIn, defaultSessionExpiresIn), life+life/2))
}

// keepSession postpones the deletion of a session when a refresh extends its grant. Time is
// divided into halves of a grant's life, and the first refresh in each half does so: this
// needs only what is in the grant's own row.
func (p *Provider) keepSession(ctx context.Context, req *server.Request, record *models.TokenMixin) error {
	keeper, keeps := p.Sessions.(SessionKeeper)
	life := req.Server.GrantLife()
	if !keeps || record.SessionID == nil || req.Credential == nil || life < 0 {
		return nil
	}
	token, refreshes := req.Credential.Record.(storage.Token)
	if !refreshes {
		return nil
	}
	half := max(int64(life/time.Second)/2, 1)
	if before := max(token.GetRotatedAt(), token.GetIssuedAt()); before/half == req.Time.Unix()/half {
		return nil
	}
	if err := keeper.KeepSession(ctx, *record.SessionID, p.forgottenAt(req)); err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	return nil
}

// EndSession ends a session by the program's session id, the SessionID of
// [server.Authentication]: it ends unredeemed codes, the grants that end with the session,
// and the sessions at clients, which [Provider.DeliverLogouts] then tells. For
// front-channel logout, see [Provider.CreateLogoutResponse]. An unknown or ended session,
// or an empty id, is not an error.
func (p *Provider) EndSession(ctx context.Context, sessionID string) (*EndedSession, error) {
	if sessionID == "" {
		return new(EndedSession), nil
	}
	return p.end(ctx, SessionEnd{SessionID: secret.Digest(sessionID)})
}

// EndSessionsOf ends all sessions of a user, such as a disabled one, as EndSession does. An
// empty userID is an error.
func (p *Provider) EndSessionsOf(ctx context.Context, userID string) (*EndedSession, error) {
	if userID == "" {
		return nil, errors.New("oidc: the user whose sessions to end has no id")
	}
	return p.end(ctx, SessionEnd{UserID: userID})
}

func (p *Provider) end(ctx context.Context, end SessionEnd) (*EndedSession, error) {
	if p.server == nil {
		return nil, ErrNotRegistered
	}
	if p.Sessions == nil {
		return new(EndedSession), nil
	}
	end.Time, end.Revokes = p.server.Now(), p.EndsWithSession
	if end.Revokes == nil {
		end.Revokes = func(scope string) bool { return !wordlist.Has(scope, offlineAccessScope) }
	}
	if p.Logouts != nil {
		end.LogoutExpiresAt = end.Time.Add(orDefault(p.LogoutExpiresIn, defaultLogoutExpiresIn))
	}
	ended, err := p.Sessions.EndSession(ctx, end)
	if err != nil {
		return nil, fmt.Errorf("end a session: %w", err)
	}
	p.tellEnded(ctx, ended, end.Time)
	p.wakeUp()
	return ended, nil
}

// tellEnded tells the hooks of the grants that ended.
func (p *Provider) tellEnded(ctx context.Context, ended *EndedSession, now time.Time) {
	req := server.RequestFromContext(ctx)
	if req == nil {
		req = &server.Request{Server: p.server, Endpoint: "end_session", Time: now}
	}
	grants := ended.Grants
	if grants == nil { // a storage that does not provide them
		for _, grantID := range ended.GrantIDs {
			grants = append(grants, EndedGrant{GrantID: grantID})
		}
	}
	for _, grant := range grants {
		req.TokenRevoked(ctx, server.Revocation{GrantID: grant.GrantID, ClientID: grant.ClientID, UserID: grant.UserID, Reason: server.RevokedBySession})
	}
}
