package resource

import (
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
)

// observe runs f, which may return a token beside its error, with those who observe
// it. What it finds before f returns is what a validator leaves behind that panics.
func (p *Protector) observe(r *http.Request, f func(r *http.Request) (*server.StoredToken, error)) (*server.StoredToken, error) {
	if len(p.config.Observers) == 0 {
		return f(r)
	}
	begin := p.config.Clock()
	ctx, end := p.config.Observers.Begin(r.Context(), "resource")
	observation := server.Observation{
		Endpoint: "resource", Status: http.StatusInternalServerError, Error: server.AsError(errPanicked),
		Request: &server.Request{HTTP: r, Endpoint: "resource", Time: begin},
	}
	defer func() {
		observation.Duration = p.config.Clock().Sub(begin)
		end(observation)
	}()
	token, err := f(r.WithContext(ctx))
	observation.Error, observation.Status = nil, 0
	if err != nil {
		observation.Error = server.AsError(err)
		observation.Status = observation.Error.Status
	}
	if token != nil {
		observation.ClientID, observation.UserID, observation.Scope = token.Token.GetClientID(), token.UserID, token.Token.GetScope()
	}
	return token, err
}

var errPanicked = errors.New("resource: a validator panicked")
