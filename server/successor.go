package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A client that refreshes in six tabs at once, or never received the answer to a refresh, is
// left with a refresh token that has been spent. So the tokens of a rotation are not random:
// they are derived, by a keyed hash, from the refresh token that was presented and a random
// salt in the grant's row. A client that presents the token again within
// Config.RefreshTokenGrace and asks for the same gets the same answer; if it asks for another
// part of the grant, it gets the same refresh token with another access token. A thief of
// tokens does not have the salt, and a reader of the database does not have the presented
// token. As soon as the successor has been used, the row holds another digest, and presenting
// the old token is reuse.

// derive returns the own part of a successor. Config.RefreshTokenKey is used instead of the salt if
// it is set.
func (s *Server) derive(presented secret.Presented, salt string, kind secret.Kind) string {
	key := s.config.RefreshTokenKey
	if len(key) == 0 {
		key = []byte(salt)
	}
	return presented.Derive(key, s.config.TokenPrefix, kind)
}

// newSalt returns the salt of a rotation, "" if Config.RefreshTokenKey is used instead.
func (s *Server) newSalt() string {
	if len(s.config.RefreshTokenKey) > 0 {
		return ""
	}
	return rand.Text()
}

func (s *Server) refreshSuccessor(presented secret.Presented, salt string) string {
	return secret.Bind(s.derive(presented, salt, secret.RefreshToken), presented.GrantSecret())
}

// accessID returns the id of the access token of a rotation, such as the "jti" of a JWT.
func (s *Server) accessID(presented secret.Presented, salt string) string {
	own := s.derive(presented, salt, secret.AccessToken)
	return own[len(own)-secret.Length:][:len(rand.Text())]
}

// derives reports whether the successors of a credential are derived. They are random if the
// refresh token was issued by an older program, which put no grant in it, is kept instead of
// rotated, or comes from a generator of the program's own.
func (s *Server) derives(credential *Credential) (storage.Token, bool) {
	if s.config.RefreshTokenGrace <= 0 || credential == nil || credential.Keep || credential.Presented.GrantSecret() == "" || s.given.RefreshTokenGenerator != nil {
		return nil, false
	}
	token, ok := credential.Record.(storage.Token)
	return token, ok
}

// repeats reports whether a spent refresh token was presented again within the grace period, and
// its successor has not been used.
func (s *Server) repeats(req *Request, credential *Credential) bool {
	token, ok := s.derives(credential)
	if !ok || !req.Time.Before(time.Unix(token.GetRotatedAt(), 0).Add(s.config.RefreshTokenGrace)) {
		return false
	}
	if token.GetSuccessorSalt() == "" && len(s.config.RefreshTokenKey) == 0 {
		return false // rotated by an older release, at random
	}
	return token.CheckRefreshToken(secret.Digest(s.refreshSuccessor(credential.Presented, token.GetSuccessorSalt())))
}

// askedFor returns a digest of what a refresh asks for, in any order, and of the key that it
// proves possession of.
func askedFor(req *Request) string {
	scope, resources := strings.Fields(req.Params.Get("scope")), slices.Clone(req.Params["resource"])
	slices.Sort(scope)
	slices.Sort(resources)
	text, _ := json.Marshal([]any{slices.Compact(scope), slices.Compact(resources), req.Params.Get("authorization_details"), req.Authorization.Confirmation}) // strings cannot fail
	return secret.Digest(string(text))
}

// repeat answers a refresh token that was spent a moment ago and whose successor has not been
// used: with the same answer if the request asks for the same, otherwise with the same refresh
// token and another access token.
func (s *Server) repeat(ctx context.Context, req *Request, issuance *Issuance) (*TokenResponse, error) {
	credential := issuance.Credential
	token := credential.Record.(storage.Token)
	if token.GetRefreshedFor() == "" || token.GetRefreshedFor() == askedFor(req) {
		response, err := s.sameAnswer(ctx, req, issuance, token)
		if response != nil || err != nil {
			return response, err
		}
	}
	return s.issueBeside(ctx, req, issuance, token)
}

// sameAnswer generates the access token of a rotation again. It returns nil if the result is not
// the one that was issued then, because it was signed with another key or is random.
func (s *Server) sameAnswer(ctx context.Context, req *Request, issuance *Issuance, token storage.Token) (*TokenResponse, error) {
	credential := issuance.Credential
	if credential.QueryToken == nil {
		return nil, nil
	}
	record, err := s.prepareRecord(ctx, req, issuance)
	if err != nil {
		return nil, err
	}
	record.IssuedAt = token.GetRotatedAt()
	id := s.accessID(credential.Presented, token.GetSuccessorSalt())
	access, err := s.accessToken(ctx, s.tokenInput(req, record, id), s.derive(credential.Presented, token.GetSuccessorSalt(), secret.AccessToken))
	if err != nil {
		return nil, fmt.Errorf("generate access token: %w", err)
	}
	stored, err := credential.QueryToken(ctx, storage.TokenQuery{AccessToken: secret.Digest(access)})
	if err != nil {
		return nil, fmt.Errorf("query token: %w", err)
	}
	if stored == nil || stored.Token.GetGrantID() != token.GetGrantID() {
		return nil, nil
	}
	record.AccessToken, record.Scope, record.GrantID = secret.Digest(access), stored.Token.GetScope(), token.GetGrantID()
	response := &TokenResponse{
		AccessToken:  access,
		RefreshToken: s.refreshSuccessor(credential.Presented, token.GetSuccessorSalt()),
		TokenType:    stored.Token.GetTokenType(),
		ExpiresIn:    stored.Token.GetExpiresIn(),
		Scope:        stored.Token.GetScope(),

		AuthorizationDetails: json.RawMessage(stored.Token.GetAuthorizationDetails()),
	}
	return response, s.completeResponse(ctx, req, record, response)
}

// issueBeside issues another access token for a refresh token that was rotated a moment ago, and
// leaves the rotation unchanged.
func (s *Server) issueBeside(ctx context.Context, req *Request, issuance *Issuance, token storage.Token) (*TokenResponse, error) {
	credential := issuance.Credential
	record, err := s.prepareRecord(ctx, req, issuance)
	if err != nil {
		return nil, err
	}
	access, err := s.accessToken(ctx, s.tokenInput(req, record, rand.Text()), secret.Own(s.config.TokenPrefix, secret.AccessToken))
	if err != nil {
		return nil, fmt.Errorf("generate access token: %w", err)
	}
	refresh := s.refreshSuccessor(credential.Presented, token.GetSuccessorSalt())
	digest := secret.Digest(refresh)
	record.AccessToken, record.GrantID = secret.Digest(access), token.GetGrantID()
	record.RefreshToken, record.RefreshTokenExpiresAt = &digest, token.GetRefreshTokenExpiresAt()
	record.ExpiresAt = record.IssuedAt + record.ExpiresIn
	response := &TokenResponse{
		AccessToken: access, RefreshToken: refresh, TokenType: record.TokenType, ExpiresIn: record.ExpiresIn, Scope: record.Scope,
		AuthorizationDetails: json.RawMessage(record.AuthorizationDetails),
	}
	if err := s.completeResponse(ctx, req, record, response); err != nil {
		return nil, err
	}
	exchange := storage.Exchange{Kind: storage.ExchangeKeep, Again: true, From: token, Presented: digest, Token: record, User: req.User, GrantType: req.GrantType, Time: req.Time}
	return response, s.save(ctx, req, exchange)
}

// refreshToken returns the own part of a refresh token.
func (s *Server) refreshToken(ctx context.Context, input TokenInput) (string, error) {
	if credential := input.Request.Credential; credential != nil {
		if _, derives := s.derives(credential); derives {
			return s.derive(credential.Presented, input.Record.SuccessorSalt, secret.RefreshToken), nil
		}
	}
	own, err := s.config.RefreshTokenGenerator(ctx, input)
	if err == nil && own == "" {
		err = errors.New("the generator returned an empty token")
	}
	return own, err
}

// noteRotation records what the successors are derived from, if they are derived.
func (s *Server) noteRotation(req *Request, record *models.TokenMixin) {
	if _, derives := s.derives(req.Credential); derives {
		record.SuccessorSalt, record.RefreshedFor = s.newSalt(), askedFor(req)
	}
}
