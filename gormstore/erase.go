package gormstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

const eraseBatch = 500

// Erase removes everything that the stores hold about one user, in bounded batches:
// tokens, codes, and the rows of further stores, such as [DeviceCodes], [Consents],
// [Sessions] and [Audits]. Audit entries are kept, without the user. Concurrent exchanges
// are waited for, and their tokens are removed as well. Disable the user first, so that
// nothing new begins, and end the user's sessions with oidc.Provider.EndSessionsOf if
// clients have to be notified. If it was interrupted, call it again. It returns how many
// rows were deleted or no longer name the user.
//
// The rows of the user and of clients that the user created are left to the program. The
// outbox of logouts keeps the subject by which a client knows the user until the client
// has answered or the logout has expired.
func Erase(ctx context.Context, userID string, tokens *Tokens, codes *AuthorizationCodes, more ...Erasable) (removed int64, err error) {
	if userID == "" {
		return 0, errors.New("gormstore: Erase needs the id of the user")
	}
	ctx = eachStep(ctx)
	now := time.Now()
	var tables []*Table
	for _, store := range append([]Erasable{codes}, append(more, tokens)...) { // tokens last, because the others become tokens
		for _, table := range store.Erased() {
			if table.about.OfUser {
				tables = append(tables, table)
			}
		}
	}
	for _, table := range tables {
		if err := table.needsUserIndex(); err != nil {
			return 0, err
		}
	}
	e := &ending{grants: tokens.grants(tables...), selection: selection{userID: userID}, now: now}
	noted := entry{at: now, AuditMixin: models.AuditMixin{Event: models.AuditAllRevoked, Reason: models.AuditByErasure}}
	if err := e.all(ctx, noted, server.RevokedByErasure); err != nil {
		return 0, fmt.Errorf("gormstore: end the user's grants: %w", err)
	}
	for _, table := range tables {
		n, err := table.erase(ctx, userID)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("gormstore: erase %s: %w", table.schema.Table, err)
		}
	}
	return removed, nil
}

// erase deletes or blanks the user's rows, batch by batch, until there are none.
func (t *Table) erase(ctx context.Context, userID string) (removed int64, err error) {
	theirs, err := t.theirs(ctx, userID)
	if err != nil {
		return 0, err
	}
	key := t.column(t.about.Key)
	for {
		var keys []string
		err := retry(ctx, func(ctx context.Context) error {
			keys = nil
			return where(t.whole(ctx), theirs).Limit(eraseBatch).Pluck(key, &keys).Error
		})
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		values := make([]any, len(keys))
		for i, key := range keys {
			values[i] = key
		}
		err = t.do(ctx, step{}, func(tx *tx) error {
			n, err := t.eraseRows(tx.withoutHooks(), theirs, clause.IN{Column: column(key), Values: values})
			removed += n
			return err
		})
		if err != nil {
			return removed, err
		}
	}
}

// eraseRows deletes rows, or removes the user from them.
func (t *Table) eraseRows(tx *tx, which ...clause.Expression) (rows int64, err error) {
	if t.about.Blank == nil {
		return tx.remove(which...)
	}
	blank := map[string]any{"UserID": t.nobody()}
	for _, field := range t.about.Blank {
		blank[field] = ""
	}
	return tx.update(blank, which...)
}
