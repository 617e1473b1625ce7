package resource

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server"
)

// StepUp is what a part of an API asks of how its user signed in (RFC 9470).
type StepUp struct {
	// ACRValues are the authentication context classes of which the user must
	// have reached one; nil asks for none.
	ACRValues []string
	// MaxAge is how long ago the user may have signed in; 0 asks for nothing.
	MaxAge time.Duration
}

// RequireAuthentication is middleware for what is behind [Protector.Require]: it
// refuses a token whose user did not sign in strongly or recently enough, and
// tells the client with what to ask for another.
//
//	mux.Handle("/transfer", protector.Require("pay")(protector.RequireAuthentication(resource.StepUp{MaxAge: 5 * time.Minute})(transfer)))
func (p *Protector) RequireAuthentication(stepUp StepUp) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, ok := TokenFromContext(r.Context())
			if !ok {
				p.WriteError(w, r, server.NewError(server.MissingAuthorization, "The request has no 'Authorization' header."))
				return
			}
			how := server.AuthenticationOf(token.Token.GetAuthorization())
			strong := stepUp.ACRValues == nil || slices.Contains(stepUp.ACRValues, how.ACR)
			recent := stepUp.MaxAge == 0 || how.IsWithin(stepUp.MaxAge, p.config.Clock())
			if !strong || !recent {
				_, err := p.observe(r, func(*http.Request) (*server.StoredToken, error) { return token, stepUp.failure(strong) })
				p.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (s StepUp) failure(strong bool) error {
	failure := server.NewError(server.InsufficientUserAuthentication, "The user has to sign in again, more recently than they did.")
	if !strong {
		failure = server.NewError(server.InsufficientUserAuthentication, "The user has to sign in again, in a stronger way than they did.")
	}
	failure.Parameters = make(map[string]string)
	if s.ACRValues != nil {
		failure.Parameters["acr_values"] = strings.Join(s.ACRValues, " ")
	}
	if s.MaxAge != 0 {
		failure.Parameters["max_age"] = strconv.Itoa(int(s.MaxAge / time.Second))
	}
	return failure
}
