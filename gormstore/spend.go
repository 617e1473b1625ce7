package gormstore

import (
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// Spender is the row of a credential that a grant of the program's own
// exchanges for a token. Spend runs inside the transaction that inserts the
// token, and reports whether the credential was unspent until now: by the
// number of rows that a conditional update changed, see [SpendOnce].
type Spender interface {
	server.CredentialRecord
	Spend(tx *gorm.DB, now time.Time) (won bool, err error)
}

// SpendOnce marks a row as spent: it sets the column spentAt, which holds 0
// until then, in the row of the model in which the column key has the value.
// Of any number of callers, one wins. Conditions of tx are put in brackets.
func SpendOnce(tx *gorm.DB, model any, key, value, spentAt string, now time.Time) (won bool, err error) {
	result := spendOnce(tx, model, key, value, spentAt, now)
	return result.RowsAffected == 1, result.Error
}

func spendOnce(tx *gorm.DB, model any, key, value, spentAt string, now time.Time) *gorm.DB {
	return where(tx.Model(model), eq(key, value), eq(spentAt, 0)).
		Omit(clause.Associations).Updates(map[string]any{spentAt: now.Unix()})
}

// spend spends whatever a request exchanges.
func spend(tx *gorm.DB, credential *server.Credential, now time.Time) (won bool, err error) {
	// What is exchanged for a token is in another table than the tokens' handle is about,
	// and was found by the conditions of its own.
	tx = unconditional(tx)
	if record, ok := credential.Record.(Spender); ok {
		return record.Spend(tx, now)
	}
	s, err := newSingleUse(tx, credential.Record)
	if err != nil {
		return false, err
	}
	return SpendOnce(tx, credential.Record, s.key, credential.Presented.Digest, s.spentAt, now)
}

// spendingStatement returns the statement by which a credential would be
// spent, where it can be a part of the one that inserts the token: on
// PostgreSQL, for a row whose model has no hooks. Otherwise it returns nil.
func spendingStatement(db *gorm.DB, credential *server.Credential, now time.Time) (*gorm.Statement, error) {
	if _, own := credential.Record.(Spender); own || db.Name() != "postgres" {
		return nil, nil
	}
	s, err := newSingleUse(db, credential.Record)
	if err != nil || s.hooksOnUpdate() {
		return nil, err
	}
	dry := unconditional(db).Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true})
	result := spendOnce(dry, credential.Record, s.key, credential.Presented.Digest, s.spentAt, now)
	return result.Statement, result.Error
}

// singleUse is the store of a row that is spent once, and its columns.
type singleUse struct {
	*store
	key, spentAt string
}

// newSingleUse knows the rows of this package's own stores.
func newSingleUse(db *gorm.DB, row any) (*singleUse, error) {
	var mixin, key, spentAt string
	switch row.(type) {
	case interface {
		AsAuthorizationCodeMixin() *models.AuthorizationCodeMixin
	}:
		mixin, key, spentAt = "AuthorizationCodeMixin", "Code", "RedeemedAt"
	case interface {
		AsDeviceCodeMixin() *models.DeviceCodeMixin
	}:
		mixin, key, spentAt = "DeviceCodeMixin", "DeviceCode", "RedeemedAt"
	default:
		// Never a token for a credential that nobody spends.
		return nil, fmt.Errorf("gormstore: the credential %T is neither a code of this package's nor a gormstore.Spender", row)
	}
	s, err := parse(db, row)
	if err != nil {
		return nil, err
	}
	keyField, spentAtField := s.mixinField(mixin, key), s.mixinField(mixin, spentAt)
	if keyField == nil || spentAtField == nil {
		return nil, fmt.Errorf("gormstore: %s has no columns of models.%s", s.name, mixin)
	}
	return &singleUse{s, keyField.DBName, spentAtField.DBName}, nil
}
