package gormstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
)

// Erasable is a store that keeps something about users.
type Erasable interface {
	erasing(now time.Time) []erasing
}

// erasing is the removal of a user's rows from one table.
type erasing struct {
	store *store
	key   string // the column of digests by which rows are named
	// blank is what is written into rows that stay: the user's column and what else
	// says who it was. nil removes the rows.
	blank map[string]any
	// first ends what could still become something else, before anything is removed:
	// nil is nothing.
	first func(tx *gorm.DB, theirs clause.Expression) error
}

const eraseBatch = 500

// Erase removes all that the stores keep about one user, such as one who has left, in
// bounded batches: tokens, codes, and what is in more stores, such as [DeviceCodes],
// [Consents], [Sessions] and [Audits], of which the entries stay and say no longer who
// it was. What is being exchanged meanwhile is waited for and goes as
// well. Disable the user before, so that nothing new begins, and end the user's sessions,
// by oidc.Provider.EndSessionsOf, if clients are to be told. When it was interrupted,
// call it again. It returns how many rows left, or forgot the user.
//
// A client that a user made is the program's own row, and so is the user. The outbox of
// logouts keeps the subject by which a client knew the user until the client has
// answered, or the logout has expired.
func Erase[T any, PT TokenModel[T], C any, PC AuthorizationCodeModel[C]](ctx context.Context, userID string, tokens *Tokens[T, PT], codes *AuthorizationCodes[C, PC], more ...Erasable) (removed int64, err error) {
	if userID == "" {
		return 0, errors.New("gormstore: the user to erase has no id")
	}
	now := time.Now()
	var steps []erasing
	for _, store := range append([]Erasable{codes}, append(more, tokens)...) { // what becomes tokens goes before them
		steps = append(steps, store.erasing(now)...)
	}
	for _, step := range steps {
		if err := step.store.needsUserIndex(); err != nil {
			return 0, err
		}
	}
	for _, step := range steps {
		if step.first == nil {
			continue
		}
		theirs, err := step.store.theirs(ctx, userID)
		if err != nil {
			return 0, err
		}
		if err := step.store.write(ctx, func(bool) error {
			return step.store.trail.together(step.store.conn(ctx), func(db *gorm.DB) error { return step.first(db, theirs) })
		}); err != nil {
			return 0, fmt.Errorf("gormstore: end what is in %s: %w", step.store.schema.Table, err)
		}
	}
	for _, step := range steps {
		n, err := step.run(ctx, userID)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("gormstore: erase %s: %w", step.store.schema.Table, err)
		}
	}
	return removed, nil
}

// run removes or blanks the user's rows, batch by batch, until there are none.
func (e erasing) run(ctx context.Context, userID string) (removed int64, err error) {
	theirs, err := e.store.theirs(ctx, userID)
	if err != nil {
		return 0, err
	}
	model := reflect.New(e.store.schema.ModelType).Interface()
	for {
		var keys []string
		err := retry(ctx, func(bool) error {
			keys = nil
			return where(e.store.primary(ctx).Session(&gorm.Session{SkipHooks: true}).Unscoped().Model(model), theirs).
				Limit(eraseBatch).Pluck(e.key, &keys).Error
		})
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		values := make([]any, len(keys))
		for i, key := range keys {
			values[i] = key
		}
		err = e.store.write(ctx, func(bool) error {
			batch := where(single(e.store.conn(ctx).Session(&gorm.Session{SkipHooks: true}).Unscoped(), false).Model(model),
				theirs, clause.IN{Column: column(e.key), Values: values})
			var result *gorm.DB
			if e.blank == nil {
				result = batch.Delete(model)
			} else {
				result = batch.UpdateColumns(e.blank)
			}
			removed += result.RowsAffected
			return result.Error
		})
		if err != nil {
			return removed, err
		}
	}
}

func (t *Tokens[M, P]) erasing(now time.Time) []erasing {
	return []erasing{{store: t.store, key: t.columns["AccessToken"], first: func(tx *gorm.DB, theirs clause.Expression) error {
		revoked, err := t.revokeGrants(tx, now, theirs)
		if err != nil || revoked == 0 {
			return err
		}
		return t.store.trail.note(tx, entry{at: now, AuditMixin: models.AuditMixin{Event: models.AuditAllRevoked, Reason: models.AuditByErasure}})
	}}}
}

func (c *AuthorizationCodes[M, P]) erasing(now time.Time) []erasing {
	return []erasing{{store: c.store, key: c.columns["Code"], first: func(tx *gorm.DB, theirs clause.Expression) error {
		_, err := c.void(tx, now, theirs)
		return err
	}}}
}

func (d *DeviceCodes[M, P]) erasing(now time.Time) []erasing {
	return []erasing{{store: d.store, key: d.columns["DeviceCode"], first: func(tx *gorm.DB, theirs clause.Expression) error {
		_, err := d.store.update(tx, new(M), map[string]any{d.columns["RedeemedAt"]: now.Unix()}, theirs, eq(d.columns["RedeemedAt"], 0))
		return err
	}}}
}

func (c *Consents[M, P, T, PT, C, PC]) erasing(time.Time) []erasing {
	return []erasing{{store: c.store, key: c.columns["ConsentKey"]}}
}

func (s *Sessions[S, PS, L, PL, T, PT, C, PC]) erasing(time.Time) []erasing {
	return []erasing{{store: s.store, key: s.columns["SID"]}}
}
