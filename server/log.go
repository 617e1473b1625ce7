package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server/logging"
)

// WithRequestID returns the request with its id in its context, see Config.RequestID. A program
// that calls it first, for everything it serves, can have the id in its own log lines as well,
// see [logging.Handler].
func (s *Server) WithRequestID(r *http.Request) *http.Request {
	return requestid.Enter(r, s.config.RequestID)
}

// Maximum lengths of texts in a line.
const (
	maxLoggedCause = 4096
	maxLoggedText  = 512
	maxLoggedValue = 256
	maxLoggedID    = 128
)

// LogLevel returns the level of a log line about the request, see eventlog.Log.
func (o Observation) LogLevel() slog.Level {
	switch {
	case o.Failed(), o.Error != nil && o.Error.cause != nil && o.ErrorCode() != Canceled:
		return slog.LevelError
	case o.Reuse, o.ErrorCode() == InvalidClient, o.Status == http.StatusTooManyRequests, o.tooBusy():
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// LogAttrs returns the attributes of a log line about the request, with the keys of eventlog.Log,
// and adds more after the status. Everything in this module's logs that was sent by a stranger
// passes through it.
func (o Observation) LogAttrs(more ...slog.Attr) []slog.Attr {
	var all []slog.Attr
	if o.Endpoint != "" {
		all = append(all, slog.String("endpoint", o.Endpoint))
	}
	if o.Status != 0 {
		all = append(all, slog.Int("status", o.Status))
	}
	for _, a := range more {
		if a.Value.Kind() == slog.KindString {
			a = slog.String(a.Key, logtext.Loggable(a.Value.String(), maxLoggedValue))
		}
		all = append(all, a)
	}
	add := func(name, value string, longest int) {
		if value != "" {
			all = append(all, slog.String(name, logtext.Loggable(value, longest)))
		}
	}
	known := func(name, value string, longest int) { // an identifier that the log is searched by
		if value != "" {
			all = append(all, slog.String(name, logtext.Printable(value, longest)))
		}
	}
	known("client_id", o.ClientID, maxLoggedText)
	add("claimed_client_id", o.ClaimedClientID, maxLoggedText)
	add("auth_method", o.AuthMethod, maxLoggedText)
	known("user", o.UserID, maxLoggedText)
	add("grant_type", o.GrantType, maxLoggedText)
	add("scope", o.Scope, maxLoggedText)
	if o.Reuse {
		all = append(all, slog.Bool("reuse", true))
	}
	add("error", o.ErrorCode(), maxLoggedText)
	if o.Error != nil {
		add("error_description", o.Error.Text(), maxLoggedText)
		reason, values := o.Error.Reason()
		add("reason", reason, maxLoggedText)
		if len(values) > 0 {
			all = append(all, loggableValues(values))
		}
	}
	known("remote_address", o.RemoteAddress, maxLoggedID)
	known(logging.RequestIDKey, o.RequestID, maxLoggedID)
	return all
}

// loggableValues returns the values of a reason as the group "values".
func loggableValues(values []slog.Attr) slog.Attr {
	inner := make([]slog.Attr, 0, len(values))
	for _, value := range values {
		if text := value.Value.Resolve().String(); text != "" {
			inner = append(inner, slog.String(value.Key, logtext.Loggable(text, maxLoggedValue)))
		}
	}
	return slog.Attr{Key: "values", Value: slog.GroupValue(inner...)}
}

// param returns a parameter of the request as a value of a reason.
func (r *Request) param(name string) slog.Attr { return slog.String(name, r.Params.Get(name)) }

// log tells the operator why a request failed, including what the client must not know. Every
// error that is answered is logged here.
func (s *Server) log(r *http.Request, f *failure, of *Request) {
	if f.logged {
		return
	}
	req := cmp.Or(f.of, of, RequestFromContext(r.Context()), &Request{Server: s, HTTP: r})
	o := Observation{Endpoint: req.Endpoint, Status: f.status(), Error: f.answer}
	o.describe(req)
	o.LogError(r, s.config.Logger)
}

// LogError logs a request that is answered with an error, with the keys of eventlog.Log, "path"
// and, for an internal failure, "cause". A server logs its own errors; LogError is for handlers
// beside it, such as a protected API. It logs nothing if the request failed because the client no
// longer waits for the answer.
func (o Observation) LogError(r *http.Request, logger *slog.Logger) {
	if o.ErrorCode() == Canceled && r.Context().Err() != nil {
		return
	}
	if o.ClientID == "" {
		o.OfToken(o.Error.token)
	}
	message, attributes := "an OAuth request was refused", o.LogAttrs(slog.String("path", r.URL.Path))
	if o.Error.cause != nil {
		message, attributes = "an OAuth request failed", append(attributes, slog.String("cause", logtext.Loggable(o.Error.cause.Error(), maxLoggedCause)))
	}
	logger.LogAttrs(r.Context(), o.LogLevel(), message, attributes...)
}

// logged logs an error that is returned to the program, and marks it so that it is not logged
// again when the program writes it.
func (s *Server) logged(r *http.Request, err error, of *Request) error {
	if err == nil || AsError(err).isSeeOther() {
		return err
	}
	f := failureOf(err)
	s.log(r, f, of)
	f.logged = true
	return f
}

// LogRefusal logs why a request is answered with less than it asked for if the answer is not an
// error, such as an introspection response. It writes one line to Config.Logger, with the keys of
// eventlog.Log.
func (r *Request) LogRefusal(reason error) {
	o := Observation{Endpoint: r.Endpoint, Error: new(Error).BecauseOf(reason)}
	o.describe(r)
	r.Server.config.Logger.LogAttrs(r.Context(), slog.LevelInfo, "an OAuth request is answered with less than it asked for", o.LogAttrs()...)
}

// LogFailure logs at error level that something failed which does not keep the request from being
// answered. It writes one line to Config.Logger, with the keys of eventlog.Log and the cause.
func (r *Request) LogFailure(message string, cause error) {
	o := Observation{Endpoint: r.Endpoint}
	o.describe(r)
	r.Server.config.Logger.LogAttrs(r.Context(), slog.LevelError, message, o.LogAttrs(slog.String("cause", cause.Error()))...)
}

// LogDebug logs at debug level something about the context's request that the program's developer
// may want to know and that does not keep the request from being answered. It writes one line to
// Config.Logger, with the keys of eventlog.Log and the values.
func (s *Server) LogDebug(ctx context.Context, message string, values ...slog.Attr) {
	if !s.config.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	req := cmp.Or(RequestFromContext(ctx), &Request{Server: s, ctx: ctx})
	o := Observation{Endpoint: req.Endpoint}
	o.describe(req)
	s.config.Logger.LogAttrs(ctx, slog.LevelDebug, message, o.LogAttrs(values...)...)
}

// LogRefusal is [Request.LogRefusal] for the context's request. If the context has no request,
// the line has the reason only.
func (s *Server) LogRefusal(ctx context.Context, reason error) {
	req := RequestFromContext(ctx)
	if req == nil {
		req = &Request{Server: s, ctx: ctx}
	}
	req.LogRefusal(reason)
}
