package resource

import (
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
)

// observe is acquireToken with those who observe it. What it finds before
// acquireToken returns is what a validator leaves behind that panics.
func (p *Protector) observe(r *http.Request, scopes []string) (*server.StoredToken, error) {
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
	token, err := p.acquireToken(r.WithContext(ctx), scopes)
	if err != nil {
		observation.Error = server.AsError(err)
		observation.Status = observation.Error.Status
		return nil, err
	}
	observation.Error, observation.Status = nil, 0
	observation.ClientID, observation.UserID, observation.Scope = token.Token.GetClientID(), token.UserID, token.Token.GetScope()
	return token, nil
}

var errPanicked = errors.New("resource: a validator panicked")
