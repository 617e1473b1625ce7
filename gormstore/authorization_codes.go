package gormstore

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// AuthorizationCodeModel is a pointer to a model that embeds
// models.AuthorizationCodeMixin.
type AuthorizationCodeModel[M any] interface {
	*M
	server.AuthorizationCode
	AsAuthorizationCodeMixin() *models.AuthorizationCodeMixin
}

// AuthorizationCodes keeps authorization codes in rows of the program's model
// M. They are redeemed by [Tokens.Save], together with the token that they are
// exchanged for.
type AuthorizationCodes[M any, P AuthorizationCodeModel[M]] struct {
	store   *store
	columns columns
}

// NewAuthorizationCodes returns the store, or what is wrong with the model.
func NewAuthorizationCodes[M any, P AuthorizationCodeModel[M]](db *gorm.DB) (*AuthorizationCodes[M, P], error) {
	s, names, err := newGrantedStore(db, new(M), models.AuthorizationCodeMixin{})
	if err != nil {
		return nil, err
	}
	return &AuthorizationCodes[M, P]{s, names}, nil
}

// Save stores a code; it is a [server.SaveAuthorizationCodeFunc].
func (c *AuthorizationCodes[M, P]) Save(ctx context.Context, record *models.AuthorizationCodeMixin, req *server.Request) error {
	return c.store.act(ctx, eq(c.columns["Code"], record.Code), func(db *gorm.DB) error {
		row := new(M)
		*P(row).AsAuthorizationCodeMixin() = *record
		if err := c.store.userID.set(row, req.User.GetUserID()); err != nil {
			return err
		}
		if _, err := c.store.insert(db, row); err != nil {
			return err
		}
		return c.store.trail.note(db, codeEntry(record, req))
	})
}

func codeEntry(record *models.AuthorizationCodeMixin, req *server.Request) entry {
	return entry{at: req.Time, userID: req.User.GetUserID(), AuditMixin: models.AuditMixin{
		Event: models.AuditAuthorizationGranted, ClientID: record.ClientID, LongClientID: record.LongClientID, GrantID: record.GrantID,
		Scope: record.Scope, Audience: record.Audience, AuthorizationDetails: record.AuthorizationDetails,
	}}
}

// Query finds a code by its digest; it is a [server.QueryAuthorizationCodeFunc].
func (c *AuthorizationCodes[M, P]) Query(ctx context.Context, code string) (*server.StoredAuthorizationCode, error) {
	row := new(M)
	found, err := c.store.find(ctx, row, eq(c.columns["Code"], code))
	if err != nil || !found {
		return nil, err
	}
	return &server.StoredAuthorizationCode{AuthorizationCode: P(row), UserID: c.store.userID.get(row)}, nil
}

// void spends the unredeemed codes that the conditions name, for nothing, and
// returns how many there were.
func (c *AuthorizationCodes[M, P]) void(tx *gorm.DB, now time.Time, conditions ...clause.Expression) (voided int64, err error) {
	return c.store.update(tx, new(M), map[string]any{c.columns["RedeemedAt"]: now.Unix()}, append(conditions, eq(c.columns["RedeemedAt"], 0))...)
}
