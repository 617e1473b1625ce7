package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server/secret"
)

// RequestID returns the id of the request that is being answered, which all its log lines share,
// see Config.RequestID. It returns "" if there is none.
func RequestID(ctx context.Context) string { return requestid.From(ctx) }

// WithRequestID returns the request with its id in its context, see Config.RequestID. A program
// that calls it first, for everything it serves, can have the id in its own log lines as well,
// see [LogHandler].
func (s *Server) WithRequestID(r *http.Request) *http.Request {
	return requestid.Enter(r, s.config.RequestID)
}

// LogHandler returns a handler that adds the key "request_id" to each line logged in the context
// of a request, see [RequestID]. The lines of a server and of a protected API always have it.
func LogHandler(next slog.Handler) slog.Handler {
	if _, ok := next.(logHandler); ok {
		return next
	}
	return logHandler{next}
}

type logHandler struct{ slog.Handler }

// Handle adds the id, unless the line already has it.
func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" && !hasKey(record, requestIDKey) {
		record = record.Clone()
		record.AddAttrs(slog.String(requestIDKey, id))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs returns the handler with attributes.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup returns the handler with a group.
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }

const requestIDKey = "request_id"

func hasKey(record slog.Record, key string) (has bool) {
	record.Attrs(func(a slog.Attr) bool { has = a.Key == key; return !has })
	return has
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
			a = slog.String(a.Key, loggable(a.Value.String(), maxLoggedValue))
		}
		all = append(all, a)
	}
	add := func(name, value string, longest int) {
		if value != "" {
			all = append(all, slog.String(name, loggable(value, longest)))
		}
	}
	known := func(name, value string, longest int) { // an identifier that the log is searched by
		if value != "" {
			all = append(all, slog.String(name, printable(value, longest)))
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
	known(requestIDKey, o.RequestID, maxLoggedID)
	return all
}

// loggableValues returns the values of a reason as the group "values".
func loggableValues(values []slog.Attr) slog.Attr {
	inner := make([]slog.Attr, 0, len(values))
	for _, value := range values {
		if text := value.Value.Resolve().String(); text != "" {
			inner = append(inner, slog.String(value.Key, loggable(text, maxLoggedValue)))
		}
	}
	return slog.Attr{Key: "values", Value: slog.GroupValue(inner...)}
}

// param returns a parameter of the request as a value of a reason.
func (r *Request) param(name string) slog.Attr { return slog.String(name, r.Params.Get(name)) }

// log tells the operator why a request failed, including what the client must not know. Every
// error that is answered is logged here.
func (s *Server) log(r *http.Request, failure *Error, of *Request) {
	if failure.logged {
		return
	}
	req := cmp.Or(failure.of, of, RequestFromContext(r.Context()), &Request{Server: s, HTTP: r})
	o := Observation{Endpoint: req.Endpoint, Status: failure.answerStatus(), Error: failure}
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
		message, attributes = "an OAuth request failed", append(attributes, slog.String("cause", loggable(o.Error.cause.Error(), maxLoggedCause)))
	}
	logger.LogAttrs(r.Context(), o.LogLevel(), message, attributes...)
}

// logged logs an error that is returned to the program, and marks it so that it is not logged
// again when the program writes it.
func (s *Server) logged(r *http.Request, err error, of *Request) error {
	if err == nil || AsError(err).isSeeOther() {
		return err
	}
	failure := *AsError(err)
	s.log(r, &failure, of)
	failure.logged = true
	return &failure
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

// loggable returns text that may be a stranger's, or may quote one, in a form that can be logged:
// as [printable] returns it, with each URI as [LoggedURI] returns it.
func loggable(text string, longest int) string { return printable(loggedURIs(text), longest) }

// printable returns text in a form that can be logged: limited in length, without invisible
// characters, and without anything that looks like a secret, since clients send secrets in wrong
// places.
func printable(text string, longest int) string {
	text = bounded(withoutSecrets(text), longest)
	if !strings.ContainsFunc(text, isInvisible) {
		return text
	}
	return strings.Map(func(c rune) rune {
		if isInvisible(c) {
			return '\uFFFD'
		}
		return c
	}, text)
}

// bounded returns text cut to a length that is acceptable in a log.
func bounded(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// withoutSecrets replaces everything that looks like a secret: texts generated by this module or
// in the same form, and JWTs.
func withoutSecrets(text string) string {
	base32 := func(c rune) bool { return 'A' <= c && c <= 'Z' || '2' <= c && c <= '7' }
	inJWT := func(c rune) bool {
		return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	text = replaceRuns(text, base32, func(run string) bool { return len(run) >= secret.Length })
	if !strings.Contains(text, "eyJ") {
		return text
	}
	return replaceRuns(text, inJWT, func(run string) bool { return strings.Contains(run, "eyJ") && strings.Contains(run, ".") })
}

// replaceRuns replaces the runs of characters that are secrets.
func replaceRuns(text string, within func(c rune) bool, isSecret func(run string) bool) string {
	var b strings.Builder
	for text != "" {
		rest := strings.TrimLeftFunc(text, within)
		if run := text[:len(text)-len(rest)]; isSecret(run) {
			b.WriteString("[secret]")
		} else {
			b.WriteString(run)
		}
		next := strings.IndexFunc(rest, within)
		if next < 0 {
			next = len(rest)
		}
		b.WriteString(rest[:next])
		text = rest[next:]
	}
	return b.String()
}

// LoggedURI returns an invalid or rejected URI in a form that is safe for the values of a
// [reason.Reason]: without a password, and without the values of its parameters, since a client may have
// copied the URL of a response with its code or token. An escaped URI is unescaped first. URIs in
// all other logged texts are treated in the same way automatically.
func LoggedURI(uri string) string {
	uri = unescapedURI(uri)
	if !strings.ContainsAny(uri, "/:?=") { // such as client_name#ja
		return uri
	}
	base, fragment, hasFragment := strings.Cut(uri, "#")
	base, query, hasQuery := strings.Cut(base, "?")
	base = withoutPassword(base)
	if hasQuery {
		base += "?" + withoutValues(query)
	}
	if hasFragment {
		base += "#" + withoutValues(fragment)
	}
	return base
}

// unescapedURI returns the URI that was escaped, which a client may have done once too often.
func unescapedURI(text string) string {
	const most = 3
	for range most {
		scheme := strings.IndexFunc(text, negate(isSchemeLetter))
		if scheme < 1 || text[scheme] != '%' {
			return text
		}
		unescaped, err := url.PathUnescape(text)
		if err != nil || !strings.HasPrefix(unescaped[scheme:], ":") && !strings.HasPrefix(unescaped[scheme:], "%") {
			return text
		}
		text = unescaped
	}
	return text
}

// withoutPassword removes from the first part of a URI whatever precedes an @, and whatever is in
// the place of a port. Browsers also recognize a password if a slash is missing or replaced by a
// backslash.
func withoutPassword(base string) string {
	const slashes = `/\`
	rest := base
	if scheme := strings.Index(base, "://"); scheme >= 0 {
		rest = base[scheme+1:]
	} else if scheme, behind, ok := strings.Cut(base, ":"); ok && !strings.ContainsFunc(scheme, negate(isSchemeLetter)) {
		rest = behind
	}
	withSlashes := rest
	rest = strings.TrimLeft(rest, slashes)
	start, hasSlashes := base[:len(base)-len(rest)], len(rest) < len(withSlashes)
	end := strings.IndexAny(rest, slashes)
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if strings.Contains(path, "://") {
		path = withoutPassword(path)
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 && (start != "" || strings.Contains(authority, ":")) {
		return start + "…" + authority[at:] + path
	}
	colon := strings.LastIndexByte(authority, ':')
	if !hasSlashes || colon < 0 || strings.HasSuffix(authority, "]") || strings.Trim(authority[colon+1:], "0123456789") == "" {
		return start + authority + path
	}
	if at := strings.LastIndexByte(path, '@'); at >= 0 {
		return start + "…" + path[at:]
	}
	return start + authority[:colon] + ":…" + path
}

func isSchemeLetter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("+-.", c)
}

// loggedURIs returns text with each URI in it as [LoggedURI] returns it. A URI is anything in
// quotation marks, which [Excerpt] removes from strangers' text, or a whole text that begins like
// a URI. Elsewhere a URI ends at a space.
func loggedURIs(text string) string {
	if !strings.ContainsAny(text, "?#@%") {
		return text
	}
	if first, _, _ := strings.Cut(text, " "); strings.Contains(first, "://") || LoggedURI(first) != first {
		return LoggedURI(text)
	}
	var b strings.Builder
	for first := true; ; first = false {
		end := strings.IndexAny(text, `'"`)
		part := text
		if end >= 0 {
			part = text[:end]
		}
		if quoted := !first && end >= 0 && part != "" && part[0] != ' ' && part[len(part)-1] != ' '; quoted {
			b.WriteString(LoggedURI(part))
		} else {
			for word := range strings.SplitAfterSeq(part, " ") {
				uri := strings.TrimRight(word, " ")
				b.WriteString(LoggedURI(uri) + word[len(uri):])
			}
		}
		if end < 0 {
			return b.String()
		}
		b.WriteByte(text[end])
		text = text[end+1:]
	}
}

func withoutValues(parameters string) string {
	if parameters == "" {
		return ""
	}
	parts := strings.Split(parameters, "&")
	for i, part := range parts {
		name, _, ok := strings.Cut(part, "=")
		if !ok {
			name = ""
		}
		parts[i] = strings.TrimPrefix(name+"=…", "=")
	}
	return strings.Join(parts, "&")
}
