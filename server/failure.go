package server

import (
	"errors"
	"net/http"
	"net/url"
)

// failure is an [*Error] as the answer to a request: who gets it, and whether it has been logged.
// The engine keeps it around the error, which itself knows nothing of the request.
type failure struct {
	answer *Error
	of     *Request // nil if the request was not read
	way    way
	logged bool
}

// way is how an error reaches whoever is to know of it.
type way int

const (
	toCaller      way = iota // in the response, to the program that sent the request
	toUser                   // shown to the user
	toUserOnly               // shown to the user, and never sent to a client
	toUserAndLink            // shown to the user, with a link that takes it to the client; see mayRedirect
	toRedirectURI            // sent to the request's redirect URI, which was found to be the client's
)

// failureOf returns err as an answer, as far as it is one already.
func failureOf(err error) *failure {
	var known *failure
	if errors.As(err, &known) {
		found := *known
		return &found
	}
	return &failure{answer: AsError(err)}
}

// Error returns the text of the answer.
func (f *failure) Error() string { return f.answer.Error() }

// Unwrap returns the answer.
func (f *failure) Unwrap() error { return f.answer }

// failure returns err as the answer to this request.
func (r *Request) failure(err error) *failure {
	f := failureOf(err)
	f.of = r
	if r.Endpoint == authorizationEndpoint {
		f.way = max(f.way, toUser)
	}
	return f
}

// Failure returns err as an answer that Config.RenderError shows to the user.
func (r *Request) Failure(err error) error {
	f := r.failure(err)
	f.way = max(f.way, toUser)
	return f
}

// stays returns err as an answer that is shown to the user and never sent to a client.
func (r *Request) stays(err error) error {
	f := r.failure(err)
	f.way = toUserOnly
	return f
}

// refused returns the request, as far as it has been read, with err as the answer to it.
func (r *Request) refused(err error) (*Request, error) {
	f := r.failure(err)
	return r, f
}

// status returns the HTTP status of the response.
func (f *failure) status() int {
	if f.way != toRedirectURI {
		return f.answer.Status
	}
	if mode, _, _ := responseMode(f.of); mode == modeFormPost {
		return http.StatusOK
	}
	return http.StatusFound
}

// members are [Error.Members] and, in an authorization response, the request's state.
func (f *failure) members(description string) map[string]string {
	members := f.answer.Members(description)
	if f.of != nil && f.of.Endpoint == authorizationEndpoint && f.of.State != "" {
		members["state"] = f.of.State
	}
	return members
}

// parameters are the members as parameters of a redirect.
func (f *failure) parameters(description string) url.Values {
	values := make(url.Values, 4)
	for name, value := range f.members(description) {
		values.Set(name, value)
	}
	return values
}

// endsSignIn reports whether the error goes to the client of a request that the user had signed
// in for. The sign-in must not count for the same request on another day.
func (f *failure) endsSignIn() bool {
	if f.way != toRedirectURI && f.way != toUserAndLink || f.answer.cause != nil {
		return false
	}
	signedInFor := f.of.Authentication.ReturnTo
	return signedInFor != "" && signedInFor == f.of.returnTo()
}

// RedirectURI returns the redirect URI that [Server.WriteError] sends an error to, or "" if the
// error is shown to the user or is not one of [Server.GetConsentGrant]. An error is never sent to
// an address that was not found to be the client's.
func (s *Server) RedirectURI(err error) string {
	if f := failureOf(err); f.way == toRedirectURI {
		return f.of.RedirectURI
	}
	return ""
}
