package server

import (
	"cmp"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Names of the two endpoints that a server has in addition to those that are
// registered.
const (
	authorizationEndpoint = "authorization"
	tokenEndpoint         = "token"
)

const wellKnown = "/.well-known/"

// EndpointURL returns the URL of an endpoint by its name, including "authorization" and "token".
// It returns "" if there is no such endpoint.
func (s *Server) EndpointURL(name string) string {
	path := s.endpointPath(name)
	_, below := s.endpoints[name].(BelowIssuer)
	if below || !strings.HasPrefix(path, wellKnown) {
		return s.below(path)
	}
	issuer := s.issuerURL()
	return issuer.Scheme + "://" + issuer.Host + path + s.issuerPath()
}

// PageURL returns the URL of one of the program's own pages, below the issuer: at the path that
// Config.EndpointPaths has for the name, or otherwise at the path usual.
func (s *Server) PageURL(name, usual string) string {
	return s.below(cmp.Or(s.config.EndpointPaths[name], usual))
}

// below returns the URL of a path below the issuer, or "" if path is empty.
func (s *Server) below(path string) string {
	if path == "" {
		return ""
	}
	return strings.TrimSuffix(s.config.Issuer, "/") + path
}

// issuerURL returns the issuer as a URL, the empty URL before it is checked.
func (s *Server) issuerURL() *url.URL {
	issuer, err := url.Parse(s.config.Issuer)
	if err != nil {
		return new(url.URL)
	}
	return issuer
}

// issuerPath returns the issuer's path without a trailing slash, "" if it has none.
func (s *Server) issuerPath() string { return strings.TrimSuffix(s.issuerURL().EscapedPath(), "/") }

func (s *Server) endpointPath(name string) string {
	path := s.config.EndpointPaths[name]
	switch name {
	case authorizationEndpoint:
		if slices.ContainsFunc(s.answered(), func(a answered) bool { return a.responseTypes != nil }) {
			return cmp.Or(path, "/oauth/authorize")
		}
		return ""
	case tokenEndpoint:
		if slices.ContainsFunc(s.answered(), func(a answered) bool { return a.grantType != "" }) {
			return cmp.Or(path, "/oauth/token")
		}
		return ""
	}
	if endpoint, ok := s.endpoints[name]; ok {
		return cmp.Or(path, endpoint.EndpointPath())
	}
	return ""
}

// Routes returns the paths of everything that is registered, each with its handler, except the
// authorization endpoint, whose page is the program's:
//
//	for path, handler := range srv.Routes() {
//		mux.Handle(path, handler)
//	}
//
// If the issuer has a path, every route is returned both with and without it, because a proxy,
// [http.StripPrefix] or a router's group may have removed it. Paths contain no patterns, and each
// handler answers every method.
func (s *Server) Routes() iter.Seq2[string, http.Handler] {
	return func(yield func(string, http.Handler) bool) {
		names := slices.Sorted(maps.Keys(s.endpoints))
		for _, name := range append(names, tokenEndpoint) {
			handler := s.EndpointHandler(name)
			if name == tokenEndpoint {
				handler = s.CreateTokenResponse
			}
			for _, path := range s.pathsOf(name) {
				if !yield(path, handler) {
					return
				}
			}
		}
	}
}

// pathsOf returns the paths at which requests to an endpoint may arrive: that of its URL, and the
// same without the issuer's path, which may have been removed.
func (s *Server) pathsOf(name string) []string {
	u, err := url.Parse(s.EndpointURL(name))
	if err != nil || u.Path == "" {
		return nil
	}
	if stripped := s.endpointPath(name); stripped != u.Path && strings.HasSuffix(u.Path, stripped) {
		return []string{u.Path, stripped}
	}
	return []string{u.Path}
}

// answered is a registered grant, with the grant type and response types that it answers and no
// later registration has taken over.
type answered struct {
	registration
	grantType     string   // empty if it answers none
	responseTypes []string // nil if it answers none
}

// answered returns the grants that answer at least one grant type or response type.
func (s *Server) answered() (all []answered) {
	taken := make(map[string]bool)
	take := func(kind, name string) bool {
		key := kind + strings.Join(sorted(name), " ")
		free := !taken[key]
		taken[key] = true
		return free
	}
	for _, r := range s.grants { // the latest comes first
		a := answered{registration: r}
		if grant, ok := r.grant.(TokenGrant); ok && take("grant_type ", grant.GrantType()) {
			a.grantType = grant.GrantType()
		}
		if grant, ok := r.grant.(AuthorizationGrant); ok {
			for _, responseType := range grant.ResponseTypes() {
				if take("response_type ", responseType) {
					a.responseTypes = append(a.responseTypes, responseType)
				}
			}
		}
		if a.grantType != "" || a.responseTypes != nil {
			all = append(all, a)
		}
	}
	return all
}

// registered returns every value that takes part in the server as it is now: the grants that
// answer something, with their extensions, the server's own extensions, the client authentication
// methods and the endpoints.
func (s *Server) registered() (all []any) {
	for _, a := range s.answered() {
		all = append(all, a.extensions...) // the grant is the first of them
	}
	all = append(all, s.extensions...)
	for _, method := range s.methods {
		all = append(all, method)
	}
	for _, name := range slices.Sorted(maps.Keys(s.endpoints)) {
		all = append(all, s.endpoints[name])
	}
	return all
}
