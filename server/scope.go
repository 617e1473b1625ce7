package server

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/server/reason"
)

// openID is the scope that makes a request an OpenID Connect request (Core section 3.1.2.1). A
// client that asks for it cannot do without it, because it expects an ID token.
const openID = "openid"

// takeScope sets the scope that a client's own request gets. Words that the server does not know,
// or that the client may not have, are left out, and the response says what was granted (RFC 6749
// section 3.3, OpenID Connect Core section 3.1.2.1). The client's default is used if the request
// has no scope.
func (r *Request) takeScope(scope string) error {
	if err := checkScopeAlphabet(scope); err != nil {
		return err
	}
	known := r.Server.supported(scope)
	if known == "" && !isEmptyScope(scope) {
		return errNotGiven(scope)
	}
	allowed, ok := r.Client.GetAllowedScope(known)
	given := r.Server.supported(allowed) // the client's default may have words that the server does not know
	switch missing := wordlist.Without(scope, given); {
	case isEmptyScope(scope) && !ok:
		return NewError(InvalidScope, "The request has no 'scope', and the client has no default.")
	case !isEmptyScope(scope) && !ok && missing == "": // the program's model refused what it returned
		return errNotGiven(scope)
	case !isEmptyScope(scope) && (!ok || given == "" || r.Server.config.StrictScope && missing != "" || wordlist.Has(missing, openID)):
		return errNotGiven(missing)
	}
	r.setScope(given, scope)
	return nil
}

// setScope sets the scope that the request gets, and logs which words of the requested scope are
// left out.
func (r *Request) setScope(given, asked string) {
	r.Scope = given
	missing := wordlist.Without(asked, given)
	if missing == "" || missing == r.leftOut {
		return
	}
	r.leftOut = missing
	r.LogRefusal(reason.New("part of the scope is left out: the server does not know it, or the client is not registered for it", slog.String("scope", missing)))
}

func checkScopeAlphabet(scope string) error {
	if !clientrules.IsScope(scope) {
		return NewError(InvalidScope, "The 'scope' contains a character that is not allowed in a scope.").With(slog.String("scope", scope))
	}
	return nil
}

func isEmptyScope(scope string) bool { return strings.Trim(scope, " ") == "" }

func errNotGiven(missing string) error {
	return NewError(InvalidScope, "The client cannot have the scope '%s': the server does not know it, or the client is not registered for it.", named(missing)).With(slog.String("scope", missing))
}

// named returns the words of a well-formed scope for an error description, truncated to a
// readable length.
func named(scope string) string {
	const most = 200
	text := strings.Join(strings.Fields(scope), " ")
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// limitScope sets the part of an earlier granted scope that is still allowed. A request for more
// is refused.
func (r *Request) limitScope(scope, granted string) error {
	if err := checkScopeAlphabet(scope); err != nil {
		return err
	}
	if more := wordlist.Without(scope, granted); more != "" {
		return NewError(InvalidScope, "The scope '%s' exceeds the scope that was granted.", named(more)).With(slog.String("scope", scope), slog.String("granted_scope", granted))
	}
	left := r.narrowScope(scope)
	if left == "" && !isEmptyScope(scope) {
		return errNotGiven(scope)
	}
	r.setScope(left, scope)
	return nil
}

// narrowScope returns what is still allowed of a granted scope: the server or the client may have
// lost part of it since. What the client has gained since is not added.
func (r *Request) narrowScope(scope string) string {
	allowed, _ := r.Client.GetAllowedScope(scope)
	return wordlist.Keep(allowed, func(word string) bool { return r.Server.supports(word) && wordlist.Has(scope, word) })
}

// supports reports whether the server has a scope.
func (s *Server) supports(word string) bool {
	return s.config.ScopesSupported == nil || slices.Contains(s.config.ScopesSupported, word)
}

// supported returns the words of a scope that the server has.
func (s *Server) supported(scope string) string { return wordlist.Keep(scope, s.supports) }
