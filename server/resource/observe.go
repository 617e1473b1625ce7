package resource

import (
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/logging"
	"github.com/gormoauth/gormoauth/server/storage"
)

// observe runs f and reports it to the observers. f may return a token along with an error.
// The observation begins as that of a panic, and so is right if a validator panics.
func (p *Protector) observe(r *http.Request, f func(r *http.Request) (*storage.StoredToken, error)) (*storage.StoredToken, error) {
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
	var token *storage.StoredToken
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

// endpoint is the endpoint name in observations and log lines.
const endpoint = "resource"

// describe adds what is known about a request and its token, which may be nil.
func (p *Protector) describe(o *server.Observation, r *http.Request, token *storage.StoredToken) {
	o.RemoteAddress, o.RequestID = p.config.RemoteAddress(r), logging.RequestID(r.Context())
	o.OfToken(token)
}

var errPanicked = errors.New("resource: a validator panicked")
