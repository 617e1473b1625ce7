package grant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// CodeChallenge is Proof Key for Code Exchange (RFC 7636), an extension of
// [AuthorizationCode]. The zero value demands it of every client, by S256.
type CodeChallenge struct {
	// OptionalForConfidentialClients lets a client that has a secret do
	// without. A public client never may (RFC 9700 section 2.1.1).
	OptionalForConfidentialClients bool
	// AllowPlain accepts the method "plain", which protects nothing from
	// someone who can read the authorization request.
	AllowPlain bool
}

const (
	methodS256  = "S256"
	methodPlain = "plain"
)

// PrepareMetadata names the methods.
func (c CodeChallenge) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("code_challenge_methods_supported", methodS256)
	if c.AllowPlain {
		metadata.Add("code_challenge_methods_supported", methodPlain)
	}
}

// Diagnose finds that "plain" is accepted.
func (c CodeChallenge) Diagnose(context.Context, *server.Server) server.Findings {
	if !c.AllowPlain {
		return nil
	}
	return server.Findings{{
		Check: "code_challenge", Severity: server.Warning, Where: "grant.CodeChallenge.AllowPlain", Problem: "is on",
		Consequence: "whoever can read an authorization request of a client that uses it can redeem its code",
		Remedy:      "leave it out, once no client needs it",
	}}
}

// CheckAuthorizationRequest refuses a request without a challenge, or with one
// that could not be verified.
func (c CodeChallenge) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	challenge := req.Params.Get("code_challenge")
	if challenge == "" {
		if req.Params.Has("code_challenge_method") {
			return server.NewError(server.InvalidRequest, "The request has a 'code_challenge_method' but no 'code_challenge'.")
		}
		if c.OptionalForConfidentialClients && !req.Client.CheckEndpointAuthMethod(models.None, "token") {
			return nil
		}
		return server.NewError(server.InvalidRequest, "The request has no 'code_challenge' (RFC 7636).")
	}
	switch method := challengeMethod(req); {
	case method != methodS256 && method != methodPlain:
		return server.NewError(server.InvalidRequest, "The 'code_challenge_method' is not S256.")
	case method == methodPlain && !c.AllowPlain:
		return server.NewError(server.InvalidRequest, "The 'code_challenge_method' must be S256; the default, plain, is not allowed here.")
	case !wellFormedVerifier(challenge), method == methodS256 && len(challenge) != 43:
		return server.NewError(server.InvalidRequest, "The 'code_challenge' is malformed.")
	}
	return nil
}

// PrepareAuthorizationCode keeps the challenge with the code.
func (CodeChallenge) PrepareAuthorizationCode(_ context.Context, req *server.Request, record *models.AuthorizationCodeMixin) error {
	if record.CodeChallenge = req.Params.Get("code_challenge"); record.CodeChallenge != "" {
		record.CodeChallengeMethod = challengeMethod(req)
	}
	return nil
}

// CheckIssuance compares the verifier with the challenge. A verifier for a
// code that was requested without a challenge is refused, too: somebody may
// have stripped it (RFC 9700 section 4.8.2).
func (CodeChallenge) CheckIssuance(_ context.Context, req *server.Request, issuance *server.Issuance) error {
	if issuance.Credential == nil {
		return nil
	}
	code, ok := issuance.Credential.Record.(server.AuthorizationCode)
	if !ok {
		return nil
	}
	challenge, verifier := code.GetCodeChallenge(), req.Params.Get("code_verifier")
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return server.NewError(server.InvalidRequest, "The request has a 'code_verifier', but the authorization request had no 'code_challenge'.")
	case verifier == "":
		return server.NewError(server.InvalidRequest, "The request has no 'code_verifier'.")
	case !wellFormedVerifier(verifier):
		return server.NewError(server.InvalidRequest, "The 'code_verifier' is malformed.")
	case !matches(code.GetCodeChallengeMethod(), challenge, verifier):
		return server.NewError(server.InvalidGrant, "The 'code_verifier' is not that of the 'code_challenge'.")
	}
	return nil
}

// challengeMethod returns the request's method, whose default is plain (RFC
// 7636 section 4.3).
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

// wellFormedVerifier holds a verifier to RFC 7636 section 4.1.
func wellFormedVerifier(s string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, unreserved) == ""
}
