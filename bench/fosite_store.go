package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// fositeStore is an ordinary GORM store for fosite: every kind of session in a
// table that is looked up by its primary key, the signature; the request in
// columns, its client loaded by its id; transactions where fosite asks for
// them.
type fositeStore struct{ db *gorm.DB }

type fositeClient struct {
	ID     string `gorm:"primaryKey"`
	Secret []byte
}

type fositeSession struct {
	Kind        string `gorm:"primaryKey"`
	Signature   string `gorm:"primaryKey"`
	RequestID   string `gorm:"index"`
	ClientID    string
	RequestedAt time.Time
	Scope       string
	Granted     string
	Form        string
	Session     string
	Active      bool
}

const (
	kindCode    = "code"
	kindPKCE    = "pkce"
	kindAccess  = "access"
	kindRefresh = "refresh"
)

func newFositeStore(db *gorm.DB, secretHash []byte) (*fositeStore, error) {
	if err := db.AutoMigrate(&fositeClient{}, &fositeSession{}); err != nil {
		return nil, err
	}
	return &fositeStore{db}, db.Clauses(clause.OnConflict{DoNothing: true}).Create(&fositeClient{clientID, secretHash}).Error
}

type transactionKey struct{}

func (s *fositeStore) conn(ctx context.Context) *gorm.DB {
	if tx, ok := ctx.Value(transactionKey{}).(*gorm.DB); ok {
		return tx.WithContext(ctx)
	}
	return s.db.WithContext(ctx)
}

// BeginTX begins a transaction, which travels in the context.
func (s *fositeStore) BeginTX(ctx context.Context) (context.Context, error) {
	tx := s.db.WithContext(ctx).Begin()
	return context.WithValue(ctx, transactionKey{}, tx), tx.Error
}

// Commit commits it.
func (s *fositeStore) Commit(ctx context.Context) error {
	return ctx.Value(transactionKey{}).(*gorm.DB).Commit().Error
}

// Rollback rolls it back.
func (s *fositeStore) Rollback(ctx context.Context) error {
	return ctx.Value(transactionKey{}).(*gorm.DB).Rollback().Error
}

// GetClient loads a client.
func (s *fositeStore) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	var row fositeClient
	result := s.conn(ctx).Where("id = ?", id).Limit(1).Find(&row)
	if result.Error != nil {
		return nil, result.Error
	}
	if result.RowsAffected == 0 {
		return nil, fosite.ErrNotFound
	}
	return &fosite.DefaultClient{
		ID: row.ID, Secret: row.Secret, RedirectURIs: []string{redirectURI}, ResponseTypes: []string{"code"}, Scopes: []string{"profile"},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
	}, nil
}

// ClientAssertionJWTValid is not needed here.
func (*fositeStore) ClientAssertionJWTValid(context.Context, string) error { return nil }

// SetClientAssertionJWT is not needed here.
func (*fositeStore) SetClientAssertionJWT(context.Context, string, time.Time) error { return nil }

func (s *fositeStore) create(ctx context.Context, kind, signature string, request fosite.Requester) error {
	session, err := json.Marshal(request.GetSession())
	if err != nil {
		return err
	}
	return s.conn(ctx).Create(&fositeSession{
		Kind: kind, Signature: signature, RequestID: request.GetID(), ClientID: request.GetClient().GetID(), RequestedAt: request.GetRequestedAt(),
		Scope: strings.Join(request.GetRequestedScopes(), " "), Granted: strings.Join(request.GetGrantedScopes(), " "),
		Form: request.GetRequestForm().Encode(), Session: string(session), Active: true,
	}).Error
}

// get returns the request, and with inactive also one that was used.
func (s *fositeStore) get(ctx context.Context, kind, signature string, session fosite.Session, inactive error) (fosite.Requester, error) {
	var row fositeSession
	result := s.conn(ctx).Where("kind = ? AND signature = ?", kind, signature).Limit(1).Find(&row)
	if result.Error != nil {
		return nil, result.Error
	}
	if result.RowsAffected == 0 {
		return nil, fosite.ErrNotFound
	}
	if session != nil {
		if err := json.Unmarshal([]byte(row.Session), session); err != nil {
			return nil, err
		}
	}
	client, err := s.GetClient(ctx, row.ClientID)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(row.Form)
	if err != nil {
		return nil, err
	}
	request := &fosite.Request{ID: row.RequestID, RequestedAt: row.RequestedAt, Client: client, RequestedScope: strings.Fields(row.Scope),
		GrantedScope: strings.Fields(row.Granted), Form: form, Session: session}
	if !row.Active {
		return request, inactive
	}
	return request, nil
}

func (s *fositeStore) delete(ctx context.Context, kind, signature string) error {
	return s.conn(ctx).Where("kind = ? AND signature = ?", kind, signature).Delete(&fositeSession{}).Error
}

func (s *fositeStore) deactivate(ctx context.Context, where string, args ...any) error {
	return s.conn(ctx).Model(&fositeSession{}).Where(where, args...).Update("active", false).Error
}

// CreateAuthorizeCodeSession stores a code.
func (s *fositeStore) CreateAuthorizeCodeSession(ctx context.Context, code string, request fosite.Requester) error {
	return s.create(ctx, kindCode, code, request)
}

// GetAuthorizeCodeSession loads a code.
func (s *fositeStore) GetAuthorizeCodeSession(ctx context.Context, code string, session fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindCode, code, session, fosite.ErrInvalidatedAuthorizeCode)
}

// InvalidateAuthorizeCodeSession marks a code as used.
func (s *fositeStore) InvalidateAuthorizeCodeSession(ctx context.Context, code string) error {
	return s.deactivate(ctx, "kind = ? AND signature = ?", kindCode, code)
}

// CreatePKCERequestSession stores a challenge.
func (s *fositeStore) CreatePKCERequestSession(ctx context.Context, signature string, request fosite.Requester) error {
	return s.create(ctx, kindPKCE, signature, request)
}

// GetPKCERequestSession loads a challenge.
func (s *fositeStore) GetPKCERequestSession(ctx context.Context, signature string, session fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindPKCE, signature, session, fosite.ErrNotFound)
}

// DeletePKCERequestSession removes a challenge.
func (s *fositeStore) DeletePKCERequestSession(ctx context.Context, signature string) error {
	return s.delete(ctx, kindPKCE, signature)
}

// CreateAccessTokenSession stores an access token.
func (s *fositeStore) CreateAccessTokenSession(ctx context.Context, signature string, request fosite.Requester) error {
	return s.create(ctx, kindAccess, signature, request)
}

// GetAccessTokenSession loads an access token.
func (s *fositeStore) GetAccessTokenSession(ctx context.Context, signature string, session fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindAccess, signature, session, fosite.ErrInactiveToken)
}

// DeleteAccessTokenSession removes an access token.
func (s *fositeStore) DeleteAccessTokenSession(ctx context.Context, signature string) error {
	return s.delete(ctx, kindAccess, signature)
}

// CreateRefreshTokenSession stores a refresh token.
func (s *fositeStore) CreateRefreshTokenSession(ctx context.Context, signature, _ string, request fosite.Requester) error {
	return s.create(ctx, kindRefresh, signature, request)
}

// GetRefreshTokenSession loads a refresh token.
func (s *fositeStore) GetRefreshTokenSession(ctx context.Context, signature string, session fosite.Session) (fosite.Requester, error) {
	return s.get(ctx, kindRefresh, signature, session, fosite.ErrInactiveToken)
}

// DeleteRefreshTokenSession removes a refresh token.
func (s *fositeStore) DeleteRefreshTokenSession(ctx context.Context, signature string) error {
	return s.delete(ctx, kindRefresh, signature)
}

// RotateRefreshToken ends a refresh token and its access tokens.
func (s *fositeStore) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	return errors.Join(s.deactivate(ctx, "kind = ? AND signature = ?", kindRefresh, signature), s.RevokeAccessToken(ctx, requestID))
}

// RevokeRefreshToken ends the refresh tokens of a grant.
func (s *fositeStore) RevokeRefreshToken(ctx context.Context, requestID string) error {
	return s.deactivate(ctx, "request_id = ? AND kind = ?", requestID, kindRefresh)
}

// RevokeAccessToken ends the access tokens of a grant.
func (s *fositeStore) RevokeAccessToken(ctx context.Context, requestID string) error {
	return s.conn(ctx).Where("request_id = ? AND kind = ?", requestID, kindAccess).Delete(&fositeSession{}).Error
}
