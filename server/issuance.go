package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Issuance is what a grant asks the engine to issue. For every grant the engine then checks the
// client, the scope, the binding of the credential and the user.
type Issuance struct {
	// Credential is what is exchanged, nil if the request itself is the grant, as with
	// client_credentials.
	Credential *Credential
	// User is the resource owner, if the grant itself determined it. Otherwise it is the
	// credential's user, if there is one.
	User storage.User
	// Scope is the scope of the access token.
	Scope string
	// NoDefaultScope keeps an empty Scope empty. Set it if the request exchanges something whose
	// scope is the most that the token may have. Otherwise an empty Scope becomes the client's
	// default.
	NoDefaultScope bool
	// Audience is the resources of the token, space separated, if the grant itself determines
	// them.
	Audience string
	// Actor is who acts for the user with the token, as JSON (RFC 8693 "act"), empty if only the
	// client does.
	Actor string
	// ExpiresAt is the latest time at which the token expires, in Unix seconds; 0 means no limit
	// beyond its lifetime.
	ExpiresAt int64
	// Confirmations are keys that the request must prove possession of, as JSON (RFC 7800 "cnf"):
	// those that the exchanged but not spent tokens are bound to.
	Confirmations []string
	// GrantID is the grant that the token belongs to and ends with, if there is one without a
	// credential.
	GrantID string
	// RefreshToken reports whether the grant may have a refresh token.
	RefreshToken bool
}

// IssueToken issues a token for a grant at the authorization endpoint, with the same checks as at
// the token endpoint.
func (r *Request) IssueToken(ctx context.Context, grantType string, issuance *Issuance) (*TokenResponse, error) {
	r.GrantType = grantType
	if err := checkGrantType(r); err != nil {
		return nil, err
	}
	return r.Server.exchange(ctx, r, func() (*Issuance, error) { return issuance, nil })
}

// exchange issues what a grant prepares. If another request spent the refresh token first, it may
// have been the same client in another tab, so the request is prepared once more.
func (s *Server) exchange(ctx context.Context, req *Request, prepare func() (*Issuance, error)) (*TokenResponse, error) {
	for last := false; ; last = true {
		issuance, err := prepare()
		if err == nil && issuance == nil {
			err = fmt.Errorf("server: the grant %q prepared no issuance and no error", req.GrantType)
		}
		if err != nil {
			return nil, err
		}
		response, err := s.issue(ctx, req, issuance)
		if errors.Is(err, storage.ErrSpent) && req.Subject != nil {
			return nil, NewError(InvalidRequest, "The 'subject_token' was revoked.")
		}
		if !errors.Is(err, storage.ErrSpent) || req.Credential == nil {
			return response, err
		}
		if _, derives := s.derives(req.Credential); last || !derives {
			return nil, s.revokeReused(ctx, req)
		}
	}
}

// issue is the only way in which tokens are issued.
func (s *Server) issue(ctx context.Context, req *Request, issuance *Issuance) (*TokenResponse, error) {
	if err := s.checkIssuance(ctx, req, issuance); err != nil {
		return nil, err
	}
	if issuance.Credential != nil && issuance.Credential.Spent {
		return s.repeat(ctx, req, issuance)
	}
	record, err := s.prepareRecord(ctx, req, issuance)
	if err != nil {
		return nil, err
	}
	s.noteRotation(req, record)
	response, err := s.generate(ctx, req, issuance, record)
	if err != nil {
		return nil, err
	}
	if err := s.completeResponse(ctx, req, record, response); err != nil {
		return nil, err
	}
	return response, s.save(ctx, req, exchangeOf(req, record))
}

// prepareRecord returns the token's row, without the tokens themselves.
func (s *Server) prepareRecord(ctx context.Context, req *Request, issuance *Issuance) (*models.TokenMixin, error) {
	record := s.newRecord(req, issuance)
	return record, each(req, func(hook TokenHook) error { return hook.PrepareToken(ctx, req, record) })
}

// completeResponse lets hooks add to a response before anything is stored.
func (s *Server) completeResponse(ctx context.Context, req *Request, record *models.TokenMixin, response *TokenResponse) error {
	return each(req, func(hook TokenResponseHook) error { return hook.PrepareTokenResponse(ctx, req, record, response) })
}

// save stores a token, and calls the hooks.
func (s *Server) save(ctx context.Context, req *Request, exchange storage.Exchange) error {
	if err := req.StoreOutcome(ctx, func(ctx context.Context) error { return s.config.SaveToken(ctx, exchange) }); err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	tell(req, func(hook TokenIssuedHook) { hook.TokenIssued(ctx, req, exchange.Token) })
	return nil
}

// exchangeOf returns what is to be stored: the token, and what becomes of the credential that the
// request exchanges.
func exchangeOf(req *Request, record *models.TokenMixin) storage.Exchange {
	exchange := storage.Exchange{Kind: storage.ExchangeIssue, Token: record, User: req.User, GrantType: req.GrantType, Time: req.Time}
	switch credential := req.Credential; {
	case credential != nil:
		exchange.Kind, exchange.From, exchange.Presented = storage.ExchangeSpend, credential.Record, credential.Presented.Digest
		if token, refreshes := credential.Record.(storage.Token); refreshes {
			exchange.Kind, exchange.Beside = storage.ExchangeRotate, token.GetAudience() != record.Audience
		}
		if exchange.Kind == storage.ExchangeRotate && record.RefreshToken != nil && *record.RefreshToken == exchange.Presented {
			exchange.Kind, exchange.Beside = storage.ExchangeKeep, false
		}
	case req.Subject != nil:
		exchange.Kind, exchange.From = storage.ExchangeDescend, req.Subject.Token
	}
	return exchange
}

// newRecord returns the token's row, without the tokens themselves.
func (s *Server) newRecord(req *Request, issuance *Issuance) *models.TokenMixin {
	now := req.Time.Unix()
	record := &models.TokenMixin{
		TokenType: "Bearer",
		Scope:     req.Scope,
		Audience:  req.Audience,
		Actor:     issuance.Actor,
		IssuedAt:  now,
		GrantedAt: now,
		ExpiresIn: int64(s.lifetime(req.GrantType) / time.Second),

		AuthorizationDetails: req.AuthorizationDetails,

		Form:    models.TokenDigest,
		Origin:  models.MadeByGrant,
		TokenID: rand.Text(),
	}
	if req.Subject != nil {
		record.Origin, record.ExchangedFrom = models.MadeByExchange, req.Subject.Token.GetTokenID()
	}
	own, granted := req.NewAuthorization(""), req.Granted
	if credential := issuance.Credential; credential != nil {
		theirs := credential.Authorization
		theirs.ClientID, theirs.LongClientID, theirs.Confirmation, theirs.Issuer = own.ClientID, own.LongClientID, own.Confirmation, own.Issuer
		own, granted = theirs, credential.Granted
	}
	record.SetAuthorization(own)
	record.SetGranted(granted)
	if issuance.ExpiresAt != 0 {
		record.ExpiresIn = max(1, min(record.ExpiresIn, issuance.ExpiresAt-now)) // 0 would mean forever
	}
	return record
}

func (s *Server) lifetime(grantType string) time.Duration {
	if d, ok := s.config.TokenExpiresIn[grantType]; ok {
		return d
	}
	return defaultTokenExpiresIn
}

// generate generates the tokens. Their plaintext is only in the response; the record gets the
// digests.
func (s *Server) generate(ctx context.Context, req *Request, issuance *Issuance, record *models.TokenMixin) (*TokenResponse, error) {
	id, own := rand.Text(), ""
	if _, derives := s.derives(req.Credential); derives {
		id, own = s.accessID(req.Credential.Presented, record.SuccessorSalt), s.derive(req.Credential.Presented, record.SuccessorSalt, secret.AccessToken)
	} else {
		own = secret.Own(s.config.TokenPrefix, secret.AccessToken)
	}
	input := s.tokenInput(req, record, id)
	access, err := s.accessToken(ctx, input, own)
	if err != nil {
		return nil, fmt.Errorf("generate access token: %w", err)
	}
	record.AccessToken = secret.Digest(access)
	record.ExpiresAt = record.IssuedAt + record.ExpiresIn
	response := &TokenResponse{AccessToken: access, TokenType: record.TokenType, ExpiresIn: record.ExpiresIn, Scope: record.Scope, AuthorizationDetails: json.RawMessage(record.AuthorizationDetails)}

	if issuance.GrantID != "" {
		record.GrantID = issuance.GrantID
		return response, nil
	}
	refreshable := issuance.RefreshToken && s.mayRefresh(req.Client)
	if req.User == nil && req.Credential == nil && !refreshable {
		return response, nil // no user granted it, and nothing is derived from it
	}
	grantSecret := grantSecretOf(req.Credential)
	record.GrantID = secret.Digest(grantSecret)
	if !refreshable {
		return response, nil
	}
	if keeps(req.Credential) {
		record.RefreshToken = &req.Credential.Presented.Digest // the client keeps it as well (RFC 6749 section 6)
	} else {
		own, err := s.refreshToken(ctx, input)
		if err != nil {
			return nil, fmt.Errorf("generate refresh token: %w", err)
		}
		response.RefreshToken = secret.Bind(own, grantSecret)
		digest := secret.Digest(response.RefreshToken)
		record.RefreshToken = &digest
	}
	if s.config.RefreshTokenExpiresIn > 0 {
		record.RefreshTokenExpiresAt = record.IssuedAt + int64(s.config.RefreshTokenExpiresIn/time.Second)
		record.ExpiresAt = max(record.ExpiresAt, record.RefreshTokenExpiresAt)
	} else {
		record.ExpiresAt = 0
	}
	return response, nil
}

// keeps reports whether a refresh token is kept instead of rotated.
func keeps(credential *Credential) bool {
	if credential == nil || !credential.Keep || credential.Presented.GrantSecret() == "" { // one from an older program contains no grant
		return false
	}
	_, refreshes := credential.Record.(storage.Token)
	return refreshes
}

// grantSecretOf returns the secret that all credentials of a grant contain, or a new one.
func grantSecretOf(credential *Credential) string {
	if credential != nil && credential.Presented.GrantSecret() != "" {
		return credential.Presented.GrantSecret()
	}
	return rand.Text()
}

// tokenInput returns the input of a token generator.
func (*Server) tokenInput(req *Request, record *models.TokenMixin, id string) TokenInput {
	return TokenInput{Client: req.Client, GrantType: req.GrantType, User: req.User, Scope: req.Scope, Request: req, Record: record, ID: id}
}

// accessToken generates an access token with its generator. Without one it is built from own,
// which cannot be guessed.
func (s *Server) accessToken(ctx context.Context, input TokenInput, own string) (string, error) {
	generator := s.accessTokenGenerator(input)
	if generator == nil {
		return secret.Seal(own), nil
	}
	token, err := generator(ctx, input)
	if err == nil && !isBearerToken(token) {
		err = errors.New("the generator returned something that is not a bearer token (RFC 6750 section 2.1)")
	}
	return token, err
}

// accessTokenGenerator returns the generator of an access token, nil for the built-in one.
func (s *Server) accessTokenGenerator(input TokenInput) TokenGenerator {
	for _, r := range s.resourceGenerators {
		if indicator.Has(strings.Fields(input.Record.Audience), r.resource) {
			return r.generator
		}
	}
	if generator := s.generators[input.GrantType]; generator != nil {
		return generator
	}
	return s.config.AccessTokenGenerator
}

// mayRefresh reports whether the client could use a refresh token.
func (s *Server) mayRefresh(client storage.Client) bool {
	grant, _ := s.tokenGrant("refresh_token")
	return grant != nil && !s.config.NoRefreshTokens && client.CheckGrantType("refresh_token")
}

// isBearerToken reports whether a token is a b64token (RFC 6750 section 2.1).
func isBearerToken(token string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	body := strings.TrimRight(token, "=")
	return body != "" && strings.Trim(body, alphabet) == ""
}
