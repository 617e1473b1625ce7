package server

import (
	"slices"
	"strings"
)

// wellFormedScope reports whether every word of a scope is a scope-token
// (RFC 6749 section 3.3): printable ASCII without the quote and the backslash.
func wellFormedScope(scope string) bool {
	for i := range len(scope) {
		if c := scope[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// subset reports whether every word of scope is in whole.
func subset(scope, whole string) bool {
	words := strings.Fields(whole)
	return !slices.ContainsFunc(strings.Fields(scope), func(word string) bool { return !slices.Contains(words, word) })
}

// checkScope returns the scope that a client's own request gets: all of what
// it asks for, or what the client's GetAllowedScope makes of it.
func (s *Server) checkScope(client Client, scope string) (string, error) {
	if !wellFormedScope(scope) {
		return "", NewError(InvalidScope, "The scope has a character that no scope has.")
	}
	for word := range strings.FieldsSeq(scope) {
		if !s.supports(word) {
			return "", NewError(InvalidScope, "The server has no scope '%s'.", word)
		}
	}
	allowed, ok := client.GetAllowedScope(scope)
	if !ok {
		return "", NewError(InvalidScope, "The client may not have all of the scope that it asks for.")
	}
	return keep(allowed, s.supports), nil // a default of the client's own was not asked for
}

// narrowScope returns what is left of a granted scope today: the server or
// the client may have lost some of it since. What the client has gained since
// is no part of it.
func (s *Server) narrowScope(client Client, scope string) string {
	allowed, _ := client.GetAllowedScope(scope)
	return keep(allowed, func(word string) bool { return s.supports(word) && subset(word, scope) })
}

// supports reports whether the server has a scope.
func (s *Server) supports(word string) bool {
	return s.config.ScopesSupported == nil || slices.Contains(s.config.ScopesSupported, word)
}

// keep returns the words of a scope that are wanted.
func keep(scope string, wanted func(word string) bool) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(scope), negate(wanted)), " ")
}
