package resource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// BearerTokenValidator validates bearer tokens (RFC 6750) that are stored in a database,
// with one query per request, and none for a malformed token.
type BearerTokenValidator struct {
	// QueryToken finds an access token.
	QueryToken storage.QueryTokenFunc
	// Issuers are the issuers whose tokens are accepted, if several share one table. nil
	// accepts all. A token of an older release has no issuer and is accepted.
	Issuers []string
	// ClientCertificates returns the certificates that the client presented, for tokens
	// bound to one (RFC 8705). nil uses those of the TLS connection.
	ClientCertificates forwarded.CertificatesFunc
}

// TokenType returns "Bearer".
func (*BearerTokenValidator) TokenType() string { return "Bearer" }

// check returns an error if QueryToken is missing. It is not exported, since a program's
// validator that embeds this one, and finds tokens in another way, would inherit it.
func (v *BearerTokenValidator) check() error {
	if v.QueryToken == nil {
		return errors.New("resource: BearerTokenValidator.QueryToken is missing: write gormoauth.CreateBearerTokenValidator[Token](db)")
	}
	return nil
}

// AuthenticateToken finds the token by its digest, or returns nil if there is none.
func (v *BearerTokenValidator) AuthenticateToken(ctx context.Context, text string) (*storage.StoredToken, error) {
	if secret.Malformed(text, secret.AccessToken) {
		return nil, errUnknownToken().Because("the token is malformed, or a different kind of secret")
	}
	token, err := v.QueryToken(ctx, storage.TokenQuery{AccessToken: secret.Digest(text)})
	if err != nil {
		return nil, fmt.Errorf("query token: %w", err)
	}
	if token != nil && v.Issuers != nil {
		if authorization := token.Token.GetAuthorization(); authorization.Issuer != "" && !slices.Contains(v.Issuers, authorization.Issuer) {
			return nil, errUnknownToken().BecauseOf(storage.NotIssued(authorization))
		}
	}
	return token, nil
}

// ValidateToken refuses a token that is unknown, of a different type, revoked or expired,
// that lacks scope, or that is bound to a certificate that the client did not present (RFC
// 8705 section 3).
func (v *BearerTokenValidator) ValidateToken(token *storage.StoredToken, scopes []string, r *http.Request, now time.Time) error {
	if err := validate(token, v.TokenType(), scopes, now); err != nil {
		return err
	}
	confirmation := token.Token.GetConfirmation()
	if confirmation == "" {
		return nil
	}
	certificates := v.ClientCertificates.Of(r)
	if len(certificates) == 0 || cnf.OfCertificate(certificates[0]) != confirmation {
		return server.NewError(server.InvalidToken, "The access token is bound to a key, but the request does not prove possession of that key.").
			Because(map[bool]string{true: "the request came without a client certificate", false: "the token is bound to another certificate or key"}[len(certificates) == 0])
	}
	return nil
}

// validate makes the checks that apply to tokens of all types.
func validate(token *storage.StoredToken, tokenType string, scopes []string, now time.Time) error {
	switch {
	case token == nil:
		return errUnknownToken()
	case !strings.EqualFold(token.Token.GetTokenType(), tokenType):
		return errUnknownToken().Because("the token has a different type", slog.String("token_type", token.Token.GetTokenType()), slog.String("scheme", tokenType))
	case token.Token.IsRevoked():
		return server.NewError(server.InvalidToken, "The access token was revoked.")
	case token.Token.IsExpired(now):
		return server.NewError(server.InvalidToken, "The access token has expired.")
	}
	if !HasScope(token.Token.GetScope(), scopes) {
		failure := server.NewError(server.InsufficientScope, "The access token does not have the required scope.").With(slog.String("needed_scope", strings.Join(scopes, " or ")))
		failure.Scope = scopes[0]
		return failure
	}
	return nil
}

func errUnknownToken() *server.Error {
	return server.NewError(server.InvalidToken, "The access token is unknown.")
}

// HasScope reports whether a scope has every value of at least one of the alternatives.
// Without alternatives it returns true.
func HasScope(scope string, alternatives []string) bool {
	return len(alternatives) == 0 || slices.ContainsFunc(alternatives, func(alternative string) bool {
		return wordlist.Without(alternative, scope) == ""
	})
}
