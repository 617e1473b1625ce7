package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
)

// Endpoint is an endpoint beside authorization and token, such as revocation.
// Its requests are POSTs of an authenticated client, unless it is an
// [OpenEndpoint].
type Endpoint interface {
	// EndpointName is its name, such as "revocation".
	EndpointName() string
	// EndpointPath is where it is served unless Config.EndpointPaths says
	// otherwise: below the issuer's path, or, when it begins with
	// "/.well-known/", before it (RFC 8414 section 3.1).
	EndpointPath() string
	// CreateResponse answers a request. The client has authenticated.
	CreateResponse(ctx context.Context, req *Request) (*Response, error)
}

// OpenEndpoint is an endpoint at which no client authenticates, such as
// metadata. It reads req.HTTP itself: req.Params is empty.
type OpenEndpoint interface {
	Endpoint
	// Methods are the HTTP methods that it answers, such as "GET".
	Methods() []string
}

// ReplaySafeEndpoint is an endpoint at which a replay does no harm before it is refused: its
// CreateResponse only reads, or does what is the same twice, or stores by
// [Request.StoreOutcome]. Then what the request presents that is good once is spent once the
// answer is known, so that a client that has to come again can. At any other endpoint it is
// spent before CreateResponse.
type ReplaySafeEndpoint interface {
	Endpoint
	IsReplaySafe()
}

// BelowIssuer is for an endpoint whose path begins with "/.well-known/" and follows
// the issuer's path all the same (OpenID Connect Discovery section 4).
type BelowIssuer interface{ IsBelowIssuer() }

// Response is an endpoint's answer.
type Response struct {
	// Status is the HTTP status; 0 is 200.
	Status int
	// Header is sent with it. A name takes the place of the engine's own, such
	// as Cache-Control, which otherwise keeps the answer out of every cache.
	Header http.Header
	// Body is what is written as JSON; a []byte is written as it is, with the
	// Content-Type of Header, and nil is no body.
	Body any
	// Reason is why the answer tells less than was asked for, for the log alone; nil is
	// none.
	Reason *Reason
}

// CreateEndpointResponse answers a request to a registered endpoint. A name
// that is not registered is answered with 404, and the preflight of a page that is
// about to make a request by Config.AllowOrigin.
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

// EndpointHandler is CreateEndpointResponse as a handler.
func (s *Server) EndpointHandler(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.CreateEndpointResponse(w, r, name) }
}

// endpointRequest reads a request as its endpoint wants it. It returns what it read
// of one that it refuses.
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
		err = s.invalidClient(req, "The client cannot use this endpoint with its client authentication.")
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
		_, _ = w.Write(text) //nolint:gosec // no HTML: the endpoint names its Content-Type
	default:
		write(w, status, cmp.Or(response.Header.Get("Content-Type"), "application/json"), text)
	}
	return nil
}

// checkMethod refuses a request of any other method.
func checkMethod(r *http.Request, methods ...string) error {
	if slices.Contains(methods, r.Method) || r.Method == http.MethodHead && slices.Contains(methods, http.MethodGet) {
		return nil
	}
	failure := NewError(InvalidRequest, "The request method must be %s.", strings.Join(methods, ", ")).With(slog.String("method", r.Method))
	failure.Status = http.StatusMethodNotAllowed
	failure.Header = http.Header{"Allow": {strings.Join(methods, ", ")}}
	return failure
}
