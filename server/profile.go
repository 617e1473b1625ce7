package server

import (
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Profile is a security profile: rules that hold wherever something is checked. The
// same value is given to the server, as Config.Profile, and to each of its APIs, as
// resource.Config.Profile. fapi.SecurityProfile is one.
type Profile interface {
	// SignatureAlgorithms are those by which anything may be signed: what is verified,
	// such as assertions, proofs and request objects, and what the server signs.
	SignatureAlgorithms() []jose.SignatureAlgorithm
	// RequiresBoundTokens reports whether an API takes tokens alone that are bound to a
	// key or a certificate of the client's.
	RequiresBoundTokens() bool
}

// CheckAlgorithms returns an error that names the setting when it has an algorithm
// that the profile does not have. nil is no profile, and has [SignatureAlgorithms]. A
// [ConfigChecker] calls it with Config.Profile.
func CheckAlgorithms(profile Profile, setting string, algorithms ...jose.SignatureAlgorithm) error {
	allowed := algorithmsOf(profile)
	for _, algorithm := range algorithms {
		if !slices.Contains(allowed, algorithm) {
			return fmt.Errorf("%s: %q is none of %v", setting, algorithm, allowed)
		}
	}
	return nil
}

// SignatureAlgorithms returns the algorithms of a setting or, where that is nil, those
// of Config.Profile, or else [SignatureAlgorithms].
func (s *Server) SignatureAlgorithms(setting []jose.SignatureAlgorithm) []jose.SignatureAlgorithm {
	if setting != nil {
		return setting
	}
	return algorithmsOf(s.config.Profile)
}

// Profile returns the configured security profile, nil when there is none.
func (s *Server) Profile() Profile { return s.config.Profile }

func algorithmsOf(profile Profile) []jose.SignatureAlgorithm {
	if profile == nil {
		return SignatureAlgorithms()
	}
	return profile.SignatureAlgorithms()
}
