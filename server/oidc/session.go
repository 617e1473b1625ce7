package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// SessionStorage keeps to which clients a user's session has signed in.
type SessionStorage interface {
	// JoinSession notes that the user signed in to a client. Where that is known, it
	// sets ExpiresAt. It reports false when the session has ended at the client.
	JoinSession(ctx context.Context, record *models.SessionMixin, user server.User) (joined bool, err error)
	// EndSession ends sessions in one atomic step: their codes, the grants that end
	// with them, and, for each client, a row in the outbox.
	EndSession(ctx context.Context, end SessionEnd) (*EndedSession, error)
}

// SessionEnd says which sessions end. Exactly one of SessionID and UserID is set.
type SessionEnd struct {
	// SessionID is the digest of the program's own name for the session.
	SessionID string
	// UserID is a user all of whose sessions end.
	UserID string
	// Time is when.
	Time time.Time
	// Revokes says which grants end with the session, by their scope.
	Revokes func(scope string) bool
	// LogoutExpiresAt is until when clients are told, the zero time when they are not.
	LogoutExpiresAt time.Time
}

// EndedSession is what ended.
type EndedSession struct {
	// Clients are the sessions at clients, one each.
	Clients []models.SessionMixin
	// GrantIDs are the grants that were revoked.
	GrantIDs []string
}

// sid is what a client knows a session by: not what any other client knows it by.
// Empty is no session, or none that anybody remembers.
func (p *Provider) sid(client server.Client, sessionID string) string {
	if p.Sessions == nil || sessionID == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(fmt.Sprintf("sid %q %q", sessionID, client.GetClientID())))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// PrepareAuthorizationResponse notes to which client the session has signed in, and
// tells the client of the session's state.
func (p *Provider) PrepareAuthorizationResponse(ctx context.Context, req *server.Request, _ map[string][]string) error {
	sid := p.sid(req.Client, req.Authentication.SessionID)
	if sid == "" || !isOpenID(req.Scope) {
		return nil
	}
	clientID, longClientID := models.SplitClientID(req.Client.GetClientID())
	joined, err := p.Sessions.JoinSession(ctx, &models.SessionMixin{
		SID: sid, SessionID: server.Digest(req.Authentication.SessionID), ClientID: clientID, LongClientID: longClientID,
		Subject: req.Server.Subject(req.Client, req.User.GetUserID()), StartedAt: req.Time.Unix(),
		ExpiresAt: req.Time.Add(orDefault(p.SessionExpiresIn, defaultSessionExpiresIn)).Unix(),
	}, req.User)
	if err != nil {
		return fmt.Errorf("note a session: %w", err)
	}
	if !joined {
		return server.NewError(server.LoginRequired, "The session of the user has ended.")
	}
	return nil
}

// EndSession ends a session by the program's own name for it, the SessionID of
// [server.Authentication]: codes that nobody has redeemed, the grants that end with
// it, and the sessions at its clients, which [Provider.DeliverLogouts] tells. The
// front-channel logout of those who have one is the page's, see
// [Provider.CreateLogoutResponse]. No session, or one that has ended, is no error.
func (p *Provider) EndSession(ctx context.Context, sessionID string) (*EndedSession, error) {
	if sessionID == "" {
		return new(EndedSession), nil
	}
	return p.end(ctx, SessionEnd{SessionID: server.Digest(sessionID)})
}

// EndSessionsOf ends all sessions of a user, such as one who was disabled, as
// EndSession does.
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
		end.Revokes = func(scope string) bool { return !slices.Contains(strings.Fields(scope), offlineAccessScope) }
	}
	if p.Logouts != nil {
		end.LogoutExpiresAt = end.Time.Add(orDefault(p.LogoutExpiresIn, defaultLogoutExpiresIn))
	}
	ended, err := p.Sessions.EndSession(ctx, end)
	if err != nil {
		return nil, fmt.Errorf("end a session: %w", err)
	}
	req := &server.Request{Server: p.server, Endpoint: "end_session", Time: end.Time}
	for _, grantID := range ended.GrantIDs {
		req.TokenRevoked(ctx, server.Revocation{GrantID: grantID})
	}
	p.wakeUp()
	return ended, nil
}
