package server

import (
	"context"
	"errors"
	"log/slog"
)

// Reason is why something was refused, for the log alone.
type Reason struct {
	// Text says why, in words that never change, such as "the client secret is wrong".
	Text string
	// Values are what the reason is about, such as a redirect URI that is not
	// registered, and never a secret, a code or a token. They may be a stranger's text:
	// the log bounds them and prints them on one line.
	Values []slog.Attr
}

// NewReason returns a reason.
func NewReason(text string, values ...slog.Attr) *Reason { return &Reason{text, values} }

// Error returns the text.
func (r *Reason) Error() string { return r.Text }

// Because sets why the error is answered, beyond what its description says: the client
// does not learn it, and the log has it.
func (e *Error) Because(reason string, values ...slog.Attr) *Error {
	return e.BecauseOf(NewReason(reason, values...))
}

// BecauseOf is Because for a reason that is an error, such as a [*Reason].
func (e *Error) BecauseOf(reason error) *Error {
	e.reason = reason
	return e
}

// With adds what the error is about to its line in the log, such as a redirect URI that
// is not registered, and never a secret, a code or a token: see [Reason].
func (e *Error) With(values ...slog.Attr) *Error {
	e.values = append(e.values, values...)
	return e
}

// WhyNoClient returns why there is no such client, as a [ClientLookupHook] said when it
// was looked up for the request, or else the reason that is given.
func (r *Request) WhyNoClient(otherwise *Reason) *Reason {
	if r.noClient != nil {
		return r.noClient
	}
	return otherwise
}

// NoSuchClient returns the error by which a request is refused whose client there is not,
// with what a [ClientLookupHook] has to say of it.
func (r *Request) NoSuchClient(code string) *Error {
	failure := NewError(code, "There is no such client.")
	if r.noClient != nil {
		return failure.BecauseOf(r.noClient)
	}
	return failure
}

// noteNoClient keeps why a client was not found for the line of the request's refusal, or
// logs it where there will be none.
func (s *Server) noteNoClient(ctx context.Context, why *Reason) {
	if req := RequestFromContext(ctx); req != nil && req.Server == s && !req.aside {
		req.noClient = why
		return
	}
	s.LogRefusal(ctx, why)
}

// OfToken says to the log whose token was refused; nil is nobody's.
func (e *Error) OfToken(token *StoredToken) *Error {
	e.token = token
	return e
}

// Reason returns why the error is answered, beyond what its description says, and the
// values that it is about. The text is empty where the description says all.
func (e *Error) Reason() (text string, values []slog.Attr) {
	var reason *Reason
	if e.reason != nil {
		text = e.reason.Error()
	}
	if errors.As(e.reason, &reason) {
		values = append(values, reason.Values...)
	}
	return text, append(values, e.values...)
}
