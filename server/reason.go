package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Because sets why the error is returned, beyond its description. The reason is logged, and the
// client does not learn it. It returns e.
func (e *Error) Because(why string, values ...slog.Attr) *Error {
	return e.BecauseOf(reason.New(why, values...))
}

// BecauseOf is like Because for a reason that is an error, such as a [*reason.Reason].
func (e *Error) BecauseOf(reason error) *Error {
	e.reason = reason
	return e
}

// With adds values that the error is about to its log line, such as a redirect URI that is not
// registered. They must never be a secret, a code or a token: see [reason.Reason]. It returns e.
func (e *Error) With(values ...slog.Attr) *Error {
	e.values = append(e.values, values...)
	return e
}

// WhyNoClient returns the reason that a [ClientLookupHook] gave for not finding a client during
// the request, or otherwise if there is none.
func (r *Request) WhyNoClient(otherwise *reason.Reason) *reason.Reason {
	if r.noClient != nil {
		return r.noClient
	}
	return otherwise
}

// NoSuchClient returns the error for a request whose client does not exist, with the reason that
// a [ClientLookupHook] gave, if any.
func (r *Request) NoSuchClient(code string) *Error {
	failure := NewError(code, "There is no such client.")
	if r.noClient != nil {
		return failure.BecauseOf(r.noClient)
	}
	return failure
}

// noteNoClient keeps why a client was not found, for the log line of the request's refusal. If
// there will be no such line, it logs the reason at once.
func (s *Server) noteNoClient(ctx context.Context, why *reason.Reason) {
	if req := RequestFromContext(ctx); req != nil && req.Server == s && !req.aside {
		req.noClient = why
		return
	}
	s.LogRefusal(ctx, why)
}

// OfToken records whose token was refused, for the log. A nil token records nothing. It returns
// e.
func (e *Error) OfToken(token *storage.StoredToken) *Error {
	e.token = token
	return e
}

// Reason returns why the error is returned, beyond its description, and the values that it is
// about. text is empty if the description says everything.
func (e *Error) Reason() (text string, values []slog.Attr) {
	var reason *reason.Reason
	if e.reason != nil {
		text = e.reason.Error()
	}
	if errors.As(e.reason, &reason) {
		values = append(values, reason.Values...)
	}
	return text, append(values, e.values...)
}
