package server

import (
	"cmp"
	"fmt"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// PKCE says which requests for an authorization code must have a 'code_challenge' (RFC 7636). It
// applies to every grant that issues codes, and to pushed requests and request objects as well.
// Regardless of it, a public client always needs a challenge (RFC 9700 section 2.1.1), and so
// does every client under a profile such as FAPI 2.0.
type PKCE string

const (
	// PKCEWithNonce allows a confidential client to omit the challenge from an OpenID Connect
	// request with a 'nonce', which protects the code as well (OAuth 2.1 section 7.5.1). It is
	// the default.
	PKCEWithNonce PKCE = "with-nonce"
	// PKCERequired requires a challenge in every request.
	PKCERequired PKCE = "required"
	// PKCEOptional allows a confidential client to omit the challenge from any request.
	PKCEOptional PKCE = "optional"
)

// PKCEClient is implemented by a client model with a PKCE rule of its own, such as a column for
// clients that cannot be changed any more, or for clients with stricter requirements.
type PKCEClient interface {
	// GetPKCE returns the client's rule, or "" to use Config.PKCE.
	GetPKCE() PKCE
}

func (p PKCE) check() error {
	switch p {
	case "", PKCEWithNonce, PKCERequired, PKCEOptional:
		return nil
	default:
		return fmt.Errorf("PKCE is %q: write server.PKCERequired, server.PKCEWithNonce or server.PKCEOptional", string(p))
	}
}

// NeedsCodeChallenge reports whether a client needs a 'code_challenge' to get a code with the
// scope, by Config.PKCE and the client's own rule. nonce is the 'nonce' of the request.
func (s *Server) NeedsCodeChallenge(client storage.Client, scope, nonce string) bool {
	if client.CheckEndpointAuthMethod(models.None, tokenEndpoint) || s.anyHook(requiresCodeChallenge) {
		return true
	}
	rule := s.config.PKCE
	if own, ok := client.(PKCEClient); ok {
		rule = cmp.Or(own.GetPKCE(), rule)
	}
	switch rule {
	case PKCEOptional:
		return false
	case "", PKCEWithNonce:
		issues := func(hook any) bool { h, ok := hook.(IDTokenHook); return ok && h.IssuesIDTokens(scope) }
		return nonce == "" || !s.anyHook(issues)
	default: // also for an invalid value in a model's column
		return true
	}
}

func requiresCodeChallenge(hook any) bool {
	h, ok := hook.(CodeChallengeHook)
	return ok && h.RequiresCodeChallenge()
}
