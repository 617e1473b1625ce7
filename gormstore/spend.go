package gormstore

import (
	"errors"
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
// Of any number of callers, one wins.
func SpendOnce(tx *gorm.DB, model any, key, value, spentAt string, now time.Time) (won bool, err error) {
	result := tx.Model(model).
		Clauses(clause.Where{Exprs: []clause.Expression{eq(key, value), eq(spentAt, 0)}}).
		Omit(clause.Associations).Updates(map[string]any{spentAt: now.Unix()})
	return result.RowsAffected == 1, result.Error
}

// spend spends whatever a request exchanges.
func spend(tx *gorm.DB, credential *server.Credential, now time.Time) (won bool, err error) {
	switch record := credential.Record.(type) {
	case Spender:
		return record.Spend(tx, now)
	case interface {
		AsAuthorizationCodeMixin() *models.AuthorizationCodeMixin
	}:
		return spendCode(tx, record, credential.Presented.Digest, now)
	default:
		// Never a token for a credential that nobody spends.
		return false, fmt.Errorf("gormstore: the credential %T is neither an authorization code nor a gormstore.Spender", credential.Record)
	}
}

func spendCode(tx *gorm.DB, row any, digest string, now time.Time) (won bool, err error) {
	s, err := newStore(tx, row)
	if err != nil {
		return false, err
	}
	code, spentAt := s.mixinField("AuthorizationCodeMixin", "Code"), s.mixinField("AuthorizationCodeMixin", "RedeemedAt")
	if code == nil || spentAt == nil {
		return false, errors.New("gormstore: " + s.name + " has no columns of models.AuthorizationCodeMixin")
	}
	return SpendOnce(tx, row, code.DBName, digest, spentAt.DBName, now)
}
