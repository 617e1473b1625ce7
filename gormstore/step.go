package gormstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/server"
)

// step says how [Table.do] runs what is to be written. The zero value is one statement
// that may be repeated.
type step struct {
	// several says that there are several statements, which take effect together or not
	// at all.
	several bool
	// noted says that the step writes to the audit trail. Where one is kept, both take
	// effect together.
	noted bool
	// own is true of a row that this step leaves behind and no other does, as it has a
	// random digest of this one. After a connection was lost, it says whether the step
	// took effect. It is nil for a step that may be repeated, and for one that looks at
	// tx.lost itself.
	//
	// A credential that is spent without a trace of this step remains unknowable: a
	// successor that is derived may have been written by this step, told by another and
	// rotated since. Whoever asks again is then told what it is.
	own clause.Expression
	// stays says that the step has to stay where the program rolls its own transaction back,
	// see [AfterRollback]. It may be repeated.
	stays bool
}

// do runs what is to be written: it is the one way to the database for every write.
// What collides with others, or loses its connection, is run again, the whole of it, see
// [tries]. On SQLite, writers take turns. When a step finds its digest taken or its
// credential spent after a connection was lost, that may be its own doing, of whose
// COMMIT nobody heard: then s.own decides.
func (t *Table) do(ctx context.Context, s step, f func(tx *tx) error) error {
	if inner := innermost(ctx); s.stays && inner != nil && inner.stays != nil {
		inner.stays.add(func(ctx context.Context) error { return t.do(ctx, s, f) })
	}
	tries := newTries(ctx)
	defer tries.stop()
	var unheard unheard
	for tries.next() {
		tries.ended(t.attempt(tries, s, &unheard, f))
	}
	if s.own != nil && errors.Is(tries.err, server.ErrUnavailable) && unheard.any && transactionOf(ctx) == nil {
		return t.look(ctx, s, unheard, tries.err)
	}
	return tries.err
}

// unheard is what nobody heard the answer to.
type unheard struct {
	any   bool      // a COMMIT, or a statement that needs none
	until time.Time // for how long the look for it may take, zero is that none has begun
}

// commitBegins says for how long a COMMIT may take.
func (u *unheard) commitBegins(ctx context.Context) time.Duration {
	if u.until.IsZero() {
		u.until = time.Now().Add(server.CommitBudget(ctx))
	}
	return time.Until(u.until)
}

// look finds out whether a step took effect whose budget is used up, and returns what was
// wrong unless it did. It has a budget of its own: where it said that nothing is stored, the
// client would repeat what was, and that looks like reuse.
func (t *Table) look(ctx context.Context, s step, unheard unheard, err error) error {
	if ctx.Err() != nil { // nobody waits for the answer
		return err
	}
	left := unheard.commitBegins(ctx)
	tookEffect, lookErr := t.find(server.WithStorageBudget(context.WithoutCancel(ctx), left), t.newRow(), s.own)
	switch {
	case tookEffect:
		return nil
	case lookErr != nil:
		return errors.Join(err, lookErr)
	}
	return err
}

// attempt runs a step once, in its turn. A hook of the model finds the step's transaction in
// its context, so that what it calls is in that as well.
func (t *Table) attempt(tries *tries, s step, unheard *unheard, f func(tx *tx) error) (err error) {
	ctx, lost := tries.ctx, tries.lost
	tx := &tx{table: t, lost: lost, unheard: unheard, call: ctx}
	if t.transaction(ctx) == nil { // the caller's own transaction has its turn already
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
	defer tx.rollback() // where f panics
	err = tx.end(f(tx))
	unheard.any = unheard.any || !begins && classOf(err) == lostConnection
	if err == nil || !lost || s.own == nil {
		return err
	}
	ctx = tries.ctx // that of the transaction may be over
	tookEffect, lookErr := t.load(t.primary(ctx), t.newRow(), s.own)
	switch {
	case tookEffect || lookErr != nil:
		return lookErr
	case errors.Is(err, server.ErrSpent):
		return fmt.Errorf("%w: the connection was lost, and %v", server.ErrUnavailable, err) //nolint:errorlint // not ErrSpent any more
	}
	return err
}

// tx is what a step has of the database: one table of it, and others by on.
type tx struct {
	table *Table
	db    *gorm.DB
	// lost says that an earlier attempt of the step lost its connection: it may have
	// taken effect.
	lost bool
	// savepoint is the name of one in the caller's own transaction, begun says that the
	// transaction is the step's own. Both are empty for one statement, and at the end.
	savepoint string
	begun     bool
	own       *transaction // what the context of the step says of it, nil in the caller's
	unheard   *unheard
	call      context.Context                                   //nolint:containedctx // that of the step
	detach    func() (cancel context.CancelFunc, tooLate error) // of a transaction of the step's own, see detachable
}

// detachable returns a context for a transaction. It ends with ctx, until it is detached
// from that, unless it is too late; then cancel ends it. Drivers send COMMIT in the context
// that the transaction was begun with, where a deadline would be a COMMIT that nobody hears
// of.
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

// begin begins a transaction, which is a savepoint in the caller's.
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

// end commits what was begun, or takes it back if the step failed, and returns what went
// wrong.
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

// commit sends COMMIT, which has a budget of its own. It is waited for no longer than that,
// also where the driver does so.
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
		cancel()
		x.unheard.any = true
		return fmt.Errorf("COMMIT was not answered: %w", os.ErrDeadlineExceeded)
	}
}

// leave has calls with the step's context run on the pool again: those of what a hook has
// left running.
func (x *tx) leave() {
	if x.own != nil {
		x.own.ended.Store(true)
	}
}

// rollback takes back what was begun and has not ended.
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

// rollBackAll sends ROLLBACK. It is waited for no longer than the step may take.
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
	return &tx{table: table, db: db, lost: x.lost}
}

// withDeleted returns the same transaction with the rows that are soft-deleted.
func (x *tx) withDeleted() *tx {
	return &tx{table: x.table, db: x.db.Unscoped().Session(&gorm.Session{}), lost: x.lost}
}

// withoutHooks returns the same transaction with all rows of the table, without the hooks
// of the model.
func (x *tx) withoutHooks() *tx {
	db := x.db.Session(&gorm.Session{SkipHooks: true, SkipDefaultTransaction: true}).Unscoped()
	return &tx{table: x.table, db: db.Session(&gorm.Session{}), lost: x.lost}
}

// find loads the one row that the conditions name, and reports whether there is one.
func (x *tx) find(into any, conditions ...clause.Expression) (found bool, err error) {
	return x.table.load(x.db.Set("gorm:db_resolver:write", struct{}{}), into, conditions...)
}

// list loads the rows that the conditions name, each as a pointer to the program's
// model.
func (x *tx) list(conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
	return x.table.loadAll(x.db, conditions, more...)
}

// insert creates a row of the model, or several, and nothing that it refers to. It
// returns the number of rows, which is that of the rows but for one that is inserted on
// a condition.
func (x *tx) insert(row any, conditions ...clause.Expression) (rows int64, err error) {
	db := single(expectingDuplicates(x.db), x.table.hooksOnCreate()).Omit(clause.Associations)
	if len(conditions) > 0 {
		db = db.Clauses(conditions...)
	}
	result := db.Create(row)
	return result.RowsAffected, result.Error
}

// insertNew creates a row unless another has its key, and reports whether it did. On
// PostgreSQL a duplicate would end the transaction, which may be the caller's own; the
// others go on after one. There it is known by its error, as the number of rows is not to
// be relied upon: with clientFoundRows=true, MySQL counts the row that is there already.
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

// update changes the columns of the rows that the conditions name, and returns
// how many there were. The values stand by the names of their fields.
func (x *tx) update(values map[string]any, conditions ...clause.Expression) (rows int64, err error) {
	return x.updateRow(x.table.newRow(), values, conditions...)
}

// updateRow is update for a row that was read, which the hooks of the model see.
func (x *tx) updateRow(row any, values map[string]any, conditions ...clause.Expression) (rows int64, err error) {
	db := where(single(x.db, x.table.hooksOnUpdate()).Model(row), conditions...).Omit(clause.Associations)
	result := db.Updates(x.table.values(values))
	return result.RowsAffected, result.Error
}

// remove deletes the rows that the conditions name for good, also where the model has
// soft deletion, and returns how many there were.
func (x *tx) remove(conditions ...clause.Expression) (rows int64, err error) {
	result := where(single(x.db, x.table.hooksOnDelete()).Unscoped(), conditions...).Delete(x.table.newRow())
	return result.RowsAffected, result.Error
}

// note writes entries to the audit trail, if one is kept.
func (x *tx) note(entries ...entry) error {
	if x.table.trail == nil {
		return nil
	}
	return x.table.trail.note(x, entries...)
}
