package resource

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// StepUp says how a user must have signed in to use a part of an API (RFC 9470).
type StepUp struct {
	// ACRValues are the authentication context classes of which the sign-in must have
	// achieved one. nil requires none.
	ACRValues []string
	// MaxAge is how long ago the user may have signed in. 0 means no limit.
	MaxAge time.Duration
}

// RequireAuthentication returns middleware to use behind [Protector.Require]: it refuses a
// token whose user did not sign in strongly or recently enough, and tells the client which
// acr_values and max_age to request for a new one.
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
				_, err := p.observe(r, func(*http.Request) (*storage.StoredToken, error) { return token, stepUp.failure(strong) })
				p.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (s StepUp) failure(strong bool) error {
	failure := server.NewError(server.InsufficientUserAuthentication, "The user must sign in again: the last sign-in was too long ago.")
	if !strong {
		failure = server.NewError(server.InsufficientUserAuthentication, "The user must sign in again, with stronger authentication.")
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
