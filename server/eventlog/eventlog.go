// Package eventlog writes a line for each request.
package eventlog

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// Log writes one line for every request after it has been answered: what was asked for, by
// whom, and the outcome. Register it with [server.Server.Register]; it can also be one of the observers
// of a protected API.
//
// The keys of a line never change; those without a value are left out:
//
//	request_id         the same in all lines of a request, see Config.RequestID
//	remote_address     where the request comes from, according to Config.RemoteAddress
//	endpoint           "token", "authorization", …, see [server.ObserveHook]
//	status             the HTTP status of the answer
//	duration           how long the request took
//	client_id          the client, if it is known
//	claimed_client_id  the client that the request claims to be from, if that is not proved
//	auth_method        how the client authenticated
//	user               the resource owner
//	grant_type, scope  what is asked for
//	grant              the beginning of the id of the grant that was issued or revoked
//	reuse              true if a code or refresh token was presented a second time
//	error              the error code of the answer
//	error_description  what the client was told
//	reason             why, if the client was not told everything, such as "the client secret is wrong"
//	values             a group of values that the reason is about, such as values.redirect_uri
//
// Config.Logger gets a line with these keys for each refusal and failure, with the additional
// keys "path" and, for an internal failure, "cause". It also gets a line without a status for
// each answer that is no error but gives less than was asked for, see [server.Request.LogRefusal].
//
// A line contains no secrets: no token, code or client secret; no parameter as it was sent,
// except the claimed_client_id and the values of a reason, which are limited in length and
// printable; and no text of internal errors, which only Config.Logger gets. Client ids, user ids
// and addresses may be personal data: keep the log only as long as you may keep those.
//
// The level is Error if the server is at fault, Warn for signs of an attack (a credential that
// was used before, a failed client authentication, too many attempts), and Info for everything
// else, including clients' mistakes.
type Log struct {
	// Logger receives the lines.
	Logger *slog.Logger
	// WithoutUsers leaves out the user.
	WithoutUsers bool
	// WithoutAddresses leaves out the remote address.
	WithoutAddresses bool
}

// CheckConfig returns an error if Logger is missing.
func (l *Log) CheckConfig(*server.Config) error {
	if l.Logger == nil {
		return errors.New("eventlog: Log.Logger is missing: write slog.Default()")
	}
	return nil
}

// event is what becomes known of a request while it is answered.
type event struct{ grantID string }

// eventKey keeps the events of two logs apart.
type eventKey struct{ log *Log }

// ObserveRequest writes the line when the request ends.
func (l *Log) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	seen := new(event)
	ctx = context.WithValue(ctx, eventKey{l}, seen)
	return ctx, func(o server.Observation) {
		l.Logger.LogAttrs(ctx, o.LogLevel(), "an OAuth request was answered", l.attributes(o, seen)...)
	}
}

// TokenIssued remembers the grant for the line.
func (l *Log) TokenIssued(ctx context.Context, _ *server.Request, record *models.TokenMixin) {
	if seen, ok := ctx.Value(eventKey{l}).(*event); ok {
		seen.grantID = record.GrantID
	}
}

// TokenRevoked remembers the grant for the line.
func (l *Log) TokenRevoked(ctx context.Context, _ *server.Request, revocation server.Revocation) {
	if seen, ok := ctx.Value(eventKey{l}).(*event); ok {
		seen.grantID = revocation.GrantID
	}
}

// attributes returns the attributes of a line that have a value.
func (l *Log) attributes(o server.Observation, seen *event) []slog.Attr {
	if l.WithoutUsers {
		o.UserID = ""
	}
	if l.WithoutAddresses {
		o.RemoteAddress = ""
	}
	all := o.LogAttrs(slog.Duration("duration", o.Duration))
	if grantID := seen.grantID; grantID != "" {
		all = append(all, slog.String("grant", logtext.Grant(grantID)))
	}
	return all
}
