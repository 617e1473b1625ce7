package gormstore

import (
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/server/storage"
)

// spend marks the credential as spent, which is a code or a single-use row of the
// program's own, and inserts the token that it is exchanged for.
func (t *Tokens) spend(tx *tx, exchange storage.Exchange, row tokenRow) error {
	from, err := t.tableOf(exchange.From)
	if err != nil {
		return err
	}
	marked, err := tx.on(from).updateRow(exchange.From, from.spentValues(exchange.Time), from.unspent(exchange)...)
	switch {
	case err != nil:
		return err
	case marked != 1:
		return storage.ErrSpent
	}
	return t.insert(tx, exchange, row)
}

// spendAtOnce is spend as a single statement.
func (t *Tokens) spendAtOnce(tx *tx, exchange storage.Exchange, row tokenRow) error {
	from, err := t.tableOf(exchange.From)
	if err != nil {
		return err
	}
	marked := from.mark(tx.db.Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true}), exchange)
	if marked.Error != nil {
		return marked.Error
	}
	inserted, err := tx.insert(row, insertIf{marked.Statement})
	if err == nil && inserted == 0 {
		return storage.ErrSpent
	}
	return err
}

// spendsAtOnce reports whether spending and inserting can be one statement: on PostgreSQL,
// if the models have no hooks.
func (t *Tokens) spendsAtOnce(from *Table) bool {
	return t.table.db.Name() == "postgres" && !from.hooksOnUpdate() && !t.table.hooksOnCreate()
}

// mark is the statement that marks the credential as spent unless it already is.
func (t *Table) mark(db *gorm.DB, exchange storage.Exchange) *gorm.DB {
	return where(unconditional(db).Model(exchange.From), t.unspent(exchange)...).
		Omit(clause.Associations).Updates(t.values(t.spentValues(exchange.Time)))
}

// unspent returns the conditions that a credential has not been spent.
func (t *Table) unspent(exchange storage.Exchange) []clause.Expression {
	return []clause.Expression{t.is(t.about.Key, exchange.Presented), t.isZero(t.about.SpentAt)}
}

// spentValues returns the values that a row gets when it is spent, by field.
func (t *Table) spentValues(now time.Time) map[string]any {
	values := map[string]any{t.about.SpentAt: now.Unix()}
	for _, field := range t.about.Unspent {
		values[field] = ""
	}
	return values
}

// tableOf returns the table of a credential that is exchanged for a token. It is an error
// if the credential is not single use, because no token is issued for a credential that
// is not spent. The conditions of the handle of tokens do not apply to it; it was found with
// those of its own store.
func (t *Tokens) tableOf(row storage.CredentialRecord) (*Table, error) {
	if known, ok := t.spent.Load(reflect.TypeOf(row)); ok {
		return known.(*Table), nil
	}
	model, ok := row.(Described)
	if !ok || model.DescribeTable().SpentAt == "" {
		return nil, fmt.Errorf("gormstore: the credential %T is not single use; give it a method DescribeTable that sets SpentAt", row)
	}
	table, err := parse(unconditional(t.table.db), row)
	if err == nil {
		err = table.describe(model)
	}
	if err != nil {
		return nil, err
	}
	t.spent.Store(reflect.TypeOf(row), table)
	return table, nil
}

// void marks the unspent rows that match the conditions as spent without issuing
// anything, and returns how many there were.
func (x *tx) void(now time.Time, conditions ...clause.Expression) (voided int64, err error) {
	spentAt := x.table.about.SpentAt
	return x.update(map[string]any{spentAt: now.Unix()}, append(conditions, x.table.isZero(spentAt))...)
}
