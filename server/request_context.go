package server

import (
	"context"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

type requestKey struct{}

// RequestFromContext returns the request that is being answered, as far as it was read, or nil if
// there is none. Storage and hooks can use it to find out on whose behalf, from where and at
// which endpoint they were called.
func RequestFromContext(ctx context.Context) *Request {
	req, _ := ctx.Value(requestKey{}).(*Request)
	return req
}

// newRequest creates every request that is answered.
func (s *Server) newRequest(r *http.Request, endpoint string) *Request {
	req := &Request{Server: s, Endpoint: endpoint, Time: s.config.Clock()}
	req.enter(r)
	return req
}

// enter continues the request with an HTTP request, and makes the request available in its
// context.
func (r *Request) enter(request *http.Request) {
	r.HTTP, r.basic, r.remote = request, basicCredentials{}, ""
	ctx := requestid.With(request.Context(), request, r.Server.config.RequestID)
	if r.storage == nil {
		r.storage = budget.Shared(r.Server.config.StorageBudget)
	}
	ctx = r.storage.In(ctx)
	r.ctx = ratelimit.OnBehalf(context.WithValue(ctx, requestKey{}, r), r.RemoteAddress())
}

// Context returns the context in which everything of the request runs: that of its HTTP request,
// in which [RequestFromContext] finds it.
func (r *Request) Context() context.Context {
	switch {
	case r.ctx != nil:
		return r.ctx
	case r.HTTP != nil:
		return r.HTTP.Context()
	default:
		return context.Background()
	}
}

// PageContext returns the context in which one of the program's own pages acts for a user, for
// example revokes a grant or creates a client. From it an audit trail knows who acted, from where
// and on which page. user is the user who has signed in, or nil.
func (s *Server) PageContext(r *http.Request, page string, user storage.User) context.Context {
	if !s.initialized {
		return r.Context()
	}
	req := s.newRequest(r, page)
	req.aside = true
	if !IsNilUser(user) {
		req.SetUser(user)
	}
	return budget.With(req.Context(), s.config.StorageBudget) // each step has the whole budget, however many there are
}
