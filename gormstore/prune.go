package gormstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// PruneOptions say what [Prune] removes, and how. The zero value removes everything that
// has expired.
type PruneOptions struct {
	// Before is the time by which a row must have expired to be removed; the zero value
	// means now. Set it to an earlier time to keep rows for longer. It must not be in the
	// future.
	Before time.Time
	// BatchSize is the maximum number of rows removed at a time; 0 means 500. Batches become
	// smaller if they take long, so that others do not have to wait long for one.
	BatchSize int
	// KeepSpent is how long codes, device authorizations and other single-use rows are kept
	// after they have expired; 0 means 30 days, and a negative value means not at all.
	KeepSpent time.Duration
	// Report is called once at the beginning and after each batch. If it is nil, expired
	// rows are not counted.
	Report func(PruneProgress)
}

// PruneProgress is the progress of a call of [Prune].
type PruneProgress struct {
	// Removed is the number of rows removed so far.
	Removed int64
	// Expired is the number of rows that had expired at the beginning, at most 100,000 per
	// table. Some of them may have to be kept: see [Prune].
	Expired int64
}

const (
	defaultPruneBatch = 500
	smallPruneBatch   = 20
	smallerBatch      = 4 // how many times smaller, after one was too large
	defaultKeepSpent  = 30 * 24 * time.Hour
)

// countedAtMost is the maximum number of rows of a table that are counted for a report.
const countedAtMost = 100_000

// Prune removes tokens and codes that have expired, in bounded batches, as fast as the
// database allows: while others use the database, it rests after each batch, longer if
// their statements have to wait, and shorter the further it is behind. It can be
// interrupted at any time and called again, and can run on several instances at once: on
// PostgreSQL they process different rows. If it fails in one table, it still prunes the
// others and returns all errors. It does not run by itself: call it when it suits the
// program.
//
// A token's row is removed when both its access token and its refresh token have expired, or
// when its grant was revoked and would otherwise have lasted forever. A single-use credential,
// such as a code or a device authorization, is removed PruneOptions.KeepSpent after it has
// expired, whether it was redeemed or not. Until then, presenting a spent code again revokes
// its grant; afterwards the code is refused and revokes nothing. The consents to a client are
// removed together with the client. Pass the program's other stores, such as [DeviceCodes],
// and tables of its own as more.
func Prune(ctx context.Context, tokens *Tokens, codes *AuthorizationCodes, options PruneOptions, more ...Prunable) error {
	ctx = eachStep(ctx)
	now := time.Now()
	if options.Before.IsZero() {
		options.Before = now
	}
	if options.Before.After(now) {
		return errors.New("gormstore: PruneOptions.Before must not be in the future: rows that have not expired are still in use")
	}
	if options.BatchSize <= 0 {
		options.BatchSize = defaultPruneBatch
	}
	switch {
	case options.KeepSpent == 0:
		options.KeepSpent = defaultKeepSpent
	case options.KeepSpent < 0:
		options.KeepSpent = 0
	}
	var steps []pruning
	for _, store := range append([]Prunable{tokens, codes}, more...) {
		for _, table := range store.Pruned() {
			if table.about.ExpiresAt == "" {
				continue
			}
			keep := table.keep
			if table.about.GrantID != "" && table.about.SpentAt != "" {
				keep = max(keep, options.KeepSpent)
			}
			steps = append(steps, pruning{table: table, keep: keep})
			if table.mixin() == reflect.TypeFor[models.TokenMixin]() {
				steps = append(steps, pruning{table: table, revokedForever: true})
			}
		}
	}
	var progress PruneProgress
	report := func(removed int64) {
		progress.Removed += removed
		if options.Report != nil {
			options.Report(progress)
		}
	}
	if options.Report != nil {
		for _, p := range steps {
			expired, err := p.count(ctx, options.Before)
			if err != nil {
				return err
			}
			progress.Expired += expired
		}
	}
	report(0)
	var faults []error
	for _, p := range steps {
		err := p.run(ctx, options, report)
		if err != nil {
			faults = append(faults, fmt.Errorf("gormstore: prune %s: %w", p.table.schema.Table, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

// pruning prunes one table, in the order of the index on its expiry column. It identifies
// rows by the table's key, because the primary key is up to the program.
type pruning struct {
	table *Table
	// keep is how long rows are kept after they have expired.
	keep time.Duration
	// revokedForever is for tokens that never expire and were revoked by an older release,
	// which did not set their expiry.
	revokedForever bool
}

func (p pruning) key() string       { return p.table.column(p.table.about.Key) }
func (p pruning) expiresAt() string { return p.table.column(p.table.about.ExpiresAt) }

// cursor is the last row that was examined, so that rows that have to be kept are not
// examined again.
type cursor struct {
	ExpiresAt int64  `gorm:"column:expires_at"`
	Key       string `gorm:"column:row_key"`
}

// triesOfBatch is how often a batch that the database does not finish in time is tried
// again, each time with fewer rows.
const triesOfBatch = 5

func (p pruning) run(ctx context.Context, options PruneOptions, report func(removed int64)) error {
	size, pace, failed := min(smallPruneBatch, options.BatchSize), p.table.pace(), 0
	for at := (cursor{}); ; {
		began := time.Now()
		page, removed, err := p.batch(ctx, options.Before, size, at)
		if errors.Is(err, storage.ErrUnavailable) && failed < triesOfBatch && ctx.Err() == nil {
			failed, size = failed+1, max(size/smallerBatch, 1)
			continue
		}
		if err != nil || len(page) == 0 {
			return err
		}
		last := page[len(page)-1]
		if last == at {
			return errors.New("the database keeps returning the same rows; check whether a plugin changes the statement")
		}
		took := time.Since(began)
		at, failed = last, 0
		switch full := len(page) == size; {
		case took > pace.longBatch:
			size = max(size/2, 1)
		case took < pace.longBatch/2 && full:
			size = min(size*2, options.BatchSize)
		}
		report(removed)
		if err := p.table.checkpoint(ctx); err != nil {
			return err
		}
		behind := options.Before.Add(-p.keep).Sub(time.Unix(at.ExpiresAt, 0))
		pause, err := pace.after(ctx, took, behind)
		if err != nil {
			return err
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
}

// batch removes the next rows, and returns the rows that it examined and the number of those
// that it removed. On PostgreSQL it skips rows that another instance is processing.
func (p pruning) batch(ctx context.Context, before time.Time, size int, at cursor) (page []cursor, removed int64, err error) {
	if p.table.db.Name() != "postgres" {
		if page, err = p.next(ctx, before, size, at); err != nil || len(page) == 0 {
			return nil, 0, err
		}
		removed, err = p.remove(ctx, before, page)
		return page, removed, err
	}
	err = p.table.do(ctx, step{several: true}, func(tx *tx) (err error) {
		removed = 0
		skipping := clause.Locking{Strength: clause.LockingStrengthUpdate, Options: clause.LockingOptionsSkipLocked}
		if page, err = p.page(tx.withoutHooks().db.Model(p.table.newRow()), before, size, at, skipping); err != nil || len(page) == 0 {
			return err
		}
		removed, err = p.removeWithin(tx, before, page)
		return err
	})
	return page, removed, err
}

// checkpoint runs a checkpoint of SQLite's write-ahead log. Otherwise the request that happens to
// write its thousandth page does so for all of them, and makes the others wait. It does nothing if
// automatic checkpoints are turned off, because something else then runs them and would be disturbed:
// a node of dqlite crashes, and Litestream has to copy everything again.
func (t *Table) checkpoint(ctx context.Context) error {
	if t.db.Name() != "sqlite" || InTransaction(ctx) {
		return nil
	}
	return retry(ctx, func(ctx context.Context) error {
		var pages int
		if err := t.conn(ctx).Raw("PRAGMA wal_autocheckpoint").Row().Scan(&pages); err != nil || pages == 0 {
			return err
		}
		return t.conn(ctx).Exec("PRAGMA wal_checkpoint(PASSIVE)").Error
	})
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (p pruning) expired(before time.Time) []clause.Expression {
	if p.revokedForever {
		revokedAt := column(p.table.column("RefreshTokenRevokedAt"))
		return []clause.Expression{p.table.is("ExpiresAt", 0), clause.Gt{Column: revokedAt, Value: 0}, clause.Lt{Column: revokedAt, Value: before.Unix()}}
	}
	conditions := []clause.Expression{clause.Lt{Column: column(p.expiresAt()), Value: before.Add(-p.keep).Unix()}}
	if p.table.about.ZeroIsForever {
		conditions = append(conditions, clause.Gt{Column: column(p.expiresAt()), Value: 0})
	}
	if kept := p.table.about.KeptAt; kept != "" {
		conditions = append(conditions, append(p.table.notSoftDeleted(), p.table.is(kept, 0))...)
	}
	if p.table.alsoExpired != nil {
		conditions = append(conditions, p.table.alsoExpired(before))
	}
	return conditions
}

// count returns how many rows have expired, up to countedAtMost.
func (p pruning) count(ctx context.Context, before time.Time) (rows int64, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		expired := where(p.table.whole(ctx), p.expired(before)...).Select("1 AS one").Limit(countedAtMost)
		return p.table.bare(ctx).Table("(?) AS expired", expired).Count(&rows).Error
	})
	return rows, err
}

// next returns the rows after the cursor.
func (p pruning) next(ctx context.Context, before time.Time, size int, at cursor) (page []cursor, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		page, err = p.page(p.table.whole(ctx), before, size, at)
		return err
	})
	return page, err
}

// page reads the rows after the cursor once, in the order of the index on the expiry column,
// so that the rows before them are not read.
func (p pruning) page(db *gorm.DB, before time.Time, size int, at cursor, more ...clause.Expression) (page []cursor, err error) {
	expiresAt, key := column(p.expiresAt()), column(p.key())
	conditions := append(p.expired(before), clause.Gte{Column: expiresAt, Value: at.ExpiresAt})
	order := []clause.OrderByColumn{{Column: expiresAt}}
	if len(more) == 0 { // locked rows are removed in the same step, so rows of one second need no order
		conditions = append(conditions, clause.Or(clause.Gt{Column: expiresAt, Value: at.ExpiresAt}, clause.Gt{Column: key, Value: at.Key}))
		order = append(order, clause.OrderByColumn{Column: key})
	}
	err = where(db, conditions...).Select("? AS expires_at, ? AS row_key", expiresAt, key).
		Clauses(clause.OrderBy{Columns: order}).Clauses(more...).Limit(size).Scan(&page).Error
	return page, err
}

// remove removes the rows of a page in a separate step.
func (p pruning) remove(ctx context.Context, before time.Time, page []cursor) (removed int64, err error) {
	err = p.table.do(ctx, step{several: len(p.table.consentsTo()) > 0}, func(tx *tx) error {
		removed, err = p.removeWithin(tx, before, page)
		return err
	})
	return removed, err
}

// removeWithin removes the rows of a page that have still expired: a rotation may have
// renewed one of them.
func (p pruning) removeWithin(tx *tx, before time.Time, page []cursor) (removed int64, err error) {
	keys := make([]any, len(page))
	for i, row := range page {
		keys[i] = row.Key
	}
	removed, err = tx.withoutHooks().remove(append(p.expired(before), clause.IN{Column: column(p.key()), Values: keys})...)
	if err != nil || removed == 0 {
		return removed, err
	}
	if consents := p.table.consentsTo(); len(consents) > 0 {
		err = p.forgetConsents(tx, consents, keys)
	}
	return removed, err
}

// consentsTo returns the tables of consents to the clients in this table.
func (t *Table) consentsTo() []*Table {
	if t.mixin() != reflect.TypeFor[models.ClientMixin]() {
		return nil
	}
	return t.withoutConditions().ofKin(func(f *family) map[string]*Table { return f.consents })
}

// forgetConsents removes the consents to those of the clients that no longer exist.
func (p pruning) forgetConsents(tx *tx, consents []*Table, keys []any) error {
	var stay []string
	if err := where(tx.withoutHooks().db.Model(p.table.newRow()), clause.IN{Column: column(p.key()), Values: keys}).Pluck(p.key(), &stay).Error; err != nil {
		return err
	}
	gone := slices.DeleteFunc(keys, func(key any) bool { return slices.Contains(stay, key.(string)) })
	for _, table := range consents {
		if _, err := tx.on(table).withoutHooks().remove(clause.IN{Column: column(table.column(table.about.ClientID)), Values: gone}); err != nil {
			return err
		}
	}
	return nil
}

// whole returns a handle for all rows of the table, including soft-deleted ones, without
// hooks.
func (t *Table) whole(ctx context.Context) *gorm.DB {
	return t.primary(ctx).Session(&gorm.Session{SkipHooks: true}).Unscoped().Model(t.newRow())
}

// notSoftDeleted returns the conditions that the model's own soft deletion, such as a
// gorm.DeletedAt, adds to a query.
func (t *Table) notSoftDeleted() []clause.Expression {
	stmt := &gorm.Statement{DB: t.db, Schema: t.schema, Table: t.schema.Table, Clauses: make(map[string]clause.Clause)}
	for _, c := range t.schema.QueryClauses {
		stmt.AddClause(c)
	}
	where, _ := stmt.Clauses["WHERE"].Expression.(clause.Where)
	return where.Exprs
}
