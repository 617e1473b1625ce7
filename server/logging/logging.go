// Package logging adds the id of a request to the log lines of a program.
package logging

import (
	"context"
	"log/slog"

	"github.com/gormoauth/gormoauth/internal/requestid"
)

// RequestID returns the id of the request that is being answered, which all its log lines share,
// see server.Config.RequestID. It returns "" if there is none.
func RequestID(ctx context.Context) string { return requestid.From(ctx) }

// Handler returns a handler that adds the key "request_id" to each line logged in the context
// of a request, see [RequestID]. The lines of a server and of a protected API always have it.
func Handler(next slog.Handler) slog.Handler {
	if _, ok := next.(handler); ok {
		return next
	}
	return handler{next}
}

type handler struct{ slog.Handler }

// Handle adds the id, unless the line already has it.
func (h handler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" && !hasKey(record, RequestIDKey) {
		record = record.Clone()
		record.AddAttrs(slog.String(RequestIDKey, id))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs returns the handler with attributes.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup returns the handler with a group.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// RequestIDKey is the key of the request's id in a log line.
const RequestIDKey = "request_id"

func hasKey(record slog.Record, key string) (has bool) {
	record.Attrs(func(a slog.Attr) bool { has = a.Key == key; return !has })
	return has
}
