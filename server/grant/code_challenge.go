package grant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/storage"
)

// CodeChallenge is Proof Key for Code Exchange (RFC 7636) with S256, an extension of
// [AuthorizationCode]. server.Config.PKCE says which clients must use it.
type CodeChallenge struct {
	// AllowPlain accepts the method "plain", which gives no protection against an attacker
	// who can read the authorization request.
	AllowPlain bool
}

const (
	methodS256  = "S256"
	methodPlain = "plain"
)

// PrepareMetadata adds the supported methods.
func (c CodeChallenge) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("code_challenge_methods_supported", methodS256)
	if c.AllowPlain {
		metadata.Add("code_challenge_methods_supported", methodPlain)
	}
}

// Diagnose reports whether "plain" is accepted, and whether confidential clients may omit
// the challenge.
func (c CodeChallenge) Diagnose(_ context.Context, s *server.Server) (findings finding.List) {
	if c.AllowPlain {
		findings = append(findings, finding.Finding{
			Check: "code_challenge", Severity: finding.Warning, Where: "grant.CodeChallenge.AllowPlain", Problem: "is on",
			Consequence: "an attacker who can read the authorization request of a client that uses it can redeem its code",
			Remedy:      "turn it off once no client needs it",
		})
	}
	if s.GivenConfig().PKCE == server.PKCEOptional {
		findings = append(findings, finding.Finding{
			Check: "pkce", Severity: finding.Hint, Where: "server.Config.PKCE", Problem: "is optional",
			Consequence: "a stolen code of a client that sends neither 'code_challenge' nor 'nonce' can be used in that client",
			Remedy:      "set PKCE: server.PKCEWithNonce, and a separate rule for the clients that support neither (server.PKCEClient)",
		})
	}
	return findings
}

// CheckAuthorizationRequest refuses a request that lacks a required challenge, or whose
// challenge could never be verified.
func (c CodeChallenge) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	challenge := req.Params.Get("code_challenge")
	if challenge == "" {
		if req.Params.Has("code_challenge_method") {
			return server.NewError(server.InvalidRequest, "The request has a 'code_challenge_method' but no 'code_challenge'.")
		}
		if req.Server.NeedsCodeChallenge(req.Client, req.Scope, req.Params.Get("nonce")) {
			return server.NewError(server.InvalidRequest, "The request has no 'code_challenge' (RFC 7636).")
		}
		return nil
	}
	switch method := challengeMethod(req); {
	case method != methodS256 && method != methodPlain:
		return server.NewError(server.InvalidRequest, "The 'code_challenge_method' must be S256.").With(slog.String("code_challenge_method", method))
	case method == methodPlain && !c.AllowPlain:
		return server.NewError(server.InvalidRequest, "The 'code_challenge_method' must be S256; the default, plain, is not allowed here.")
	case method == methodS256 && (!wellFormedVerifier(challenge) || len(challenge) != 43):
		return server.NewError(server.InvalidRequest, "The 'code_challenge' must be the SHA-256 digest of the 'code_verifier', as 43 characters of base64url (RFC 7636 section 4.2).")
	case !wellFormedVerifier(challenge):
		return server.NewError(server.InvalidRequest, "The 'code_challenge' must have 43 to 128 letters, digits, '-', '.', '_' or '~' (RFC 7636 section 4.1).")
	}
	return nil
}

// PrepareAuthorizationCode stores the challenge with the code.
func (CodeChallenge) PrepareAuthorizationCode(_ context.Context, req *server.Request, record *models.AuthorizationCodeMixin) error {
	if record.CodeChallenge = req.Params.Get("code_challenge"); record.CodeChallenge != "" {
		record.CodeChallengeMethod = challengeMethod(req)
	}
	return nil
}

// CheckIssuance compares the verifier with the challenge. A verifier for a code that was
// requested without a challenge is refused too: an attacker may have stripped the challenge
// (RFC 9700 section 4.8.2). So is a code that needs a challenge and has none, whichever
// grant issued it.
func (CodeChallenge) CheckIssuance(_ context.Context, req *server.Request, issuance *server.Issuance) error {
	if issuance.Credential == nil {
		return nil
	}
	code, ok := issuance.Credential.Record.(storage.AuthorizationCode)
	if !ok {
		return nil
	}
	challenge, verifier := code.GetCodeChallenge(), req.Params.Get("code_verifier")
	switch {
	case challenge == "" && verifier == "":
		return checkUnprotected(req, code)
	case challenge == "":
		return server.NewError(server.InvalidRequest, "The request has a 'code_verifier', but the authorization request had no 'code_challenge'.")
	case verifier == "":
		return server.NewError(server.InvalidGrant, "The request has no 'code_verifier', but the 'code' was requested with a 'code_challenge'.")
	case !wellFormedVerifier(verifier):
		return server.NewError(server.InvalidRequest, "The 'code_verifier' must have 43 to 128 letters, digits, '-', '.', '_' or '~' (RFC 7636 section 4.1).")
	case !matches(code.GetCodeChallengeMethod(), challenge, verifier):
		return server.NewError(server.InvalidGrant, "The 'code_verifier' does not match the 'code_challenge'.")
	}
	return nil
}

// checkUnprotected checks a code that was requested without a challenge.
func checkUnprotected(req *server.Request, code storage.AuthorizationCode) error {
	nonce := ""
	if record, ok := code.(interface{ GetNonce() string }); ok {
		nonce = record.GetNonce()
	}
	if req.Server.NeedsCodeChallenge(req.Client, code.GetGranted().Scope, nonce) {
		return server.NewError(server.InvalidGrant, "The 'code' was requested without a 'code_challenge', which this client must send.")
	}
	return nil
}

// challengeMethod returns the request's method, which defaults to plain (RFC 7636 section
// 4.3).
func challengeMethod(req *server.Request) string {
	if method := req.Params.Get("code_challenge_method"); method != "" {
		return method
	}
	return methodPlain
}

func matches(method, challenge, verifier string) bool {
	switch method {
	case methodS256:
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	case methodPlain:
	default:
		return false
	}
	return subtle.ConstantTimeCompare([]byte(challenge), []byte(verifier)) == 1
}

// wellFormedVerifier reports whether s has the syntax of a verifier (RFC 7636 section 4.1).
func wellFormedVerifier(s string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, unreserved) == ""
}
