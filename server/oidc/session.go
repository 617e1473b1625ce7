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
	// Grants are the same with whose they were, where the storage says it.
	Grants []EndedGrant
}

// EndedGrant is a grant that ended with a session.
type EndedGrant struct{ GrantID, ClientID, UserID string }

// SessionKeeper is a [SessionStorage] that remembers a session for longer where one of its
// grants lasts longer.
type SessionKeeper interface {
	// KeepSession has the session that a client knows by sid be remembered until then at
	// the least. One that is not known, or has ended, is no error.
	KeepSession(ctx context.Context, sid string, until time.Time) error
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

// forgottenAt is when a session is forgotten in which a user signs in, or a grant is
// refreshed, now: after the end of every grant in it. A grant that is refreshed later than
// after half of its life moves it on, see keepSession.
func (p *Provider) forgottenAt(req *server.Request) time.Time {
	life := req.Server.GrantLife()
	if life < 0 { // without end
		return req.Time.AddDate(100, 0, 0)
	}
	return req.Time.Add(max(orDefault(p.SessionExpiresIn, defaultSessionExpiresIn), life+life/2))
}

// keepSession moves on when a session is forgotten, where a refresh gives its grant a longer
// life. Time is divided into halves of that life, and the first refresh in each does so: what
// it needs to know is in the grant's own row.
func (p *Provider) keepSession(ctx context.Context, req *server.Request, record *models.TokenMixin) error {
	keeper, keeps := p.Sessions.(SessionKeeper)
	life := req.Server.GrantLife()
	if !keeps || record.SessionID == nil || req.Credential == nil || life < 0 {
		return nil
	}
	token, refreshes := req.Credential.Record.(server.Token)
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
	if grants == nil { // of a storage of the program's own
		for _, grantID := range ended.GrantIDs {
			grants = append(grants, EndedGrant{GrantID: grantID})
		}
	}
	for _, grant := range grants {
		req.TokenRevoked(ctx, server.Revocation{GrantID: grant.GrantID, ClientID: grant.ClientID, UserID: grant.UserID, Reason: server.RevokedBySession})
	}
}
