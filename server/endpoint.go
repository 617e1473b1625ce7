package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/server/reason"
)

// Endpoint is an endpoint other than authorization and token, such as revocation. Its requests
// are POSTs from an authenticated client, unless it is an [OpenEndpoint].
type Endpoint interface {
	// EndpointName returns its name, such as "revocation".
	EndpointName() string
	// EndpointPath returns the path at which it is served, unless Config.EndpointPaths sets
	// another: below the issuer's path or, if it begins with "/.well-known/", in front of it (RFC
	// 8414 section 3.1).
	EndpointPath() string
	// CreateResponse answers a request, whose client has authenticated.
	CreateResponse(ctx context.Context, req *Request) (*Response, error)
}

// OpenEndpoint is an endpoint without client authentication, such as metadata. It reads req.HTTP
// itself: req.Params is empty.
type OpenEndpoint interface {
	Endpoint
	// Methods returns the HTTP methods that it answers, such as "GET".
	Methods() []string
}

// ReplaySafeEndpoint is an endpoint at which a replay does no harm before it is refused: its
// CreateResponse only reads, or is idempotent, or stores with [Request.StoreOutcome]. Whatever
// the request presents that can be used only once is then spent when the answer is known, so that
// a client that is told to repeat the request can present it again. At any other endpoint it is
// spent before CreateResponse.
type ReplaySafeEndpoint interface {
	Endpoint
	IsReplaySafe()
}

// BelowIssuer is implemented by an endpoint whose path begins with "/.well-known/" and is
// nevertheless below the issuer's path (OpenID Connect Discovery section 4).
type BelowIssuer interface{ IsBelowIssuer() }

// Response is an endpoint's response.
type Response struct {
	// Status is the HTTP status; 0 is 200.
	Status int
	// Header is sent with the response. It overrides the engine's own headers of the same name,
	// such as Cache-Control, which by default keeps the response out of all caches.
	Header http.Header
	// Body is written as JSON. A []byte is written unchanged, with the Content-Type of Header,
	// and nil writes no body.
	Body any
	// Reason is why the response contains less than was asked for, for the log only; nil if there
	// is none.
	Reason *reason.Reason
}

// CreateEndpointResponse answers a request to a registered endpoint, including CORS preflight
// requests according to Config.AllowOrigin. If no endpoint has the name, it answers 404.
func (s *Server) CreateEndpointResponse(w http.ResponseWriter, r *http.Request, name string) {
	if !s.ready(w) || s.crossOrigin.Handle(w, r) {
		return
	}
	endpoint, ok := s.endpoints[name]
	if !ok {
		s.serve(w, r, unknownEndpoint, func(http.ResponseWriter, *http.Request) (*Request, error) { return nil, errNoSuchEndpoint() })
		return
	}
	s.serve(w, r, name, func(w http.ResponseWriter, r *http.Request) (*Request, error) {
		return s.answerEndpointRequest(w, r, endpoint)
	})
}

func errNoSuchEndpoint() error {
	failure := NewError(InvalidRequest, "There is no such endpoint.")
	failure.Status = http.StatusNotFound
	return failure
}

func (s *Server) answerEndpointRequest(w http.ResponseWriter, r *http.Request, endpoint Endpoint) (*Request, error) {
	req, err := s.endpointRequest(r, endpoint)
	if err != nil {
		return req, err
	}
	ctx := req.Context()
	if _, safe := endpoint.(ReplaySafeEndpoint); !safe {
		if err := req.settle(ctx, nil); err != nil {
			return req.refused(err)
		}
	}
	response, err := endpoint.CreateResponse(ctx, req)
	if err := req.settle(ctx, err); err != nil {
		return req.refused(err)
	}
	if err := writeResponse(w, response); err != nil {
		return req.refused(err)
	}
	if response.Reason != nil {
		req.LogRefusal(response.Reason)
	}
	return req, nil
}

// EndpointHandler returns CreateEndpointResponse for an endpoint as a handler.
func (s *Server) EndpointHandler(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.CreateEndpointResponse(w, r, name) }
}

// endpointRequest reads a request in the way its endpoint requires. If it refuses a request, it
// returns what it has read of it.
func (s *Server) endpointRequest(r *http.Request, endpoint Endpoint) (*Request, error) {
	if open, ok := endpoint.(OpenEndpoint); ok {
		if err := checkMethod(r, open.Methods()...); err != nil {
			return nil, err
		}
		return s.newRequest(r, endpoint.EndpointName()), nil
	}
	req, err := s.parsePost(r, endpoint.EndpointName())
	if err != nil {
		return req, err
	}
	err = s.authenticateClient(req.Context(), req)
	if hook, ok := endpoint.(AuthMethodHook); err == nil && ok && !hook.CheckAuthMethod(req.AuthMethod) {
		err = s.invalidClient(req, "The client's authentication method is not allowed at this endpoint.")
	}
	if err != nil {
		return req.refused(req.settle(req.Context(), err))
	}
	return req, nil
}

func writeResponse(w http.ResponseWriter, response *Response) error {
	text, given := response.Body.([]byte)
	if !given && response.Body != nil {
		var err error
		if text, err = encode(response.Body); err != nil {
			return err
		}
	}
	noStore(w)
	if response.Header.Get("Cache-Control") != "" {
		w.Header().Del("Pragma")
	}
	header.Copy(w, response.Header)
	status := response.Status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case response.Body == nil:
		w.WriteHeader(status)
	case given:
		w.WriteHeader(status)
		_, _ = w.Write(text) //nolint:gosec // not HTML: the endpoint sets its Content-Type
	default:
		write(w, status, cmp.Or(response.Header.Get("Content-Type"), "application/json"), text)
	}
	return nil
}

// checkMethod refuses a request with any other method.
func checkMethod(r *http.Request, methods ...string) error {
	if slices.Contains(methods, r.Method) || r.Method == http.MethodHead && slices.Contains(methods, http.MethodGet) {
		return nil
	}
	failure := NewError(InvalidRequest, "The request method must be %s.", strings.Join(methods, ", ")).With(slog.String("method", r.Method))
	failure.Status = http.StatusMethodNotAllowed
	failure.Header = http.Header{"Allow": {strings.Join(methods, ", ")}}
	return failure
}
