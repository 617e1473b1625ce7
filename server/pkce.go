package server

import (
	"cmp"
	"fmt"

	"github.com/gormoauth/gormoauth/models"
)

// PKCE says which requests for an authorization code must have a 'code_challenge'
// (RFC 7636). It holds for every grant that gives codes, and for pushed requests and
// request objects as well. Whatever it says, a public client always needs a challenge
// (RFC 9700 section 2.1.1), and so does every client under a profile such as FAPI 2.0.
type PKCE string

const (
	// PKCEWithNonce lets a confidential client leave the challenge out of an OpenID
	// Connect request that has a 'nonce', which protects the code as well (OAuth 2.1
	// section 7.5.1). It is the default.
	PKCEWithNonce PKCE = "with-nonce"
	// PKCERequired wants a challenge in every request.
	PKCERequired PKCE = "required"
	// PKCEOptional lets a confidential client leave the challenge out of any request.
	PKCEOptional PKCE = "optional"
)

// PKCEClient is for a model of clients that has a rule of its own, such as a column
// for clients that cannot change any more, or for those of which more is wanted.
type PKCEClient interface {
	// GetPKCE returns the client's rule, or nothing for that of Config.PKCE.
	GetPKCE() PKCE
}

// IDTokenHook says for which requests there are ID tokens, in which a client finds
// its 'nonce' again.
type IDTokenHook interface {
	// IssuesIDTokens reports whether a request with the scope is answered with one.
	IssuesIDTokens(scope string) bool
}

// CodeChallengeHook is for a profile under which every client needs a challenge.
type CodeChallengeHook interface {
	// RequiresCodeChallenge reports whether every client does, whatever Config.PKCE
	// and the client's model say.
	RequiresCodeChallenge() bool
}

func (p PKCE) check() error {
	switch p {
	case "", PKCEWithNonce, PKCERequired, PKCEOptional:
		return nil
	default:
		return fmt.Errorf("PKCE is %q: write server.PKCERequired, server.PKCEWithNonce or server.PKCEOptional", string(p))
	}
}

// NeedsCodeChallenge reports whether a client needs a 'code_challenge' for a code of
// the scope, by Config.PKCE and by the client's own rule. nonce is that of the
// request.
func (s *Server) NeedsCodeChallenge(client Client, scope, nonce string) bool {
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
	default: // also for what a model's column holds by mistake
		return true
	}
}

func requiresCodeChallenge(hook any) bool {
	h, ok := hook.(CodeChallengeHook)
	return ok && h.RequiresCodeChallenge()
}
