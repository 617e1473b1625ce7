package gormstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/storage"
)

// step says how [Table.do] runs a write. The zero value is a single statement that may be
// repeated.
type step struct {
	// several says that there are several statements, which have to take effect together or
	// not at all.
	several bool
	// noted says that the step writes to the audit trail, if there is one, in the same
	// transaction.
	noted bool
	// outcome says that the step stores the outcome of a request, so that it spends what the
	// request presents as well.
	outcome bool
	// own is the condition for a row that only this step can have written, because it
	// contains a random digest. After a lost connection, it shows whether the step took
	// effect. It is nil for a step that may be repeated, and for one that checks tx.lost
	// itself.
	//
	// If a credential is spent and there is no such row, it cannot be known who spent it:
	// this step may have written a derived successor, which another request then returned to
	// the client, and which has been rotated since. A client that tries again learns the
	// outcome.
	own clause.Expression
	// stays says that the change has to stay even if the program rolls back its own
	// transaction (see [AfterRollback]). Such a step may be repeated.
	stays bool
}

// do runs a step; every write to the database goes through it. A step that collides with
// others, or loses its connection, is repeated as a whole (see [tries]). On SQLite,
// writers take turns. If a step finds its digest taken or its credential spent after a
// connection was lost, an earlier attempt whose COMMIT was not answered may have done
// that: then s.own decides.
func (t *Table) do(ctx context.Context, s step, f func(tx *tx) error) error {
	if s.outcome {
		if spends := t.spending(ctx); len(spends) > 0 {
			return t.doSpending(ctx, s, spends, f)
		}
	}
	if inner := innermost(ctx); s.stays && inner != nil && inner.stays != nil {
		inner.stays.add(func(ctx context.Context) error { return t.do(ctx, s, f) })
	}
	tries := newTries(ctx)
	defer tries.stop()
	var unheard unheard
	for tries.next() {
		tries.ended(t.attempt(tries, s, &unheard, f))
	}
	if s.own != nil && errors.Is(tries.err, storage.ErrUnavailable) && unheard.any && transactionOf(ctx) == nil {
		return t.look(ctx, s, unheard, tries.err)
	}
	return tries.err
}

// unheard says whether something was sent that got no answer.
type unheard struct {
	any   bool      // a COMMIT, or a statement that needs none
	until time.Time // when the budget of COMMIT ends; zero until a COMMIT begins
}

// commitBegins returns how long a COMMIT may take.
func (u *unheard) commitBegins(ctx context.Context) time.Duration {
	if u.until.IsZero() {
		u.until = time.Now().Add(budget.OfCommit(ctx))
	}
	return time.Until(u.until)
}

// look finds out whether a step whose budget is used up took effect, and returns err unless
// it did. It has a budget of its own: if it wrongly reported that nothing was stored, the
// client would repeat the request, and that would look like reuse.
func (t *Table) look(ctx context.Context, s step, unheard unheard, err error) error {
	if ctx.Err() != nil { // the caller has gone
		return err
	}
	left := unheard.commitBegins(ctx)
	tookEffect, lookErr := t.find(budget.With(context.WithoutCancel(ctx), left), t.newRow(), s.own)
	switch {
	case tookEffect:
		return nil
	case lookErr != nil:
		return errors.Join(err, lookErr)
	}
	return err
}

// attempt runs a step once, in its turn. A hook of the model finds the step's transaction in
// its context, so that calls that it makes join the transaction.
func (t *Table) attempt(tries *tries, s step, unheard *unheard, f func(tx *tx) error) (err error) {
	ctx, lost := tries.ctx, tries.lost
	tries.noted = 0
	tx := &tx{table: t, tries: tries, lost: lost, unheard: unheard, call: ctx}
	if t.transaction(ctx) == nil { // the caller's own transaction already has the turn
		give, err := t.takeTurn(ctx)
		if err != nil {
			return err
		}
		defer give()
		tx.own = &transaction{pool: t.pool, turn: t.turn}
		ctx = within(ctx, tx.own)
	}
	begins := s.several || s.noted && t.trail != nil || tx.own != nil && t.hasHooks()
	if begins {
		ctx, tx.detach = detachable(ctx)
	}
	tx.db = t.conn(ctx)
	if begins {
		if err := tx.begin(); err != nil {
			return err
		}
	}
	defer tx.rollback() // if f panics
	err = tx.end(f(tx))
	unheard.any = unheard.any || !begins && classOf(err) == lostConnection
	if err == nil || !lost || s.own == nil {
		return err
	}
	ctx = tries.ctx // the context of the transaction may have ended
	tookEffect, lookErr := t.load(t.primary(ctx), t.newRow(), s.own)
	switch {
	case tookEffect || lookErr != nil:
		return lookErr
	case errors.Is(err, storage.ErrSpent):
		return fmt.Errorf("%w: the connection was lost, and %v", storage.ErrUnavailable, err) //nolint:errorlint // must no longer match ErrSpent
	}
	return err
}

// tx is a step's access to the database, for one table; on returns it for another.
type tx struct {
	table *Table
	db    *gorm.DB
	tries *tries
	// lost says that an earlier attempt of the step lost its connection, and may have taken
	// effect.
	lost bool
	// savepoint is the name of the step's savepoint in the caller's own transaction; begun
	// says that the step has begun a transaction. Both are zero for a single statement, and
	// after the end.
	savepoint string
	begun     bool
	own       *transaction // the step's entry in its context; nil in the caller's own transaction
	unheard   *unheard
	call      context.Context                                   //nolint:containedctx // of the step
	detach    func() (cancel context.CancelFunc, tooLate error) // of the step's own transaction, see detachable
}

// detachable returns a context for a transaction, which ends with ctx until it is detached.
// detach returns the function that ends it from then on, or an error if ctx has already
// ended. Drivers send COMMIT with the context that the transaction was begun with, so a
// deadline in it could interrupt a COMMIT without an answer.
func detachable(ctx context.Context) (of context.Context, detach func() (cancel context.CancelFunc, tooLate error)) {
	of, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	return of, func() (context.CancelFunc, error) {
		if !stop() {
			return cancel, ctx.Err()
		}
		return cancel, nil
	}
}

// begin begins a transaction, or creates a savepoint in the caller's own transaction.
func (x *tx) begin() error {
	if _, inside := x.db.Statement.ConnPool.(gorm.TxCommitter); inside {
		if x.db.DisableNestedTransaction {
			return nil
		}
		x.savepoint = "step" + rand.Text()
		return x.db.SavePoint(x.savepoint).Error
	}
	db := x.db.Begin()
	if db.Error == nil {
		x.db, x.begun = db, true
		if x.own != nil {
			x.own.db = db
		}
	}
	return db.Error
}

// end commits the transaction, or rolls it back if the step failed, and returns the
// error.
func (x *tx) end(err error) error {
	x.leave()
	if err != nil {
		x.rollback()
		return err
	}
	begun := x.begun
	x.begun, x.savepoint = false, ""
	if begun {
		return x.commit()
	}
	return nil
}

// commit sends COMMIT, which has a budget of its own, and does not wait longer than that,
// even if the driver does.
func (x *tx) commit() error {
	cancel, tooLate := x.detach()
	if tooLate != nil { // nothing has been sent
		x.rollBackAll()
		return tooLate
	}
	answer := make(chan error, 1)
	go func() { answer <- x.db.Commit().Error }()
	timer := time.NewTimer(x.unheard.commitBegins(x.db.Statement.Context))
	defer timer.Stop()
	select {
	case err := <-answer:
		x.unheard.any = x.unheard.any || classOf(err) == lostConnection
		return err
	case <-timer.C:
		cancel() // no budget is left to look for what it wrote
		return fmt.Errorf("COMMIT was not answered: %w", os.ErrDeadlineExceeded)
	}
}

// leave makes later calls with the step's context run on the pool again, such as those of
// goroutines that a hook started.
func (x *tx) leave() {
	if x.own != nil {
		x.own.ended.Store(true)
	}
}

// rollback rolls back what was begun and has not ended.
func (x *tx) rollback() {
	x.leave()
	switch {
	case x.begun:
		x.rollBackAll()
	case x.savepoint != "":
		x.db.RollbackTo(x.savepoint)
	}
	x.begun, x.savepoint = false, ""
}

// rollBackAll sends ROLLBACK, and does not wait for it longer than the step may take.
func (x *tx) rollBackAll() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.db.Rollback()
	}()
	select {
	case <-done:
	case <-x.call.Done():
	}
}

// on returns the same transaction for another table.
func (x *tx) on(table *Table) *tx {
	db := table.db.WithContext(x.db.Statement.Context)
	db.Statement.ConnPool = x.db.Statement.ConnPool
	return &tx{table: table, db: db, tries: x.tries, lost: x.lost}
}

// withDeleted returns the same transaction, including soft-deleted rows.
func (x *tx) withDeleted() *tx {
	return &tx{table: x.table, db: x.db.Unscoped().Session(&gorm.Session{}), tries: x.tries, lost: x.lost}
}

// withoutHooks returns the same transaction without the hooks of the model, including
// soft-deleted rows.
func (x *tx) withoutHooks() *tx {
	db := x.db.Session(&gorm.Session{SkipHooks: true, SkipDefaultTransaction: true}).Unscoped()
	return &tx{table: x.table, db: db.Session(&gorm.Session{}), tries: x.tries, lost: x.lost}
}

// find loads the row that matches the conditions, and reports whether there is one.
func (x *tx) find(into any, conditions ...clause.Expression) (found bool, err error) {
	return x.table.load(x.db.Set("gorm:db_resolver:write", struct{}{}), into, conditions...)
}

// list loads the rows that match the conditions, each as a pointer to the program's
// model.
func (x *tx) list(conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
	rows, _, err = x.table.loadAll(x.db, conditions, more...)
	return rows, err
}

// insert inserts one or more rows of the model, without their associations. It returns
// the number of inserted rows, which can be less than that of the given rows only if
// conditions are given.
func (x *tx) insert(row any, conditions ...clause.Expression) (rows int64, err error) {
	plain := func() *gorm.DB {
		return single(expectingDuplicates(x.db), x.table.hooksOnCreate()).Omit(clause.Associations)
	}
	if len(conditions) > 0 {
		result := plain().Clauses(conditions...).Create(row)
		return result.RowsAffected, result.Error
	}
	of := reflect.Indirect(reflect.ValueOf(row))
	if i := x.insertion(of, plain); i != nil {
		args, err := i.args(x.db, of)
		if err != nil {
			return 0, err
		}
		s := sent{x.db, duplicatesLogger{x.db.Logger}, x.db.Statement.ConnPool, i.query, args}
		return s.row(x.db.Statement.Context, &i.scan, of)
	}
	result := plain().Create(row)
	return result.RowsAffected, result.Error
}

// insertNew inserts a row unless another has its key, and reports whether it did. On
// PostgreSQL it uses ON CONFLICT, because a duplicate would abort the transaction, which
// may be the caller's own. The other engines go on after a duplicate, and report it by an
// error; their number of rows is not reliable, because with clientFoundRows=true MySQL
// counts the existing row.
func (x *tx) insertNew(row any) (fresh bool, err error) {
	var unlessThere []clause.Expression
	if x.db.Name() == "postgres" {
		unlessThere = []clause.Expression{clause.OnConflict{DoNothing: true}}
	}
	rows, err := x.insert(row, unlessThere...)
	if isDuplicate(err) {
		return false, nil
	}
	return err == nil && rows > 0, err
}

// update changes columns of the rows that match the conditions, and returns how many rows
// there were. The keys of values are names of fields.
func (x *tx) update(values map[string]any, conditions ...clause.Expression) (rows int64, err error) {
	return x.updateRow(x.table.newRow(), values, conditions...)
}

// updateRow is like update, but passes a row that was read before to the hooks of the
// model.
func (x *tx) updateRow(row any, values map[string]any, conditions ...clause.Expression) (rows int64, err error) {
	byColumn, of := x.table.values(values), reflect.ValueOf(row).Elem()
	if c := x.change(of, byColumn, conditions); c != nil {
		return c.send(x, of, byColumn, conditions)
	}
	db := where(single(x.db, x.table.hooksOnUpdate()).Model(row), conditions...).Omit(clause.Associations)
	result := db.Updates(byColumn)
	return result.RowsAffected, result.Error
}

// remove permanently deletes the rows that match the conditions, even if the model has
// soft deletion, and returns how many there were.
func (x *tx) remove(conditions ...clause.Expression) (rows int64, err error) {
	result := where(single(x.db, x.table.hooksOnDelete()).Unscoped(), conditions...).Delete(x.table.newRow())
	return result.RowsAffected, result.Error
}

// note writes entries to the audit trail, if there is one.
func (x *tx) note(entries ...entry) error {
	if x.table.trail == nil {
		return nil
	}
	return x.table.trail.note(x, entries...)
}
