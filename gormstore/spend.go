package gormstore

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/server"
)

// spend stores a token and marks what it is exchanged for as spent: a code, or a row of
// the program's own that is single use. On PostgreSQL both are one statement, where the
// models have no hooks.
func (t *Tokens) spend(ctx context.Context, s step, exchange server.Exchange, row tokenRow) error {
	from, err := t.tableOf(exchange.From)
	if err != nil {
		return err
	}
	redeem := t.markAndInsert
	if t.table.db.Name() == "postgres" && !from.hooksOnUpdate() && !t.table.hooksOnCreate() {
		redeem = t.insertIfMarked
	} else {
		s.several = true
	}
	return t.table.do(ctx, s, func(tx *tx) error {
		// What is exchanged is in another table than the handle of tokens is about, and was
		// found by the conditions of its own.
		won, err := redeem(tx, row, func(db *gorm.DB) *gorm.DB {
			return where(unconditional(db).Model(exchange.From), from.is(from.about.Key, exchange.Presented), from.is(from.about.SpentAt, 0)).
				Omit(clause.Associations).Updates(from.values(map[string]any{from.about.SpentAt: exchange.Time.Unix()}))
		})
		if err == nil && won != 1 {
			err = server.ErrSpent
		}
		if err != nil {
			return err
		}
		return tx.note(tokenEntry(exchange))
	})
}

// markAndInsert spends a credential by a statement, and inserts the token by another.
func (t *Tokens) markAndInsert(tx *tx, row tokenRow, mark func(db *gorm.DB) *gorm.DB) (won int64, err error) {
	if marked := mark(tx.db); marked.Error != nil || marked.RowsAffected != 1 {
		return marked.RowsAffected, marked.Error
	}
	return tx.insert(row)
}

// insertIfMarked does both by one statement.
func (t *Tokens) insertIfMarked(tx *tx, row tokenRow, mark func(db *gorm.DB) *gorm.DB) (won int64, err error) {
	update := mark(tx.db.Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true}))
	if update.Error != nil {
		return 0, update.Error
	}
	return tx.insert(row, insertIf{update.Statement})
}

// tableOf returns the table of a row that is exchanged for a token. There is never a
// token for a credential that nobody spends.
func (t *Tokens) tableOf(row server.CredentialRecord) (*Table, error) {
	if known, ok := t.spent.Load(reflect.TypeOf(row)); ok {
		return known.(*Table), nil
	}
	model, ok := row.(Described)
	if !ok || model.DescribeTable().SpentAt == "" {
		return nil, fmt.Errorf("gormstore: the credential %T is not single use; give it a method DescribeTable that names the column SpentAt", row)
	}
	table, err := parse(t.table.db, row)
	if err == nil {
		err = table.describe(model)
	}
	if err != nil {
		return nil, err
	}
	t.spent.Store(reflect.TypeOf(row), table)
	return table, nil
}

// void spends the unspent rows of a single-use table that the conditions name, for
// nothing, and returns how many there were.
func (x *tx) void(now time.Time, conditions ...clause.Expression) (voided int64, err error) {
	spentAt := x.table.about.SpentAt
	return x.update(map[string]any{spentAt: now.Unix()}, append(conditions, x.table.is(spentAt, 0))...)
}
