package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// checkIssuance is the gate. A grant cannot forget one of these checks, because it does not make
// them.
func (s *Server) checkIssuance(ctx context.Context, req *Request, issuance *Issuance) error {
	if req.Endpoint != authorizationEndpoint || issuance.Audience != "" { // where the user has decided on it
		req.Audience = issuance.Audience
	}
	if issuance.Credential != nil {
		if err := s.checkCredential(ctx, req, issuance); err != nil {
			return err
		}
	}
	if err := each(req, func(hook IssuanceHook) error { return hook.CheckIssuance(ctx, req, issuance) }); err != nil {
		return err
	}
	if !provesBinding(req, issuance.Credential) {
		return NewError(InvalidGrant, "The credential is bound to a key, but the request does not prove possession of that key.").With(grantValue(issuance.Credential))
	}
	for _, confirmation := range issuance.Confirmations {
		if confirmation != "" && confirmation != req.Authorization.Confirmation {
			return NewError(InvalidRequest, "A token is bound to a key, but the request does not prove possession of that key.")
		}
	}
	if issuance.User != nil {
		if err := s.checkUser(ctx, req, issuance.User); err != nil {
			return err
		}
	}
	if err := req.checkNotEnded(issuance.Credential); err != nil {
		return err
	}
	return s.checkIssuedScope(req, issuance)
}

// provesBinding reports whether a request proves possession of the key that its credential is
// bound to. A confidential client may change its key, because its refresh token is bound to the
// client; but a bound credential always yields a bound token.
func provesBinding(req *Request, credential *Credential) bool {
	if credential == nil {
		return true
	}
	switch bound := credential.Authorization.Confirmation; {
	case bound == "":
		return true
	case credential.AnyKey:
		return req.Authorization.Confirmation != ""
	default:
		return req.Authorization.Confirmation == bound
	}
}

// checkCredential checks that the credential belongs to this client and redirect URI, and is
// neither spent nor expired.
func (s *Server) checkCredential(ctx context.Context, req *Request, issuance *Issuance) error {
	credential := issuance.Credential
	req.Credential, req.Granted = credential, models.Granted{Scope: req.Scope, Audience: credential.Audience, AuthorizationDetails: credential.AuthorizationDetails}
	if s.config.RevokeGrant == nil {
		return fmt.Errorf("server: Config.RevokeGrant is missing, grant %q needs it", req.GrantType)
	}
	switch {
	case !s.Issued(credential.Authorization):
		return NewError(InvalidGrant, "The credential was not issued by this server.").BecauseOf(storage.NotIssued(credential.Authorization))
	case !credential.Record.CheckClient(req.Client.GetClientID()):
		return NewError(InvalidGrant, "The credential was issued to another client.").With(grantValue(credential))
	case credential.Spent && !s.repeats(req, credential):
		return s.revokeReused(ctx, req)
	case credential.Expired:
		return NewError(InvalidGrant, "The credential has expired or was revoked.").Because(whyEnded(credential), grantValue(credential))
	case !sameRedirectURI(req, credential):
		return NewError(InvalidGrant, "The 'redirect_uri' differs from the one in the authorization request.").With(
			slog.String("redirect_uri", logtext.URI(req.Params.Get("redirect_uri"))), slog.String("requested_redirect_uri", logtext.URI(*credential.RedirectURI)))
	}
	if issuance.User == nil && credential.UserID != "" {
		issuance.User = storage.UserID(credential.UserID)
	}
	return nil
}

// checkNotEnded refuses what was issued before all grants of its user or its client were ended.
func (r *Request) checkNotEnded(credential *Credential) error {
	if credential != nil {
		if ended := r.ended(credential.Authorization); ended != nil {
			return NewError(InvalidGrant, "The credential has expired or was revoked.").BecauseOf(ended)
		}
	}
	if r.Subject != nil {
		if ended := r.ended(r.Subject.Token.GetAuthorization()); ended != nil {
			return NewError(InvalidRequest, "The 'subject_token' was revoked.").BecauseOf(ended)
		}
	}
	return nil
}

// sameRedirectURI compares the redirect_uri of the token request with that of the authorization
// request (RFC 6749 section 4.1.3). If the authorization request had none, the token request may
// still have the one that was used.
func sameRedirectURI(req *Request, credential *Credential) bool {
	if credential.RedirectURI == nil {
		return true
	}
	presented := req.Params.Get("redirect_uri")
	if *credential.RedirectURI == "" {
		return presented == "" || presented == req.Client.GetDefaultRedirectURI()
	}
	return presented == *credential.RedirectURI
}

// checkUser checks that the user may still be served, and sets req.User.
func (s *Server) checkUser(ctx context.Context, req *Request, user storage.User) error {
	if plain, authentication, known := signedIn(user); known {
		user, req.Authentication = plain, authentication
	}
	if user.GetUserID() == "" {
		return fmt.Errorf("server: %T.GetUserID returned an empty id", user)
	}
	known, err := req.queryUser(ctx, user.GetUserID())
	if err != nil {
		return err
	}
	if known == nil {
		return NewError(InvalidGrant, "The resource owner is gone or disabled.").With(slog.String("user", user.GetUserID()))
	}
	if _, bare := user.(storage.UserID); bare {
		user = known
	}
	req.User = user
	return nil
}

// checkIssuedScope sets req.Scope. A granted scope can only become narrower; a scope that a
// client requests for itself must be allowed for it.
func (*Server) checkIssuedScope(req *Request, issuance *Issuance) error {
	switch {
	case issuance.Credential != nil:
		return req.limitScope(issuance.Scope, issuance.Credential.Scope)
	case req.Endpoint == authorizationEndpoint: // the user has seen this scope
		req.Scope = wordlist.Common(cmp.Or(issuance.Scope, req.Scope), req.Scope)
	case issuance.NoDefaultScope && isEmptyScope(issuance.Scope):
		req.Scope = ""
	default:
		if err := req.takeScope(issuance.Scope); err != nil {
			return err
		}
		if issuance.NoDefaultScope { // nor a client's allowed scope that adds words
			req.Scope = wordlist.Common(req.Scope, issuance.Scope)
		}
	}
	return nil
}

// revokeReused ends a grant whose credential was presented a second time: one of the two was
// presented by a thief (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2). The request is answered
// only after that is stored.
func (s *Server) revokeReused(ctx context.Context, req *Request) error {
	if err := req.spend(ctx, isProof); err != nil { // a request that is replayed as a whole ends nothing
		return err
	}
	grantID := req.Credential.Record.GetGrantID()
	req.Reuse = true
	if err := s.config.RevokeGrant(ctx, grantID, req.Time); err != nil {
		return fmt.Errorf("revoke the grant of a reused credential: %w", err)
	}
	req.TokenRevoked(ctx, Revocation{GrantID: grantID, ClientID: req.Client.GetClientID(), UserID: req.Credential.UserID, Reason: RevokedByReuse, Reuse: true})
	failure := NewError(InvalidGrant, "The credential was already used.").Because("the credential was presented again; its grant is revoked", grantValue(req.Credential))
	failure.kind = &ReuseError{GrantID: grantID, Time: req.Time}
	return failure
}

// grantValue returns the grant of a credential as a log value.
func grantValue(credential *Credential) slog.Attr {
	return slog.String("grant", logtext.Grant(credential.Record.GetGrantID()))
}

// whyEnded distinguishes expiry from revocation.
func whyEnded(credential *Credential) string {
	if token, ok := credential.Record.(storage.Token); ok && token.IsRefreshTokenRevoked() {
		return "the grant was revoked"
	}
	return "the credential has expired"
}
