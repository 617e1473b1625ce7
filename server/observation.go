package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// Observation is what became of a request. What it says is no secret; its
// Request has them all.
type Observation struct {
	// Endpoint is that of [ObserveHook].
	Endpoint string
	// Request is the request as far as it was read; of one at a protected API, only
	// its HTTP.
	Request *Request
	// ClientID is the client: at endpoints with client authentication one that
	// authenticated, at others one that exists, at an API the token's. Empty when
	// there is none.
	ClientID string
	// ClaimedClientID is who a client says to be that is not known to be anybody:
	// printable ASCII of a stranger's, of 128 characters at most. Empty where
	// ClientID is not, or when it says nothing.
	ClaimedClientID string
	// AuthMethod is how the client authenticated, empty when it did not.
	AuthMethod string
	// GrantType is the grant type where the server has it, "other" where it has
	// not, and empty where there is none. It is never a stranger's text.
	GrantType string
	// UserID is the resource owner, empty when unknown.
	UserID string
	// Scope is what the request asks for as far as the client may have it, or what
	// a token at an API stands for.
	Scope string
	// Status is the HTTP status of the answer; 0 where the program answers, and 500
	// where a handler panicked.
	Status int
	// Reuse is whether a code or refresh token came a second time, for which its grant
	// is revoked.
	Reuse bool
	// Error is the error that was answered, nil when there is none. Its cause,
	// [Error.Unwrap], is text that this module did not write.
	Error *Error
	// Duration is how long it took by the configured clock.
	Duration time.Duration
	// RemoteAddress is where the request comes from, by Config.RemoteAddress.
	RemoteAddress string
	// RequestID is the request's id, by Config.RequestID.
	RequestID string
}

// Canceled is the [Observation.ErrorCode] of a request whose client went away.
const Canceled = "canceled"

// ErrorCode returns the code of the error, [Canceled] where nobody waited for the
// answer, and nothing where there was no error.
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

// Failed reports whether the server is at fault: a 5xx that somebody waited for.
// The answer of [TooBusy] is none of these.
func (o Observation) Failed() bool {
	return o.Status >= http.StatusInternalServerError && o.ErrorCode() != Canceled && !o.tooBusy()
}

func (o Observation) tooBusy() bool {
	return o.Error != nil && o.Error.Code == TemporarilyUnavailable && o.Error.cause == nil
}

// Observers are hooks that observe requests.
type Observers []ObserveHook

// Begin begins an observation with all of them, in their order. The function ends
// it, in reverse.
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

// Names of what is observed and is no endpoint.
const (
	authorizationPage = "authorization_page"
	unknownEndpoint   = "unknown" // its name may be a stranger's
)

// ObservePage has a request to a page of the program's own observed, such as the
// verification page of RFC 8628. f gets the request with the context in which
// everything of it is to run; it returns the request as far as it was read, which
// may be nil, and its error, which ObservePage returns.
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
		return req, AsError(err).answerStatus(), s.logged(r, err, s.asked(req, r, page))
	})
}

// asked is the request as far as it was read, be it that nothing was.
func (s *Server) asked(req *Request, r *http.Request, endpoint string) *Request {
	if req != nil {
		return req
	}
	return s.newRequest(r, endpoint)
}

// serve answers a request by f, whose error it writes.
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

// observe runs f with the hooks. What it finds before f returns is what a handler
// leaves behind that panics.
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

// OfToken fills in what is known of a request by the token that it presented, nil for
// none.
func (o *Observation) OfToken(token *StoredToken) {
	if token != nil {
		o.ClientID, o.UserID, o.Scope = token.Token.GetClientID(), token.UserID, token.Token.GetScope()
	}
}

// describe fills in what a request says of itself, and its error of the token that it
// presented.
func (o *Observation) describe(req *Request) {
	o.RequestID = RequestID(req.Context())
	if req.HTTP != nil {
		o.RemoteAddress = req.Server.RemoteAddress(req.HTTP)
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

// claimedClientID is who a request says to come from. At an endpoint that reads the
// request itself, such as that of a registration, the query may have it.
func claimedClientID(req *Request) string {
	claimed := req.claimed
	if claimed == "" && req.HTTP != nil {
		if claimed = req.ClaimedClientID(); claimed == "" && req.Params == nil {
			claimed = req.HTTP.URL.Query().Get("client_id")
		}
	}
	if !IsClientID(claimed) {
		return ""
	}
	return bounded(claimed, maxLoggedID)
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status, unless it is of an answer before the answer.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes with status 200 where there is none yet.
func (w *statusWriter) Write(text []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(text)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
