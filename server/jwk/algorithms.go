package jwk

import (
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Profile is a security profile that limits the algorithms of signatures, such as a server.Profile.
type Profile interface {
	// SignatureAlgorithms returns the algorithms that are allowed.
	SignatureAlgorithms() []jose.SignatureAlgorithm
}

// AllowedAlgorithms returns the algorithms that the profile allows. A nil profile allows
// [SignatureAlgorithms].
func AllowedAlgorithms(profile Profile) []jose.SignatureAlgorithm {
	if profile == nil {
		return SignatureAlgorithms()
	}
	return profile.SignatureAlgorithms()
}

// CheckAlgorithms returns an error that names the setting if the profile, which may be nil, does not
// allow one of the algorithms. A server.ConfigChecker calls it with Config.Profile.
func CheckAlgorithms(profile Profile, setting string, algorithms ...jose.SignatureAlgorithm) error {
	allowed := AllowedAlgorithms(profile)
	for _, algorithm := range algorithms {
		if !slices.Contains(allowed, algorithm) {
			return fmt.Errorf("%s: %q is not one of %v", setting, algorithm, allowed)
		}
	}
	return nil
}
