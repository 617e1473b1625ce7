package server

import (
	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server/jwk"
)

// Profile is a security profile: rules that apply wherever something is checked. Pass the same
// value to the server, as Config.Profile, and to each of its APIs, as resource.Config.Profile.
// fapi.SecurityProfile is one.
type Profile interface {
	// SignatureAlgorithms returns the algorithms allowed for all signatures: those that are
	// verified, on assertions, proofs and request objects, and those that the server makes.
	SignatureAlgorithms() []jose.SignatureAlgorithm
	// RequiresBoundTokens reports whether an API only accepts tokens that are bound to a key or a
	// certificate of the client.
	RequiresBoundTokens() bool
}

// SignatureAlgorithms returns the algorithms of a setting. If that is nil, it returns those of
// Config.Profile or, without a profile, [jwk.SignatureAlgorithms].
func (s *Server) SignatureAlgorithms(setting []jose.SignatureAlgorithm) []jose.SignatureAlgorithm {
	if setting != nil {
		return setting
	}
	return jwk.AllowedAlgorithms(s.config.Profile)
}

// Profile returns the configured security profile, nil if there is none.
func (s *Server) Profile() Profile { return s.config.Profile }
