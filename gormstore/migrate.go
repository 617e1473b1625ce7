package gormstore

import (
	"fmt"

	"gorm.io/gorm"
)

// migrationLock is the key of the advisory lock under which instances migrate
// one after the other: "gormoaut" as a number.
const migrationLock int64 = 0x676f726d6f617574

// AutoMigrate adds what the models have and the database lacks: tables,
// columns and indexes. It alters and drops nothing, so a table that an older
// program made keeps every row and every constraint, which
// [gorm.DB.AutoMigrate] does not promise: on SQLite it rebuilds a table to alter
// it, and cannot read the definitions that SQLAlchemy writes.
//
// It runs in one transaction, on PostgreSQL under an advisory lock, so that any
// number of instances can start at once.
func AutoMigrate(db *gorm.DB, models ...any) error {
	return retry(db.Statement.Context, func(bool) error {
		return db.Transaction(func(tx *gorm.DB) error { return migrate(tx, models) })
	})
}

func migrate(tx *gorm.DB, models []any) error {
	if tx.Name() == "postgres" {
		if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", migrationLock).Error; err != nil {
			return fmt.Errorf("gormstore: lock the migration: %w", err)
		}
	}
	var created []any
	for _, model := range models {
		if !tx.Migrator().HasTable(model) {
			created = append(created, model)
		} else if err := addMissing(tx, model); err != nil {
			return fmt.Errorf("gormstore: migrate %T: %w", model, err)
		}
	}
	// At once, so that GORM puts what refers to another after it.
	return tx.Migrator().CreateTable(created...)
}

// addMissing adds the columns and indexes that a table lacks.
func addMissing(tx *gorm.DB, model any) error {
	s, err := newStore(tx, model)
	if err != nil {
		return err
	}
	migrator := tx.Migrator()
	for _, name := range s.schema.DBNames {
		if s.schema.FieldsByDBName[name].IgnoreMigration || migrator.HasColumn(model, name) {
			continue
		}
		if err := migrator.AddColumn(model, name); err != nil {
			return err
		}
	}
	for _, index := range s.schema.ParseIndexes() {
		if migrator.HasIndex(model, index.Name) {
			continue
		}
		if err := migrator.CreateIndex(model, index.Name); err != nil {
			return err
		}
	}
	return nil
}
