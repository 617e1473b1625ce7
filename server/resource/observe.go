package resource

import (
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server"
)

// observe runs f, which may return a token beside its error, with those who observe
// it. What it finds before f returns is what a validator leaves behind that panics.
func (p *Protector) observe(r *http.Request, f func(r *http.Request) (*server.StoredToken, error)) (*server.StoredToken, error) {
	if len(p.config.Observers) == 0 {
		return f(r)
	}
	begin := p.config.Clock()
	r = requestid.Enter(r, p.config.RequestID)
	ctx, end := p.config.Observers.Begin(r.Context(), endpoint)
	observation := server.Observation{
		Endpoint: endpoint, Status: http.StatusInternalServerError, Error: server.AsError(errPanicked),
		Request: &server.Request{HTTP: r, Endpoint: endpoint, Time: begin},
	}
	var token *server.StoredToken
	defer func() {
		observation.Duration = p.config.Clock().Sub(begin)
		p.describe(&observation, r, token)
		end(observation)
	}()
	var err error
	token, err = f(r.WithContext(ctx))
	observation.Error, observation.Status = nil, 0
	if err != nil {
		observation.Error = server.AsError(err)
		observation.Status = observation.Error.Status
	}
	return token, err
}

// endpoint is the name of what is observed and logged here.
const endpoint = "resource"

// describe fills in what is known of a request and of its token, which may be nil.
func (p *Protector) describe(o *server.Observation, r *http.Request, token *server.StoredToken) {
	o.RemoteAddress, o.RequestID = p.config.RemoteAddress(r), server.RequestID(r.Context())
	o.OfToken(token)
}

var errPanicked = errors.New("resource: a validator panicked")
