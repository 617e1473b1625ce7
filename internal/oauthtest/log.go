package oauthtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/resource"
)

// Line is a line of the log, with its keys; those of a group stand behind its name and a
// dot.
type Line struct {
	Level   slog.Level
	Message string
	Keys    map[string]string
}

// Has reports whether the line has the values of all of the keys: "key", value, …. An
// empty value is that of a key that is not there.
func (l Line) Has(pairs ...string) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		if l.Keys[pairs[i]] != pairs[i+1] {
			return false
		}
	}
	return true
}

// lines are those that were written in the context of one request.
type lines struct {
	mu  sync.Mutex
	all []Line
}

type linesKey struct{}

// Logger returns a logger by which the provider sees what is logged of its requests, in
// front of another one, nil for none. That of a server and of a protector are such.
func Logger(next *slog.Logger) *slog.Logger {
	handler := slog.Handler(slog.DiscardHandler)
	if next != nil {
		handler = next.Handler()
	}
	return slog.New(recorder{handler})
}

// recorder keeps the lines of a request in its context.
type recorder struct{ slog.Handler }

// Enabled is true: nothing is left out of what is kept.
func (recorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps the line, and writes it on.
func (h recorder) Handle(ctx context.Context, record slog.Record) error {
	if kept, ok := ctx.Value(linesKey{}).(*lines); ok {
		line := Line{record.Level, record.Message, make(map[string]string)}
		record.Attrs(func(a slog.Attr) bool { line.add("", a); return true })
		kept.mu.Lock()
		kept.all = append(kept.all, line)
		kept.mu.Unlock()
	}
	if !h.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

func (l *Line) add(group string, a slog.Attr) {
	if a.Value.Kind() != slog.KindGroup {
		l.Keys[group+a.Key] = a.Value.Resolve().String()
		return
	}
	for _, inner := range a.Value.Group() {
		l.add(group+a.Key+".", inner)
	}
}

// Log returns what was logged of the answer.
func (a Answer) Log() []Line { return a.log }

// Refusal returns the line of an answer that is an error.
func (a Answer) Refusal() Line {
	for _, line := range a.log {
		if line.Keys["status"] != "" {
			return line
		}
	}
	return Line{}
}

// NewProtector returns a protector by the provider's clock, whose log is looked at as the
// server's is. What the config has is kept.
func (p *Provider) NewProtector(config resource.Config, validators ...resource.TokenValidator) *resource.Protector {
	p.T.Helper()
	if config.Clock == nil {
		config.Clock = p.clock
	}
	config.Logger = Logger(config.Logger)
	protector, err := resource.NewProtector(config, validators...)
	p.must(err)
	return protector
}

// checkLog holds every answer of every test to the rule of the log: what is refused or
// fails has one line, which says of whom, from where, in which request, and why; and what
// is given has none.
func (p *Provider) checkLog(r *http.Request, a Answer) {
	p.T.Helper()
	var refusals, rest []Line
	for _, line := range a.log {
		if line.Keys["status"] != "" {
			refusals = append(refusals, line)
		} else {
			rest = append(rest, line)
		}
	}
	posted := strings.Contains(a.Raw, "<form")
	refused := a.Status >= http.StatusBadRequest || a.To != "" && (a.Query.Has("error") || a.Fragment.Has("error")) || posted && strings.Contains(a.Raw, `name="error"`)
	given := a.Status < http.StatusMultipleChoices && !posted
	switch {
	case refused && len(refusals) != 1, given && len(refusals) > 0, len(refusals) > 1:
		p.T.Errorf("%s %s is answered with %d, and the log has %d lines of it: %v", r.Method, r.URL.Path, a.Status, len(refusals), a.log)
		return
	case a.Body["active"] == "false" && (len(rest) != 1 || rest[0].Keys["reason"] == ""):
		p.T.Errorf("%s says that a token is inactive, and the log does not say why: %v", r.URL.Path, a.log)
	}
	for _, line := range refusals {
		p.checkRefusal(r, a, line)
	}
	for _, line := range rest {
		for _, key := range []string{"remote_address", "request_id"} {
			if line.Keys[key] == "" {
				p.T.Errorf("%s: a line has no %s: %v", r.URL.Path, key, line)
			}
		}
	}
}

func (p *Provider) checkRefusal(r *http.Request, a Answer, line Line) {
	p.T.Helper()
	for _, key := range []string{"endpoint", "path", "error", "remote_address", "request_id"} {
		if line.Keys[key] == "" {
			p.T.Errorf("%s %s: the line of the refusal has no %s: %v", r.Method, r.URL.Path, key, line)
		}
	}
	if line.Keys["status"] != strconv.Itoa(a.Status) {
		p.T.Errorf("%s %s is answered with %d, and the log says %v", r.Method, r.URL.Path, a.Status, line)
	}
	if line.Keys["reason"] == "" && line.Keys["error_description"] == "" {
		p.T.Errorf("%s %s: the log does not say why: %v", r.Method, r.URL.Path, line)
	}
	for key, value := range line.Keys {
		if key != "client_id" && key != "user" && secretOfURI.MatchString(value) {
			p.T.Errorf("%s %s: the log has what stands in a URI: %s=%s", r.Method, r.URL.Path, key, value)
		}
	}
	atAPI := line.Keys["endpoint"] == "resource" // where a token says whose it is
	if named := claimed(r); !atAPI && clientmeta.IsClientID(named) && line.Keys["client_id"] == "" && line.Keys["claimed_client_id"] == "" {
		p.T.Errorf("%s %s is a request of %q, and the log does not say so: %v", r.Method, r.URL.Path, named, line)
	}
}

// secretOfURI is the value of a parameter in a query or a fragment, or a password: a
// client may have copied a code or a token.
var secretOfURI = regexp.MustCompile(`[?&#][A-Za-z_]+=[^…&#'" ]|//[^/'" ]*:[^/@'" ]*@`)

// claimed is the client that a request names, where it names one.
func claimed(r *http.Request) string {
	if user, _, ok := r.BasicAuth(); ok {
		return user
	}
	query, _ := url.ParseQuery(r.URL.RawQuery)
	all := slices.Concat(query["client_id"], r.PostForm["client_id"])
	if len(all) != 1 {
		return ""
	}
	return all[0]
}
