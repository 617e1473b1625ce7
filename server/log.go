package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/internal/requestid"
)

// RequestID returns the id of the request that is being answered, by which the lines of
// the log belong together, see Config.RequestID. It is empty when there is none.
func RequestID(ctx context.Context) string { return requestid.From(ctx) }

// WithRequestID returns the request with its id in its context, see Config.RequestID. A
// program that calls it first, for whatever it serves, has the id in its own lines as
// well, see [LogHandler].
func (s *Server) WithRequestID(r *http.Request) *http.Request {
	return requestid.Enter(r, s.config.RequestID)
}

// LogHandler returns a handler that adds the key "request_id" to each line that is
// written in the context of a request, see [RequestID]. The lines of a server and of a
// protected API have it anyway.
func LogHandler(next slog.Handler) slog.Handler {
	if _, ok := next.(logHandler); ok {
		return next
	}
	return logHandler{next}
}

type logHandler struct{ slog.Handler }

// Handle adds the id, unless the line has it.
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

// Longest texts of a line. A grant's ID is a digest, of which some is enough.
const (
	maxLoggedCause = 4096
	maxLoggedText  = 512
	maxLoggedValue = 256
	maxLoggedID    = 128
	maxLoggedGrant = 16
)

// LogLevel is how much a line of a log about the request matters, see [EventLog].
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

// LogAttrs are what a line of a log says about the request, by the keys of [EventLog],
// with more after the status. Nothing that a stranger sent gets into a log of this module
// but through here.
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
	known := func(name, value string, longest int) { // by which something is found
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

// loggableValues are the values of a reason, as the group "values".
func loggableValues(values []slog.Attr) slog.Attr {
	inner := make([]slog.Attr, 0, len(values))
	for _, value := range values {
		if text := value.Value.Resolve().String(); text != "" {
			inner = append(inner, slog.String(value.Key, loggable(text, maxLoggedValue)))
		}
	}
	return slog.Attr{Key: "values", Value: slog.GroupValue(inner...)}
}

// loggedGrant is the id of a grant, as a log names it.
func loggedGrant(grantID string) string { return grantID[:min(len(grantID), maxLoggedGrant)] }

// param is a parameter of the request, as a value of a reason.
func (r *Request) param(name string) slog.Attr { return slog.String(name, r.Params.Get(name)) }

// log tells the operator what a client may not know, and what it may: whoever looks for
// the reason of a failure finds it here. Every error that is answered comes here.
func (s *Server) log(r *http.Request, failure *Error, of *Request) {
	if failure.logged {
		return
	}
	req := cmp.Or(failure.of, of, RequestFromContext(r.Context()), &Request{Server: s, HTTP: r})
	o := Observation{Endpoint: req.Endpoint, Status: failure.answerStatus(), Error: failure}
	o.describe(req)
	o.LogError(r, s.config.Logger)
}

// LogError writes the line of a request whose error is answered, by the keys of
// [EventLog] with "path" and, where something failed inside, "cause". A server writes
// its own; this is for what answers beside one, such as a protected API. There is no line
// for a request that failed since nobody waits for its answer any more.
func (o Observation) LogError(r *http.Request, logger *slog.Logger) {
	if o.ErrorCode() == Canceled && r.Context().Err() != nil {
		return
	}
	if o.ClientID == "" {
		o.OfToken(o.Error.token)
	}
	message, attributes := "an OAuth request was refused", o.LogAttrs(slog.String("path", r.URL.Path))
	if o.Error.cause != nil {
		message, attributes = "an OAuth request failed inside", append(attributes, slog.String("cause", loggable(o.Error.cause.Error(), maxLoggedCause)))
	}
	logger.LogAttrs(r.Context(), o.LogLevel(), message, attributes...)
}

// logged logs an error that the program gets, and marks it: it is not logged again when
// the program writes it.
func (s *Server) logged(r *http.Request, err error, of *Request) error {
	if err == nil || AsError(err).isSeeOther() {
		return err
	}
	failure := *AsError(err)
	s.log(r, &failure, of)
	failure.logged = true
	return &failure
}

// LogRefusal logs why a request is answered with less than it asked for where the answer
// is no error, such as that of an introspection. It is one line of Config.Logger, with
// the keys of [EventLog].
func (r *Request) LogRefusal(reason error) {
	o := Observation{Endpoint: r.Endpoint, Error: new(Error).BecauseOf(reason)}
	o.describe(r)
	r.Server.config.Logger.LogAttrs(r.Context(), slog.LevelInfo, "an OAuth request is answered with less than it asked for", o.LogAttrs()...)
}

// LogDebug logs at the level of debugging what whoever builds the program wants to know of
// the context's request, which is answered all the same. It is one line of Config.Logger,
// with the keys of [EventLog] beside the values.
func (s *Server) LogDebug(ctx context.Context, message string, values ...slog.Attr) {
	if !s.config.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	req := cmp.Or(RequestFromContext(ctx), &Request{Server: s, ctx: ctx})
	o := Observation{Endpoint: req.Endpoint}
	o.describe(req)
	s.config.Logger.LogAttrs(ctx, slog.LevelDebug, message, o.LogAttrs(values...)...)
}

// LogRefusal is that of the context's request, for what knows no more than the context.
// Where nothing is requested the line has the reason alone.
func (s *Server) LogRefusal(ctx context.Context, reason error) {
	req := RequestFromContext(ctx)
	if req == nil {
		req = &Request{Server: s, ctx: ctx}
	}
	req.LogRefusal(reason)
}

// loggable is a text that a stranger may have written, or that names what one wrote, as a
// log may have it: as [printable] returns it, with each URI as [LoggedURI] returns it.
func loggable(text string, longest int) string { return printable(loggedURIs(text), longest) }

// printable is a text as a log may have it: bounded, without characters that cannot be
// seen, and without what looks like a secret, which clients send in wrong places.
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

// bounded is a text of a stranger's, no longer than a log should hold.
func bounded(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// withoutSecrets replaces what looks like one: what was generated, by this module or in
// the same way, and JWTs.
func withoutSecrets(text string) string {
	base32 := func(c rune) bool { return 'A' <= c && c <= 'Z' || '2' <= c && c <= '7' }
	inJWT := func(c rune) bool {
		return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	text = replaceRuns(text, base32, func(run string) bool { return len(run) >= secretLength })
	if !strings.Contains(text, "eyJ") {
		return text
	}
	return replaceRuns(text, inJWT, func(run string) bool { return strings.Contains(run, "eyJ") && strings.Contains(run, ".") })
}

// replaceRuns replaces those runs of characters that are secrets.
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

// LoggedURI returns a URI that is not what it should be, for the values of a [Reason]:
// without a password, and with the names of its parameters alone, since a client may
// have copied the address of an answer, with its code or token. Of an escaped one it is
// the URI that was escaped. All other texts of a log have their URIs like this anyway.
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

// unescapedURI returns the URI that was escaped, as a client may do once too often.
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

// withoutPassword takes out of the first part of a URI what stands before an @, and what
// stands where a port should. Browsers find a password also where a slash is missing, or
// is a backslash.
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

// loggedURIs returns a text with each URI in it as [LoggedURI] returns it. A URI is what
// stands in quotes, which no text of a stranger's has that is named here, see [Excerpt],
// or a whole text that begins like one; elsewhere it ends with a space.
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
