package gormstore

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Mixins are all that a model may embed.
var Mixins = mixins

// ClassOf names what an error of a database means.
func ClassOf(err error) string {
	return [...]string{otherError: "other", collision: "collision", lostConnection: "lost", refusal: "refusal"}[classOf(err)]
}

// ExaminedRows is how many rows of a table a diagnosis examines.
const ExaminedRows = examinedRows

// IsDuplicate reports whether an error is of a key that another row has.
var IsDuplicate = isDuplicate

// AlreadyExists reports whether an error is of something that MySQL has already.
var AlreadyExists = alreadyExists

// LookBriefly has an ending look up so many rows at once, look so often by an index, and walk
// through a table in windows of so many rows, until restored.
func LookBriefly(rows, looks, window int) (restore func()) {
	a, b, c := lookedUpAtOnce, looksByIndex, windowRows
	lookedUpAtOnce, looksByIndex, windowRows = rows, looks, window
	return func() { lookedUpAtOnce, looksByIndex, windowRows = a, b, c }
}

// SentByTheLibrary returns how many statements of a table that GORM built are sent by the
// library.
func SentByTheLibrary(of Prunable) (lookups, insertions, changes int) {
	for _, t := range of.Pruned() {
		all, _ := t.direct.lookups.of(t.db, t.db.Callback().Query())
		for _, l := range all {
			lookups += min(len(l.query), 1)
		}
		inserts, _ := t.direct.insertions.of(t.db, t.db.Callback().Create())
		for _, i := range inserts {
			insertions += min(len(i.query), 1)
		}
		updates, _ := t.direct.changes.of(t.db, t.db.Callback().Update())
		for _, c := range updates {
			changes += min(len(c.query), 1)
		}
	}
	return lookups, insertions, changes
}

// KeptOf adds so many statements, and returns how many are kept.
func KeptOf(db *gorm.DB, n int) int {
	var s statements[int]
	for i := range n {
		s.add(db, db.Callback().Query(), func() bool { return true }, func() int { return i })
	}
	all, _ := s.of(db, db.Callback().Query())
	return len(all)
}

// IsKind reports whether a change can be made again with other values.
var IsKind = isKind

// ChangeTokens changes columns of tokens. The keys of values are names of fields.
func ChangeTokens(ctx context.Context, tokens *Tokens, values map[string]any, conditions ...clause.Expression) (rows int64, err error) {
	err = tokens.table.do(ctx, step{}, func(tx *tx) error {
		rows, err = tx.update(values, conditions...)
		return err
	})
	return rows, err
}
