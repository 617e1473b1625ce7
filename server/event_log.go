package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gormoauth/gormoauth/models"
)

// EventLog writes one line for every request, when it has been answered: what was
// asked for, by whom, and what came of it. It is registered with
// [Server.Register], and can stand among the observers of a protected API.
//
// The keys of a line never change; those that say nothing are left out:
//
//	request_id         the same in all lines of a request, see Config.RequestID
//	remote_address     where it comes from, by Config.RemoteAddress
//	endpoint           "token", "authorization", …, see [ObserveHook]
//	status             the HTTP status of the answer
//	duration           how long it took
//	client_id          the client, where it is known to be one
//	claimed_client_id  the client that it says to be, where it is not
//	auth_method        how the client authenticated
//	user               the resource owner
//	grant_type, scope  what is asked for
//	grant              the beginning of the id of the grant that was issued or revoked
//	reuse              true when a code or refresh token came a second time
//	error              the error code that was answered
//	error_description  what the client was told
//	reason             why, where it was not told all, such as "the client secret is wrong"
//	values             a group of what the reason is about, such as values.redirect_uri
//
// Config.Logger gets a line with these keys for each refusal and failure, with the keys
// "path" and, where something failed inside, "cause"; and one for each answer that is no
// error and yet less than was asked for, see [Request.LogRefusal], without a status.
//
// No secret is in it: no token, code or client secret, no parameter as it came in
// but the claimed_client_id and the values of a reason, which are bounded and printable,
// and no text of an error from inside, which Config.Logger gets. A client ID, a user ID
// and an address may be personal data; keep the log as long as those may be kept.
//
// The level is Error where the server is at fault, Warn for what an attack looks
// like (a credential that was used before, a client that is not who it says, too
// many attempts), and Info for all else, faults of clients included.
type EventLog struct {
	// Logger gets the lines.
	Logger *slog.Logger
	// WithoutUsers leaves out who the user is.
	WithoutUsers bool
	// WithoutAddresses leaves out where requests come from.
	WithoutAddresses bool
}

// CheckConfig names what is missing.
func (l *EventLog) CheckConfig(*Config) error {
	if l.Logger == nil {
		return errors.New("server: EventLog.Logger is missing: write slog.Default()")
	}
	return nil
}

// event is what becomes known of a request while it is answered.
type event struct{ grantID string }

// eventKey keeps the events of two logs apart.
type eventKey struct{ log *EventLog }

// ObserveRequest writes the line when the request ends.
func (l *EventLog) ObserveRequest(ctx context.Context, _ string) (context.Context, func(Observation)) {
	seen := new(event)
	ctx = context.WithValue(ctx, eventKey{l}, seen)
	return ctx, func(o Observation) {
		l.Logger.LogAttrs(ctx, o.LogLevel(), "an OAuth request was answered", l.attributes(o, seen)...)
	}
}

// TokenIssued remembers the grant.
func (l *EventLog) TokenIssued(ctx context.Context, _ *Request, record *models.TokenMixin) {
	if seen, ok := ctx.Value(eventKey{l}).(*event); ok {
		seen.grantID = record.GrantID
	}
}

// TokenRevoked remembers the grant.
func (l *EventLog) TokenRevoked(ctx context.Context, _ *Request, revocation Revocation) {
	if seen, ok := ctx.Value(eventKey{l}).(*event); ok {
		seen.grantID = revocation.GrantID
	}
}

// attributes are those of a line that say something.
func (l *EventLog) attributes(o Observation, seen *event) []slog.Attr {
	if l.WithoutUsers {
		o.UserID = ""
	}
	if l.WithoutAddresses {
		o.RemoteAddress = ""
	}
	all := o.LogAttrs(slog.Duration("duration", o.Duration))
	if grantID := seen.grantID; grantID != "" {
		all = append(all, slog.String("grant", loggedGrant(grantID)))
	}
	return all
}
