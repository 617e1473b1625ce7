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
	result := spendOnce(tx, model, key, value, spentAt, now)
	return result.RowsAffected == 1, result.Error
}

func spendOnce(tx *gorm.DB, model any, key, value, spentAt string, now time.Time) *gorm.DB {
	return tx.Model(model).
		Clauses(clause.Where{Exprs: []clause.Expression{eq(key, value), eq(spentAt, 0)}}).
		Omit(clause.Associations).Updates(map[string]any{spentAt: now.Unix()})
}

// codeRecord is a row of any model of authorization codes.
type codeRecord interface {
	AsAuthorizationCodeMixin() *models.AuthorizationCodeMixin
}

// spend spends whatever a request exchanges.
func spend(tx *gorm.DB, credential *server.Credential, now time.Time) (won bool, err error) {
	switch record := credential.Record.(type) {
	case Spender:
		return record.Spend(tx, now)
	case codeRecord:
		s, err := newCodeStore(tx, record)
		if err != nil {
			return false, err
		}
		return SpendOnce(tx, record, s.code, credential.Presented.Digest, s.redeemedAt, now)
	default:
		// Never a token for a credential that nobody spends.
		return false, fmt.Errorf("gormstore: the credential %T is neither an authorization code nor a gormstore.Spender", credential.Record)
	}
}

// spendingStatement returns the statement by which a credential would be
// spent, where it can be a part of the one that inserts the token: on
// PostgreSQL, for a code whose model has no hooks. Otherwise it returns nil.
func spendingStatement(db *gorm.DB, credential *server.Credential, now time.Time) (*gorm.Statement, error) {
	record, ok := credential.Record.(codeRecord)
	if _, own := credential.Record.(Spender); own || !ok || db.Name() != "postgres" {
		return nil, nil
	}
	s, err := newCodeStore(db, record)
	if err != nil || s.hooksOnUpdate() {
		return nil, err
	}
	dry := db.Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true})
	result := spendOnce(dry, record, s.code, credential.Presented.Digest, s.redeemedAt, now)
	return result.Statement, result.Error
}

// codeStore is the store of the row of a code, and its columns.
type codeStore struct {
	*store
	code, redeemedAt string
}

func newCodeStore(db *gorm.DB, row any) (*codeStore, error) {
	s, err := newStore(db, row)
	if err != nil {
		return nil, err
	}
	code, redeemedAt := s.mixinField("AuthorizationCodeMixin", "Code"), s.mixinField("AuthorizationCodeMixin", "RedeemedAt")
	if code == nil || redeemedAt == nil {
		return nil, errors.New("gormstore: " + s.name + " has no columns of models.AuthorizationCodeMixin")
	}
	return &codeStore{s, code.DBName, redeemedAt.DBName}, nil
}
