package gormstore

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// AuthorizationCodeModel is a pointer to a model that embeds
// models.AuthorizationCodeMixin.
type AuthorizationCodeModel[M any] interface {
	*M
	codeRow
}

type codeRow interface {
	storage.AuthorizationCode
	Described
	AsAuthorizationCodeMixin() *models.AuthorizationCodeMixin
}

// AuthorizationCodes stores authorization codes in rows of the program's model.
// [Tokens.Save] redeems a code in the same transaction that stores the token it is
// exchanged for.
type AuthorizationCodes struct{ table *Table }

// oldCodeLife is how long a code of an older program is valid, which has no expires_at.
const oldCodeLife = 5 * time.Minute

// NewAuthorizationCodes returns the store, or an error that says what is wrong with the
// model.
func NewAuthorizationCodes[M any, P AuthorizationCodeModel[M]](db *gorm.DB) (*AuthorizationCodes, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	table.alsoExpired = func(before time.Time) clause.Expression {
		return clause.Lt{Column: column(table.column("AuthTime")), Value: before.Add(-oldCodeLife).Unix()}
	}
	return &AuthorizationCodes{table}, nil
}

// Pruned returns the table of codes.
func (c *AuthorizationCodes) Pruned() []*Table { return []*Table{c.table} }

// Erased returns the table of codes.
func (c *AuthorizationCodes) Erased() []*Table { return []*Table{c.table} }

// Save stores a code; it is a [grant.SaveAuthorizationCodeFunc].
func (c *AuthorizationCodes) Save(ctx context.Context, record *models.AuthorizationCodeMixin, req *server.Request) error {
	return c.table.do(ctx, step{outcome: true, own: c.table.is("Code", record.Code), noted: true}, func(tx *tx) error {
		row := c.table.newRow().(codeRow)
		*row.AsAuthorizationCodeMixin() = *record
		if err := c.table.userID.set(row, req.User.GetUserID()); err != nil {
			return err
		}
		if _, err := tx.insert(row); err != nil {
			return err
		}
		return tx.note(codeEntry(record, req))
	})
}

func codeEntry(record *models.AuthorizationCodeMixin, req *server.Request) entry {
	return entry{at: req.Time, userID: req.User.GetUserID(), AuditMixin: models.AuditMixin{
		Event: models.AuditAuthorizationGranted, ClientID: record.ClientID, LongClientID: record.LongClientID, GrantID: record.GrantID,
		Scope: record.Scope, Audience: record.Audience, AuthorizationDetails: record.AuthorizationDetails,
	}}
}

// Query finds a code by its digest; it is a [grant.QueryAuthorizationCodeFunc]. It
// returns nil when there is none.
func (c *AuthorizationCodes) Query(ctx context.Context, code string) (*grant.StoredAuthorizationCode, error) {
	row := c.table.newRow()
	found, err := c.table.find(ctx, row, c.table.is("Code", code))
	if err != nil || !found {
		return nil, err
	}
	return &grant.StoredAuthorizationCode{AuthorizationCode: row.(codeRow), UserID: c.table.userID.get(row)}, nil
}
