package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gormoauth/gormoauth/models"
)

// EventLog writes one line for every request, when it has been answered: what was
// asked for, by whom, and what came of it. It is registered with
// [Server.Register], and can stand among the observers of a protected API.
//
// No secret is in it: no token, code or client secret, no parameter as it came in
// but the claimed_client_id of a client that is not known, and no text of an error
// from inside, which Config.Logger gets. A client ID, a user ID and an address may
// be personal data; keep the log as long as those may be kept.
//
// The level is Error where the server is at fault, Warn for what an attack looks
// like (a credential that was used before, a client that is not who it says, too
// many attempts), and Info for all else, faults of clients included.
type EventLog struct {
	// Logger gets the lines.
	Logger *slog.Logger
	// WithoutUsers leaves out who the user is.
	WithoutUsers bool
	// RemoteAddress says where a request comes from; nil leaves that out. Behind a
	// proxy only the program knows which header to believe.
	RemoteAddress func(r *http.Request) string
}

// CheckConfig names what is missing.
func (l *EventLog) CheckConfig(*Config) error {
	if l.Logger == nil {
		return errors.New("server: EventLog.Logger is missing: write slog.Default()")
	}
	return nil
}

// event is what becomes known of a request while it is answered.
type event struct {
	grantID string
	reused  bool
}

// eventKey keeps the events of two logs apart.
type eventKey struct{ log *EventLog }

// ObserveRequest writes the line when the request ends.
func (l *EventLog) ObserveRequest(ctx context.Context, _ string) (context.Context, func(Observation)) {
	seen := new(event)
	ctx = context.WithValue(ctx, eventKey{l}, seen)
	return ctx, func(o Observation) {
		l.Logger.LogAttrs(ctx, seen.level(&o), "an OAuth request was answered", l.attributes(&o, seen)...)
	}
}

// TokenIssued remembers the grant.
func (l *EventLog) TokenIssued(ctx context.Context, _ *Request, record *models.TokenMixin) {
	if seen, ok := ctx.Value(eventKey{l}).(*event); ok {
		seen.grantID = record.GrantID
	}
}

// TokenRevoked remembers the grant, and whether a credential was presented again.
func (l *EventLog) TokenRevoked(ctx context.Context, _ *Request, revocation Revocation) {
	if seen, ok := ctx.Value(eventKey{l}).(*event); ok {
		seen.grantID, seen.reused = revocation.GrantID, revocation.Reuse
	}
}

func (e *event) level(o *Observation) slog.Level {
	code := o.ErrorCode()
	switch {
	case o.Failed():
		return slog.LevelError
	case e.reused, code == InvalidClient, o.Status == http.StatusTooManyRequests, o.tooBusy():
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// Longest texts of a line. A grant's ID is a digest, of which some is enough.
const (
	maxLoggedText  = 512
	maxLoggedGrant = 16
)

// attributes are those that say something.
func (l *EventLog) attributes(o *Observation, seen *event) []slog.Attr {
	all := []slog.Attr{slog.String("endpoint", o.Endpoint)}
	if o.Status != 0 {
		all = append(all, slog.Int("status", o.Status))
	}
	all = append(all, slog.Duration("duration", o.Duration))
	add := func(name, value string, longest int) {
		if value != "" {
			all = append(all, slog.String(name, bounded(value, longest)))
		}
	}
	add("client_id", o.ClientID, maxLoggedText)
	add("claimed_client_id", o.ClaimedClientID, maxLoggedText)
	add("auth_method", o.AuthMethod, maxLoggedText)
	if !l.WithoutUsers {
		add("user", o.UserID, maxLoggedText)
	}
	add("grant_type", o.GrantType, maxLoggedText)
	add("scope", o.Scope, maxLoggedText)
	if grantID := seen.grantID; grantID != "" {
		all = append(all, slog.String("grant", grantID[:min(len(grantID), maxLoggedGrant)]))
	}
	if seen.reused {
		all = append(all, slog.Bool("reuse", true))
	}
	add("error", o.ErrorCode(), maxLoggedText)
	if o.Error != nil {
		add("error_description", o.Error.Text(), maxLoggedText)
	}
	if l.RemoteAddress != nil {
		add("remote_address", l.RemoteAddress(o.Request.HTTP), maxLoggedID)
	}
	return all
}
