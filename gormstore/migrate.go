package gormstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server"
)

// migrationLock is the key of the advisory lock under which instances migrate
// one after the other: "gormoaut" as a number.
const migrationLock int64 = 0x676f726d6f617574

// migrationTries is for how long a migration that meets another is tried again.
const migrationTries = time.Minute

// AutoMigrate adds what the models have and the database lacks: tables,
// columns and indexes. It alters and drops nothing, so a table that an older
// program made keeps every row and every constraint, which
// [gorm.DB.AutoMigrate] does not promise: on SQLite it rebuilds a table to alter
// it, and cannot read the definitions that SQLAlchemy writes.
//
// Any number of instances can start at once. It runs in one transaction, on
// PostgreSQL under an advisory lock. On MySQL, where each step takes effect by
// itself and no lock spans a cluster, what another instance has just created is
// left to it. Models that the constructors would refuse are refused here, all at once.
func AutoMigrate(db *gorm.DB, models ...any) error {
	db, err := handle(db)
	if err != nil {
		return err
	}
	if err := refused(db, models); err != nil {
		return err
	}
	options := &sql.TxOptions{}
	if db.Name() == "postgres" {
		// A snapshot for the whole transaction would be taken before the lock is
		// granted, and miss what its holder has created.
		options.Isolation = sql.LevelReadCommitted
	}
	// No statement is cut: a migration takes as long as it takes.
	return retry(server.WithStorageBudget(db.Statement.Context, migrationTries), func(context.Context) error {
		return db.Transaction(func(tx *gorm.DB) error { return migrate(tx, models) }, options)
	})
}

// refused returns what the constructors would refuse of the models, each of which would
// have its tables made otherwise.
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

func migrate(tx *gorm.DB, models []any) error {
	if tx.Name() == "postgres" {
		if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", migrationLock).Error; err != nil {
			return fmt.Errorf("gormstore: lock the migration: %w", err)
		}
	}
	if err := createMissing(tx, models); err != nil {
		return fmt.Errorf("gormstore: create tables: %w", err)
	}
	for _, model := range models {
		if err := addMissing(tx, model); err != nil {
			return fmt.Errorf("gormstore: migrate %T: %w", model, err)
		}
	}
	return nil
}

// createMissing creates the tables that are not there. When one of them is
// there after all, another instance was first, and it looks again.
func createMissing(tx *gorm.DB, models []any) error {
	migrator := tx.Migrator()
	for before := len(models) + 1; ; {
		missing := slices.DeleteFunc(slices.Clone(models), func(model any) bool { return migrator.HasTable(model) })
		// At once, so that GORM puts what refers to another after it.
		err := migrator.CreateTable(missing...)
		if !alreadyExists(err) || len(missing) == before {
			return err
		}
		before = len(missing)
	}
}

// addMissing adds the columns and indexes that a table lacks.
func addMissing(tx *gorm.DB, model any) error {
	t, err := parse(tx, model)
	if err != nil {
		return err
	}
	migrator := tx.Migrator()
	for _, name := range t.schema.DBNames {
		if t.schema.FieldsByDBName[name].IgnoreMigration || migrator.HasColumn(model, name) {
			continue
		}
		if err := migrator.AddColumn(model, name); err != nil && !alreadyExists(err) {
			return err
		}
	}
	for _, index := range t.schema.ParseIndexes() {
		if migrator.HasIndex(model, index.Name) {
			continue
		}
		if err := migrator.CreateIndex(model, index.Name); err != nil && !alreadyExists(err) {
			return err
		}
	}
	return nil
}
