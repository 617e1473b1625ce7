package gormstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/server/budget"
)

// migrationLock is the key of the advisory lock that makes instances migrate one after
// the other: "gormoaut" as a number.
const migrationLock int64 = 0x676f726d6f617574

const (
	// migrationTries is how long a migration that collides with another is tried again.
	migrationTries = time.Minute
	// migrationWait is how long an instance waits for another one that migrates.
	migrationWait = 30 * time.Minute
	// lockWait is how long the migration waits for a table that others have locked: anyone
	// who wants to read the table has to wait behind it.
	lockWait = 100 * time.Millisecond
	// lockPause is how long others get the table before the migration tries again.
	lockPause = 250 * time.Millisecond
	// lockPatience is how long the migration keeps trying.
	lockPatience = 30 * time.Second
)

// AutoMigrate adds the tables, columns and indexes of the models that the database lacks.
// It alters and drops nothing, so a table of an older program keeps every row and every
// constraint. [gorm.DB.AutoMigrate] does not guarantee that: on SQLite it rebuilds a table
// to alter it, and cannot read the definitions that SQLAlchemy writes. AutoMigrate does not
// create an index if the table has one on the same columns, whatever its name.
//
// It first reads the catalog, with a few statements; if nothing is missing, it does no more
// than that. Any number of instances can start at once.
//
// On PostgreSQL, tables and columns are created first, each table in its own transaction,
// which waits a tenth of a second for a table that others have locked, and then tries
// again. Then each index on an existing table is created by itself, CONCURRENTLY, which
// does not block reads or writes of the table. An invalid index, left by a failed attempt,
// is recreated. All this happens under a session-level advisory lock; behind a pooler in
// transaction mode, use [Migration]. If the handle is a transaction, everything happens
// inside it.
//
// On MySQL and MariaDB, each step takes effect by itself, and no lock spans a cluster:
// whatever another instance has just created is left as it is. Models that the
// constructors would refuse are refused here, all in one error.
func AutoMigrate(db *gorm.DB, models ...any) error { return Migration{}.AutoMigrate(db, models...) }

// Migration says how the database is reached, for [AutoMigrate]. The zero value suits a
// direct connection.
type Migration struct {
	// TransactionPooler says that PostgreSQL is behind a pooler that assigns server
	// connections for one transaction at a time, such as PgBouncer with pool_mode =
	// transaction. Session-level locks do not work then. In an empty database, everything is
	// created in one transaction. If existing tables lack something, AutoMigrate returns an
	// error; run the statements of [SchemaSQL] on a direct connection instead.
	TransactionPooler bool
	// Patience is how long the migration keeps trying to lock a PostgreSQL table that others
	// hold, such as a long query; 0 means 30 seconds. Others do not queue up behind the
	// migration in the meantime.
	Patience time.Duration
}

// AutoMigrate is like [AutoMigrate], with these settings.
func (m Migration) AutoMigrate(db *gorm.DB, models ...any) error {
	db, err := handle(db)
	if err != nil {
		return err
	}
	if err := refused(db, models); err != nil {
		return err
	}
	if _, inside := db.Statement.ConnPool.(gorm.TxCommitter); inside {
		if err := migrateWithin(db, models); err != nil {
			return fmt.Errorf("gormstore: migrate: %w", err)
		}
		return nil
	}
	pool, err := db.DB()
	if err != nil {
		return fmt.Errorf("gormstore: migrate: %w", err)
	}
	run := &migration{Migration: m, ctx: db.Statement.Context, db: db, models: models}
	if run.conn, err = pool.Conn(run.ctx); err != nil {
		return fmt.Errorf("gormstore: migrate: %w", err)
	}
	defer func() { _ = run.conn.Close() }()
	if err := run.run(); err != nil {
		return fmt.Errorf("gormstore: migrate: %w", err)
	}
	return nil
}

// refused returns what the constructors would refuse about the models, so that no table
// is created for such a model.
func refused(db *gorm.DB, models []any) error {
	var faults []error
	for _, model := range models {
		t, err := parse(db, model)
		if err == nil {
			err = t.examine()
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// migration is one call of [AutoMigrate], on one connection, because the pool may not
// have another.
type migration struct {
	Migration

	ctx    context.Context //nolint:containedctx // of the one call
	db     *gorm.DB
	conn   *sql.Conn
	models []any
	// timeouts are the original statement_timeout and lock_timeout of the session; nil if
	// they were not changed.
	timeouts []string
}

// missing is what a database lacks.
type missing struct {
	tables  []any // models
	columns []missingColumns
	indexes []missingIndex
}

type missingColumns struct {
	model any
	table string
	names []string
}

type missingIndex struct {
	model any
	table *Table
	*schema.Index

	columns []string // none if there is an expression
	invalid bool     // it exists, but its creation failed
}

func (m missing) nothing() bool { return len(m.tables)+len(m.columns)+len(m.indexes) == 0 }

// ofTables returns the names of what existing tables lack.
func (m missing) ofTables() []string {
	var names []string
	for _, of := range m.columns {
		for _, name := range of.names {
			names = append(names, "the column "+of.table+"."+name)
		}
	}
	for _, index := range m.indexes {
		names = append(names, "the index "+index.Name+" on "+index.table.schema.Table)
	}
	return names
}

// names returns the names of everything that is missing.
func (m missing) names() (names []string) {
	for _, model := range m.tables {
		names = append(names, fmt.Sprintf("the table of %T", model))
	}
	return append(names, m.ofTables()...)
}

// look reads the catalog and returns what is missing.
func (r *migration) look() (m missing, err error) {
	x := &examination{ctx: r.ctx, db: r.db, conn: r.conn}
	if r.db.Name() == "postgres" {
		tx, err := r.conn.BeginTx(r.ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return m, err
		}
		defer func() { _ = tx.Rollback() }()
		x.within = tx
	}
	return r.lookBy(x)
}

func (r *migration) lookBy(x *examination) (m missing, err error) {
	x.examineModels(r.models)
	tables, err := engineOf(r.db).tables(x)
	if err != nil {
		return missing{}, fmt.Errorf("read the catalog: %w", err)
	}
	for i, of := range x.models {
		model, t := r.models[i], tables[of.table.schema.Table]
		if t == nil {
			m.tables = append(m.tables, model)
			continue
		}
		lacks := missingColumns{model: model, table: of.table.schema.Table}
		for _, name := range of.table.schema.DBNames {
			if _, has := t.columns[name]; !has && !of.table.schema.FieldsByDBName[name].IgnoreMigration {
				lacks.names = append(lacks.names, name)
			}
		}
		if len(lacks.names) > 0 {
			m.columns = append(m.columns, lacks)
		}
		for _, index := range of.table.schema.ParseIndexes() {
			if lack, is := t.lacks(index); is {
				lack.model, lack.table = model, of.table
				m.indexes = append(m.indexes, lack)
			}
		}
	}
	return m, nil
}

// lacks reports whether a table has neither an index of that name nor an equivalent one.
func (t *catalogTable) lacks(index *schema.Index) (lack missingIndex, is bool) {
	lack.Index = index
	for _, option := range index.Fields {
		if option.Expression == "" {
			lack.columns = append(lack.columns, option.DBName)
		}
	}
	if len(lack.columns) < len(index.Fields) {
		lack.columns = nil
	}
	for _, known := range t.indexes {
		if known.name == index.Name {
			lack.invalid = !known.usable
			return lack, lack.invalid
		}
	}
	// A partial index may not cover the rows that this one is for.
	return lack, lack.columns == nil || !t.hasIndex(lack.columns, index.Class == "UNIQUE", false)
}

func (r *migration) run() error {
	lacks, err := r.look()
	switch {
	case err != nil || lacks.nothing():
		return err
	case r.db.Name() != "postgres":
		err = r.stepwise()
	case r.TransactionPooler:
		err = r.behindPooler()
	default:
		err = r.underLock()
	}
	if err != nil {
		return err
	}
	// A CREATE … IF NOT EXISTS does nothing if something else has the name.
	if lacks, err = r.look(); err == nil && !lacks.nothing() {
		err = fmt.Errorf("something else in the database has the name of %s: rename it", strings.Join(lacks.names(), ", "))
	}
	return err
}

// stepwise is for engines without locks for migrations: it creates tables and columns in
// one transaction, if the engine supports that, and then each index.
func (r *migration) stepwise() error {
	// The statements themselves have no time limit: a migration may take long.
	err := retry(budget.With(r.ctx, migrationTries), func(context.Context) error {
		return r.transaction(func(tx *gorm.DB) error {
			lacks, err := r.look()
			if err != nil {
				return err
			}
			return create(tx, lacks)
		})
	})
	if err != nil {
		return err
	}
	lacks, err := r.look()
	if err != nil {
		return err
	}
	for _, index := range lacks.indexes {
		err := retry(budget.With(r.ctx, migrationTries), func(context.Context) error {
			err := r.session().Migrator().CreateIndex(index.model, index.Name)
			if alreadyExists(err) || err != nil && strings.Contains(err.Error(), "already exists") && r.db.Name() == "sqlite" {
				return nil
			}
			return err
		})
		if err != nil {
			return r.notUnique(index, err)
		}
	}
	return nil
}

// session returns a handle on the migration's own connection.
func (r *migration) session() *gorm.DB {
	db := r.db.Session(&gorm.Session{NewDB: true, Context: r.ctx})
	db.Statement.ConnPool = r.conn
	return db
}

// transaction runs f in a transaction on the migration's own connection.
func (r *migration) transaction(f func(tx *gorm.DB) error) error {
	options := &sql.TxOptions{}
	if r.db.Name() == "postgres" {
		options.Isolation = sql.LevelReadCommitted
	}
	return r.session().Transaction(f, options)
}

// create creates tables, and adds columns to others.
func create(tx *gorm.DB, lacks missing) error {
	if err := createTables(tx, lacks.tables); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	for _, of := range lacks.columns {
		if err := addColumns(tx, of); err != nil {
			return fmt.Errorf("add columns to %s: %w", of.table, err)
		}
	}
	return nil
}

// createTables creates the missing tables. If one of them exists after all, another
// instance was faster, and it looks again.
func createTables(tx *gorm.DB, models []any) error {
	migrator := tx.Migrator()
	for before := len(models) + 1; ; {
		lacking := models
		if before <= len(models) {
			lacking = slices.DeleteFunc(slices.Clone(models), func(model any) bool { return migrator.HasTable(model) })
		}
		// In one call, so that GORM creates tables after those that they refer to.
		err := migrator.CreateTable(lacking...)
		if err == nil {
			return storeFor(tx, lacking)
		}
		if !alreadyExists(err) || len(lacking) == before {
			return err
		}
		before = len(lacking)
	}
}

func addColumns(tx *gorm.DB, of missingColumns) error {
	for _, name := range of.names {
		if err := tx.Migrator().AddColumn(of.model, name); err != nil && !alreadyExists(err) {
			return err
		}
	}
	return nil
}

// underLock is for PostgreSQL. An instance that waits for another one holds no snapshot,
// because CREATE INDEX CONCURRENTLY waits for all older snapshots.
func (r *migration) underLock() (err error) {
	if r.isShared() {
		return errPooled
	}
	if err := r.lock(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.unlock()) }()
	lacks, err := r.look()
	if err != nil {
		return err
	}
	if len(lacks.tables) > 0 {
		if err := r.briefly("tables", func(tx *gorm.DB) error { return createTables(tx, lacks.tables) }); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
	}
	for _, of := range lacks.columns {
		if err := r.briefly(of.table, func(tx *gorm.DB) error { return addColumns(tx, of) }); err != nil {
			return fmt.Errorf("add columns to %s: %w", of.table, err)
		}
	}
	for _, index := range lacks.indexes {
		if err := r.createConcurrently(index); err != nil {
			return err
		}
	}
	return nil
}

// errPooled means that session-level locks do not work.
var errPooled = errors.New("the database is behind a pooler in transaction mode, such as PgBouncer, where session-level locks do not work: " +
	"migrate on a direct connection, or use gormstore.Migration{TransactionPooler: true}.AutoMigrate(db, …)")

// isShared reports whether connections are seen to share server connections. It may fail to
// notice that they do.
func (r *migration) isShared() bool {
	x := &examination{ctx: r.ctx, db: r.db, conn: r.conn}
	if pool, err := r.db.DB(); err == nil {
		x.pool = pool
		spare := x.spareConns(1)
		defer closeAll(spare)
		return x.sharesBackends(append(spare, r.conn))
	}
	return false
}

// lock waits for other instances that migrate, and takes the lock.
func (r *migration) lock() error {
	err := r.poll(func() (mine bool, err error) {
		err = r.conn.QueryRowContext(r.ctx, fmt.Sprintf("SELECT pg_try_advisory_lock(%d)", migrationLock)).Scan(&mine)
		return mine, err
	})
	if err != nil { // the lock may have been taken all the same
		r.discard()
	}
	return err
}

// set sets statement_timeout and lock_timeout of the session, and remembers their original
// values the first time. It does nothing if values is nil.
func (r *migration) set(ctx context.Context, values []string) error {
	if values == nil {
		return nil
	}
	if r.timeouts == nil {
		r.timeouts = make([]string, len(values))
		err := r.conn.QueryRowContext(ctx, "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')").Scan(&r.timeouts[0], &r.timeouts[1])
		if err != nil {
			r.timeouts = nil
			return err
		}
	}
	_, err := r.conn.ExecContext(ctx, "SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)", values[0], values[1])
	return err
}

// discard closes the connection, which releases everything that its session holds.
func (r *migration) discard() { _ = r.conn.Raw(func(any) error { return driver.ErrBadConn }) }

// unlock releases the lock and restores the settings of the session. If that fails, it
// closes the connection, which also releases the lock, and returns the error.
func (r *migration) unlock() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), budget.Default)
	defer cancel()
	var held bool
	err := r.set(ctx, r.timeouts)
	if err == nil {
		err = r.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", migrationLock)).Scan(&held)
	}
	if err != nil {
		r.discard() // the server releases it with the connection
		return fmt.Errorf("release the lock of migrations: %w", err)
	}
	if !held {
		return errPooled
	}
	return nil
}

// briefly runs statements that lock a table in a transaction that does not wait long for
// the lock, and tries again until Patience is over.
func (r *migration) briefly(table string, f func(tx *gorm.DB) error) (err error) {
	patience := cmp.Or(r.Patience, lockPatience)
	for end := time.Now().Add(patience); ; {
		err = r.transaction(func(tx *gorm.DB) error {
			if err := tx.Exec(fmt.Sprintf("SET LOCAL lock_timeout = %d", lockWait.Milliseconds())).Error; err != nil {
				return err
			}
			return f(tx)
		})
		if state := stateOf(err); state != "55P03" && classOf(err) != collision {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("other transactions have kept %s locked for %v: end the transactions that hold it (pg_locks, pg_stat_activity), or migrate when there are fewer: %w", table, patience, err)
		}
		if err := rest(r.ctx, lockPause); err != nil {
			return err
		}
	}
}

// createConcurrently creates an index while others read and write the table. It recreates an
// invalid one.
func (r *migration) createConcurrently(index missingIndex) error {
	statement, err := r.statementOf(index)
	if err != nil {
		return err
	}
	drop := "DROP INDEX CONCURRENTLY IF EXISTS " + r.qualified(index) //nolint:gosec // the name is quoted
	// It may take long, and does not block anyone.
	if err := r.set(r.ctx, []string{"0", "0"}); err != nil {
		return err
	}
	const attempts = 5
	for range attempts {
		if index.invalid {
			if _, err = r.conn.ExecContext(r.ctx, drop); err != nil {
				return fmt.Errorf("drop the invalid index %s: %w", index.Name, err)
			}
		}
		if _, err = r.conn.ExecContext(r.ctx, statement); err == nil {
			return nil
		}
		index.invalid = true // it was partly created
		if classOf(err) != collision {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), migrationTries)
	defer cancel()
	_, _ = r.conn.ExecContext(ctx, drop)
	return r.notUnique(index, fmt.Errorf("create the index %s: %w", index.Name, err))
}

// qualified returns the name of an index with the schema of its table, if the model gives
// one.
func (r *migration) qualified(index missingIndex) string {
	quote := func(name string) string { return (&gorm.Statement{DB: r.db}).Quote(name) }
	if place, _, has := strings.Cut(index.table.schema.Table, "."); has {
		return quote(place + "." + index.Name)
	}
	return quote(index.Name)
}

// statementOf returns the statement with which GORM would create an index, with
// CONCURRENTLY.
func (r *migration) statementOf(index missingIndex) (string, error) {
	statements, err := recorded(r.db, func(tx *gorm.DB) error { return tx.Migrator().CreateIndex(index.model, index.Name) })
	if err != nil {
		return "", err
	}
	statement := strings.Join(statements, "; ")
	if before, after, found := strings.Cut(statement, "INDEX "); found && len(statements) == 1 && !strings.Contains(statement, "CONCURRENTLY") {
		return before + "INDEX CONCURRENTLY " + after, nil
	}
	return statement, nil
}

// notUnique returns an error that says which rows prevent a unique index. It does not
// contain digests.
func (r *migration) notUnique(index missingIndex, err error) error {
	if index.Class != "UNIQUE" || !isDuplicate(err) || len(index.columns) == 0 {
		return err
	}
	var columns []string
	secret := false
	for _, column := range index.columns {
		columns = append(columns, (&gorm.Statement{DB: r.db}).Quote(column))
		secret = secret || slices.ContainsFunc(index.table.about.Digests, func(field string) bool { return index.table.columns[field] == column })
	}
	list := strings.Join(columns, ", ")
	table := (&gorm.Statement{DB: r.db}).Quote(index.table.schema.Table)
	kind := "TEXT"
	if r.db.Name() == "mysql" {
		kind = "CHAR"
	}
	rows, lookErr := r.conn.QueryContext(r.ctx, fmt.Sprintf("SELECT CAST(%s AS %s), COUNT(*) FROM %s GROUP BY %s HAVING COUNT(*) > 1 ORDER BY COUNT(*) DESC LIMIT %d", columns[0], kind, table, list, namedDuplicates))
	if lookErr != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var named []string
	for rows.Next() {
		var value sql.NullString
		var count int64
		if rows.Scan(&value, &count) == nil {
			if secret {
				value.String = "a digest"
			} else {
				value.String = fmt.Sprintf("%q", value.String)
			}
			named = append(named, fmt.Sprintf("%s in %d rows", value.String, count))
		}
	}
	if rows.Err() != nil || len(named) == 0 {
		return err
	}
	return fmt.Errorf("%s has several rows with the same %s, which must be unique: %s; delete all but one of each: %w", index.table.schema.Table, strings.Join(index.columns, ", "), strings.Join(named, ", "), err)
}

// behindPooler creates everything in one transaction in a database that has none of the
// tables yet.
func (r *migration) behindPooler() error {
	return r.transaction(func(tx *gorm.DB) error {
		if err := r.lockWithin(tx); err != nil {
			return err
		}
		lacks, err := r.lookWithin(tx)
		if err != nil {
			return err
		}
		if names := lacks.ofTables(); len(names) > 0 {
			return fmt.Errorf("existing tables lack %s: behind a pooler in transaction mode, no lock can be held while they are added; run the statements of gormoauth.SchemaSQL or of the doctor, or AutoMigrate, on a direct connection",
				strings.Join(names, ", "))
		}
		return createTables(tx, lacks.tables)
	})
}

// lockWithin waits for other instances that migrate, inside a transaction. Between two
// attempts the transaction holds no snapshot that a CREATE INDEX CONCURRENTLY would wait
// for.
func (r *migration) lockWithin(tx *gorm.DB) error {
	if tx.Name() != "postgres" {
		return nil
	}
	return r.poll(func() (mine bool, err error) {
		err = tx.Raw(fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", migrationLock)).Scan(&mine).Error
		return mine, err
	})
}

// poll tries to take a lock until it succeeds, for up to migrationWait.
func (r *migration) poll(try func() (mine bool, err error)) error {
	const pause = 50 * time.Millisecond
	for end := time.Now().Add(migrationWait); time.Now().Before(end); {
		if mine, err := try(); err != nil || mine {
			return err
		}
		if err := rest(r.ctx, pause); err != nil {
			return err
		}
	}
	return fmt.Errorf("another instance has been migrating for %v; see in pg_stat_activity what it waits for, or end it", migrationWait)
}

// lookWithin is look inside a transaction.
func (r *migration) lookWithin(tx *gorm.DB) (missing, error) {
	return r.lookBy(&examination{ctx: r.ctx, db: r.db, within: tx.Statement.ConnPool})
}

// migrateWithin migrates in a transaction of the program's own.
func migrateWithin(tx *gorm.DB, models []any) error {
	r := &migration{ctx: tx.Statement.Context, db: tx, models: models}
	if err := r.lockWithin(tx); err != nil {
		return err
	}
	lacks, err := r.lookWithin(tx)
	if err != nil {
		return err
	}
	if err := create(tx, lacks); err != nil {
		return err
	}
	for _, index := range lacks.indexes {
		if err := tx.Migrator().CreateIndex(index.model, index.Name); err != nil && !alreadyExists(err) {
			return fmt.Errorf("create the index %s: %w", index.Name, err)
		}
	}
	return nil
}
