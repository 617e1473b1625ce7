package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/logging"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Observation is the outcome of a request. Its fields contain no secrets, except the Request,
// which contains all of them.
type Observation struct {
	// Endpoint is the name of the endpoint, as in [ObserveHook].
	Endpoint string
	// Request is the request as far as it was read. At a protected API it only has its HTTP
	// field.
	Request *Request
	// ClientID is the client: one that authenticated at endpoints with client authentication, one
	// that exists at others, and that of the token at an API. It is empty if there is none.
	ClientID string
	// ClaimedClientID is the client id that the request claims, if ClientID is empty: untrusted
	// printable ASCII, at most 128 characters long. It is empty if the request claims none.
	ClaimedClientID string
	// AuthMethod is the method by which the client authenticated, empty if it did not.
	AuthMethod string
	// GrantType is the grant type if the server supports it, "other" if it does not, and empty if
	// there is none. It is never a stranger's text.
	GrantType string
	// UserID is the resource owner, empty if unknown.
	UserID string
	// Scope is the requested scope as far as the client may have it or, at an API, the scope of
	// the token.
	Scope string
	// Status is the HTTP status of the answer. It is 0 if the program writes the answer, and 500
	// if a handler panicked.
	Status int
	// Reuse reports whether a code or refresh token was presented a second time, for which its
	// grant was revoked.
	Reuse bool
	// Error is the error that was answered, nil if there is none. The text of its cause,
	// [Error.Unwrap], does not come from this module.
	Error *Error
	// Duration is how long the request took, measured by Config.Clock.
	Duration time.Duration
	// RemoteAddress is where the request comes from, according to Config.RemoteAddress.
	RemoteAddress string
	// RequestID is the request's id, according to Config.RequestID.
	RequestID string
}

// ErrorCode returns the code of the error, [Canceled] if the client no longer waited for the
// answer, and "" if there was no error.
func (o Observation) ErrorCode() string {
	switch {
	case o.Error != nil && errors.Is(o.Error.cause, context.Canceled):
		return Canceled
	case o.Error != nil:
		return o.Error.Code
	case o.Status >= http.StatusInternalServerError:
		return ServerError
	}
	return ""
}

// Failed reports whether the server is at fault: the status is 5xx and the client still waited
// for the answer. The answer of [TooBusy] does not count as a failure.
func (o Observation) Failed() bool {
	return o.Status >= http.StatusInternalServerError && o.ErrorCode() != Canceled && !o.tooBusy()
}

func (o Observation) tooBusy() bool {
	return o.Error != nil && o.Error.Code == TemporarilyUnavailable && o.Error.cause == nil
}

// Observers are hooks that observe requests.
type Observers []ObserveHook

// Begin begins an observation with all hooks, in order. The returned function ends it, in reverse
// order.
func (o Observers) Begin(ctx context.Context, endpoint string) (context.Context, func(Observation)) {
	ends := make([]func(Observation), 0, len(o))
	for _, hook := range o {
		inner, end := hook.ObserveRequest(ctx, endpoint)
		ctx = inner
		if end != nil {
			ends = append(ends, end)
		}
	}
	return ctx, func(observation Observation) {
		for _, end := range slices.Backward(ends) {
			end(observation)
		}
	}
}

// Names of observed requests that are not at an endpoint.
const (
	authorizationPage = "authorization_page"
	unknownEndpoint   = "unknown" // instead of the requested name, which may be a stranger's
)

// ObservePage observes a request to one of the program's own pages, such as the verification page
// of RFC 8628. It calls f with the request in whose context everything is to run. f returns the
// request as far as it was read, which may be nil, and its error, which ObservePage returns.
func (s *Server) ObservePage(r *http.Request, page string, f func(r *http.Request) (*Request, error)) error {
	if !s.initialized {
		_, err := f(r)
		return err
	}
	r, body := s.WithRequestID(r), r
	defer func() { body.PostForm = r.PostForm }() // for the program's own page, which cannot read the body again
	if len(s.observers) == 0 {
		req, err := f(r)
		return s.logged(r, err, s.asked(req, r, page))
	}
	return s.observe(r, page, func(r *http.Request) (*Request, int, error) {
		req, err := f(r)
		if err == nil {
			return req, 0, nil
		}
		return req, failureOf(err).status(), s.logged(r, err, s.asked(req, r, page))
	})
}

// asked returns the request as far as it was read, or a new one if nothing was.
func (s *Server) asked(req *Request, r *http.Request, endpoint string) *Request {
	if req != nil {
		return req
	}
	return s.newRequest(r, endpoint)
}

// serve answers a request with f, and writes f's error.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, endpoint string, f func(w http.ResponseWriter, r *http.Request) (*Request, error)) {
	r, body := s.WithRequestID(r), r
	defer func() { body.PostForm = r.PostForm }()
	if len(s.observers) == 0 {
		if req, err := f(w, r); err != nil {
			s.writeError(w, r, err, s.asked(req, r, endpoint))
		}
		return
	}
	written := &statusWriter{ResponseWriter: w}
	_ = s.observe(r, endpoint, func(r *http.Request) (*Request, int, error) {
		req, err := f(written, r)
		if err != nil {
			s.writeError(written, r, err, s.asked(req, r, endpoint))
		}
		return req, written.status, err
	})
}

// observe runs f with the hooks. The observation it prepares before calling f is the one reported
// if f panics.
func (s *Server) observe(r *http.Request, endpoint string, f func(r *http.Request) (*Request, int, error)) error {
	begin := s.config.Clock()
	ctx, end := s.observers.Begin(r.Context(), endpoint)
	inner := r.WithContext(ctx)
	observation := Observation{
		Endpoint: endpoint, Status: http.StatusInternalServerError, Error: AsError(errPanicked),
		Request: &Request{Server: s, HTTP: inner, Endpoint: endpoint, Time: begin},
	}
	defer func() {
		r.PostForm = inner.PostForm
		observation.describe(observation.Request)
		observation.Duration = s.config.Clock().Sub(begin)
		end(observation)
	}()
	req, status, err := f(inner)
	observation.Status, observation.Error = status, nil
	if err != nil && !AsError(err).isSeeOther() {
		observation.Error = AsError(err)
	}
	if req != nil {
		observation.Request = req
	}
	return err
}

var errPanicked = errors.New("server: a handler panicked")

// OfToken sets what is known of a request from the token that it presented. A nil token sets
// nothing.
func (o *Observation) OfToken(token *storage.StoredToken) {
	if token != nil {
		o.ClientID, o.UserID, o.Scope = token.Token.GetClientID(), token.UserID, token.Token.GetScope()
	}
}

// describe sets the fields from the request, and from the token that its error is about.
func (o *Observation) describe(req *Request) {
	o.RequestID = logging.RequestID(req.Context())
	if req.HTTP != nil {
		o.RemoteAddress = req.RemoteAddress()
	}
	o.AuthMethod, o.Scope, o.Reuse = req.AuthMethod, req.Scope, req.Reuse
	if o.Error != nil {
		o.OfToken(o.Error.token)
	}
	if req.Client != nil {
		o.ClientID = req.Client.GetClientID()
	} else if o.ClientID == "" {
		o.ClaimedClientID = claimedClientID(req)
	}
	if !IsNilUser(req.User) {
		o.UserID = req.User.GetUserID()
	}
	if o.GrantType = req.GrantType; o.GrantType != "" && req.grant == nil {
		o.GrantType = "other"
	}
}

// claimedClientID returns the client id that a request claims. At an endpoint that reads the
// request itself, such as client registration, it may be in the query.
func claimedClientID(req *Request) string {
	claimed := req.claimed
	if claimed == "" && req.HTTP != nil {
		if claimed = req.ClaimedClientID(); claimed == "" && req.Params == nil {
			claimed = req.HTTP.URL.Query().Get("client_id")
		}
	}
	if !clientmeta.IsClientID(claimed) {
		return ""
	}
	return logtext.Bounded(claimed, maxLoggedID)
}

// statusWriter remembers the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status, unless it is an informational one (1xx).
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implies status 200 if none was written yet.
func (w *statusWriter) Write(text []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(text)
}

// Unwrap supports [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
