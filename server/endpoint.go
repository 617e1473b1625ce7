package server

import (
	"context"
	"net/http"
)

// Endpoint is an endpoint beside authorization and token, such as revocation.
// Its requests are POSTs of an authenticated client.
type Endpoint interface {
	// EndpointName is its name, such as "revocation".
	EndpointName() string
	// CreateResponse answers a request. The client has authenticated.
	CreateResponse(ctx context.Context, req *Request) (*Response, error)
}

// Response is an endpoint's answer.
type Response struct {
	// Status is the HTTP status; 0 is 200.
	Status int
	// Body is what is written as JSON.
	Body any
}

// CreateEndpointResponse answers a request to a registered endpoint. A name
// that is not registered is answered with 404.
func (s *Server) CreateEndpointResponse(w http.ResponseWriter, r *http.Request, name string) {
	if !s.ready(w) {
		return
	}
	endpoint, ok := s.endpoints[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	req, err := s.parsePost(r, name)
	if err != nil {
		s.WriteError(w, r, err)
		return
	}
	response, err := s.endpointResponse(r.Context(), req, endpoint)
	if err != nil {
		s.WriteError(w, r, req.failure(err))
		return
	}
	if response.Status == 0 {
		response.Status = http.StatusOK
	}
	s.writeJSON(w, r, response.Status, response.Body)
}

// EndpointHandler is CreateEndpointResponse as a handler.
func (s *Server) EndpointHandler(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.CreateEndpointResponse(w, r, name) }
}

func (s *Server) endpointResponse(ctx context.Context, req *Request, endpoint Endpoint) (*Response, error) {
	if err := s.authenticateClient(ctx, req); err != nil {
		return nil, err
	}
	return endpoint.CreateResponse(ctx, req)
}
