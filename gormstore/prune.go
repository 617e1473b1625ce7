package gormstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// PruneOptions say what [Prune] removes, and how. The zero value removes what
// has expired by now.
type PruneOptions struct {
	// Before is the moment by which a row must have expired; the zero time is
	// now. Set it back to keep rows for a while longer. It cannot be in the
	// future.
	Before time.Time
	// BatchSize is how many rows are looked for at a time, and leave at a time at
	// most; 0 is 500. They leave in several statements where that takes long, so
	// that nobody waits long for one.
	BatchSize int
	// Report is told after each batch, and once at the beginning. Without it
	// nothing is counted.
	Report func(PruneProgress)
}

// PruneProgress is how far [Prune] has come.
type PruneProgress struct {
	// Removed is the number of rows that have left.
	Removed int64
	// Expired is the number of rows that had expired at the beginning. Some of
	// them may have to stay: see [Prune].
	Expired int64
}

const (
	defaultPruneBatch = 500
	smallPruneBatch   = 20
	oldCodeLife       = 5 * time.Minute
)

// pace is how long a batch may take, and how many times as long the rest after it.
type pace struct {
	longBatch time.Duration
	rest      time.Duration
}

// pace is leisurely on SQLite: it has one writer, whom all others wait for.
func (s *store) pace() pace {
	if s.turn != nil {
		return pace{2 * time.Millisecond, 8}
	}
	return pace{10 * time.Millisecond, 2}
}

// Prune removes tokens and codes that have expired, in bounded batches, and
// rests after each for much longer than it took: others come in between. It may
// be interrupted at any time and begun anew, and may run on several instances at
// once. It has no clock of its own: call it when
// it suits the program.
//
// A token leaves when both its access token and its refresh token have
// expired. A code that was redeemed stays as long as there is a token of its
// grant, since a replay has to revoke that. more are the program's other stores,
// such as [DeviceCodes].
func Prune[T any, PT TokenModel[T], C any, PC AuthorizationCodeModel[C]](ctx context.Context, tokens *Tokens[T, PT], codes *AuthorizationCodes[C, PC], options PruneOptions, more ...Prunable) error {
	now := time.Now()
	if options.Before.IsZero() {
		options.Before = now
	}
	if options.Before.After(now) {
		return errors.New("gormstore: PruneOptions.Before is in the future: what has not expired yet is in use")
	}
	if options.BatchSize <= 0 {
		options.BatchSize = defaultPruneBatch
	}
	// The tokens first: with the last of a grant its code may leave, too.
	grants := grants{tokens.store.schema.Table, tokens.columns["GrantID"]}
	var steps []pruning
	for _, store := range append([]Prunable{tokens, codes}, more...) {
		steps = append(steps, store.pruning(grants, options.Before))
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
	for _, p := range steps {
		if err := p.run(ctx, options, report); err != nil {
			return fmt.Errorf("gormstore: prune %s: %w", p.store.schema.Table, err)
		}
	}
	return nil
}

// Prunable is a store whose rows expire.
type Prunable interface {
	pruning(grants grants, before time.Time) pruning
}

func (t *Tokens[M, P]) pruning(grants, time.Time) pruning {
	return pruning{
		store: t.store, key: t.columns["AccessToken"], expiresAt: t.columns["ExpiresAt"],
		also: clause.Gt{Column: column(t.columns["ExpiresAt"]), Value: 0}, // 0 is never
	}
}

func (c *AuthorizationCodes[M, P]) pruning(grants grants, before time.Time) pruning {
	return pruning{
		store: c.store, key: c.columns["Code"], expiresAt: c.columns["ExpiresAt"],
		// A code of an older program has no expires_at; this is its life.
		also: clause.Lt{Column: column(c.columns["AuthTime"]), Value: before.Add(-oldCodeLife).Unix()},
		only: grants.unspentOrDead(c.store, c.columns),
	}
}

func (d *DeviceCodes[M, P]) pruning(grants grants, _ time.Time) pruning {
	return pruning{
		store: d.store, key: d.columns["DeviceCode"], expiresAt: d.columns["ExpiresAt"],
		only: grants.unspentOrDead(d.store, d.columns),
	}
}

// grants is where the tokens are, and their column of grants.
type grants struct{ table, grantID string }

// unspentOrDead is true of a code that no replay can harm.
func (g grants) unspentOrDead(codes *store, columns columns) clause.Expression {
	return clause.Expr{
		SQL: "(? = 0 OR NOT EXISTS (SELECT 1 FROM ? WHERE ? = ?))",
		Vars: []any{
			column(columns["RedeemedAt"]), clause.Table{Name: g.table},
			clause.Column{Table: g.table, Name: g.grantID},
			clause.Column{Table: codes.schema.Table, Name: columns["GrantID"]},
		},
	}
}

// pruning is the pruning of one table, in the order of its index on expiresAt.
// key is its column of digests, by which rows are named: the primary key is
// the program's own affair.
type pruning struct {
	store          *store
	key, expiresAt string
	also           clause.Expression // what expired means beside expiresAt, nil is nothing
	only           clause.Expression // which of the expired rows may leave, nil is all
	keep           time.Duration     // how long they stay behind expiresAt
}

// cursor is the last row that was looked at: what had to stay is not looked at
// again.
type cursor struct {
	ExpiresAt int64  `gorm:"column:expires_at"`
	Digest    string `gorm:"column:digest"`
}

func (p pruning) run(ctx context.Context, options PruneOptions, report func(removed int64)) error {
	size, pace := min(smallPruneBatch, options.BatchSize), p.store.pace()
	for at := (cursor{}); ; {
		began := time.Now()
		page, err := p.next(ctx, options.Before, options.BatchSize, at)
		if err != nil || len(page) == 0 {
			return err
		}
		at = page[len(page)-1]
		for len(page) > 0 {
			batch := page[:min(size, len(page))]
			page = page[len(batch):]
			removing := time.Now()
			removed, err := p.remove(ctx, options.Before, batch)
			if err != nil {
				return err
			}
			switch took := time.Since(removing); {
			case took > pace.longBatch:
				size = max(size/2, 1)
			case took < pace.longBatch/2:
				size = min(size*2, options.BatchSize)
			}
			report(removed)
			if err := p.store.checkpoint(ctx); err != nil {
				return err
			}
			if err := rest(ctx, pace.rest*time.Since(began)); err != nil {
				return err
			}
			began = time.Now()
		}
	}
}

// checkpoint moves what was written out of SQLite's write-ahead log. Otherwise
// whoever happens to write the thousandth page of it does so for all of them,
// and has the others wait.
func (s *store) checkpoint(ctx context.Context) error {
	if s.db.Name() != "sqlite" || InTransaction(ctx) {
		return nil
	}
	return retry(ctx, func(bool) error { return s.conn(ctx).Exec("PRAGMA wal_checkpoint(PASSIVE)").Error })
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
	conditions := []clause.Expression{clause.Lt{Column: column(p.expiresAt), Value: before.Add(-p.keep).Unix()}}
	if p.also != nil {
		conditions = append(conditions, p.also)
	}
	return conditions
}

func (p pruning) count(ctx context.Context, before time.Time) (rows int64, err error) {
	err = retry(ctx, func(bool) error {
		return where(p.table(ctx), p.expired(before)...).Count(&rows).Error
	})
	return rows, err
}

// next returns the rows behind the cursor, in the order of the index on
// expiresAt, from which they can be read without a look at those before.
func (p pruning) next(ctx context.Context, before time.Time, size int, at cursor) (batch []cursor, err error) {
	conditions := append(p.expired(before),
		clause.Gte{Column: column(p.expiresAt), Value: at.ExpiresAt},
		clause.Or(
			clause.Gt{Column: column(p.expiresAt), Value: at.ExpiresAt},
			clause.Gt{Column: column(p.key), Value: at.Digest},
		))
	if p.only != nil {
		conditions = append(conditions, p.only)
	}
	err = retry(ctx, func(bool) error {
		batch = nil
		return where(p.table(ctx), conditions...).Select("? AS expires_at, ? AS digest", column(p.expiresAt), column(p.key)).
			Clauses(clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column(p.expiresAt)}, {Column: column(p.key)}}}).
			Limit(size).Scan(&batch).Error
	})
	return batch, err
}

// remove asks again whether the rows have expired: a rotation may have given
// one of them a new life.
func (p pruning) remove(ctx context.Context, before time.Time, batch []cursor) (removed int64, err error) {
	digests := make([]any, len(batch))
	for i, row := range batch {
		digests[i] = row.Digest
	}
	conditions := append(p.expired(before), clause.IN{Column: column(p.key), Values: digests})
	err = p.store.write(ctx, func(bool) error {
		result := where(single(p.table(ctx), false), conditions...).Delete(p.model())
		removed = result.RowsAffected
		return result.Error
	})
	return removed, err
}

// table is the whole table, soft-deleted rows included, without hooks.
func (p pruning) table(ctx context.Context) *gorm.DB {
	return p.store.primary(ctx).Session(&gorm.Session{SkipHooks: true}).Unscoped().Model(p.model())
}

func (p pruning) model() any { return reflect.New(p.store.schema.ModelType).Interface() }

// notSoftDeleted is what the model's own soft deletion, such as a gorm.DeletedAt, adds to
// a query.
func (s *store) notSoftDeleted() []clause.Expression {
	stmt := &gorm.Statement{DB: s.db, Schema: s.schema, Table: s.schema.Table, Clauses: make(map[string]clause.Clause)}
	for _, c := range s.schema.QueryClauses {
		stmt.AddClause(c)
	}
	where, _ := stmt.Clauses["WHERE"].Expression.(clause.Where)
	return where.Exprs
}
