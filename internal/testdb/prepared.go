package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Migrating is most of what a small test does to a database. So the models are migrated once
// per process: on SQLite each test then has a copy of the file, and on PostgreSQL a schema is
// emptied after a test and given to the next one, unless the test changed what is defined in it.

// of names the models of a migration: the same ones make the same tables.
func of(models []any) string {
	var b strings.Builder
	for _, model := range models {
		fmt.Fprintf(&b, "%p ", reflect.TypeOf(model))
	}
	return b.String()
}

// files are the migrated databases of SQLite, by their driver and models.
var files sync.Map // of string to func() ([]byte, error)

// migratedFile returns the content of a database of SQLite in which the models are migrated.
func migratedFile(tb testing.TB, dialector func(path string) gorm.Dialector, driver string, models []any) []byte {
	tb.Helper()
	made, _ := files.LoadOrStore(driver+of(models), sync.OnceValues(func() ([]byte, error) {
		file := sqliteFile(tb)
		err := with(dialector(file.dsn), func(db *gorm.DB) error {
			if err := db.AutoMigrate(models...); err != nil {
				return err
			}
			return db.Exec("PRAGMA wal_checkpoint(TRUNCATE)").Error
		})
		if err != nil {
			return nil, err
		}
		return os.ReadFile(file.path)
	}))
	content, err := made.(func() ([]byte, error))()
	if err != nil {
		tb.Fatalf("testdb: migrate on SQLite: %v", err)
	}
	return content
}

// with opens a handle for a moment.
func with(dialector gorm.Dialector, f func(db *gorm.DB) error) error {
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return errors.Join(f(db), pool.Close())
}

// schema is one of PostgreSQL in which models are migrated.
type schema struct {
	name string
	// definitions tells whether anything in it was defined anew.
	definitions string
}

// schemas are those that nobody uses, by their models.
var schemas = struct {
	sync.Mutex
	free map[string][]schema
}{free: map[string][]schema{}}

// migratedSchema returns the connection string of a schema in which the models are migrated,
// and which has no rows.
func migratedSchema(tb testing.TB, dsn string, models []any) string {
	tb.Helper()
	admin, err := administrator()
	if err != nil {
		tb.Fatalf("testdb: open: %v", err)
	}
	key := of(models)
	schemas.Lock()
	free := schemas.free[key]
	var s schema
	if len(free) > 0 {
		s, schemas.free[key] = free[len(free)-1], free[:len(free)-1]
	}
	schemas.Unlock()
	if s.name == "" {
		if s, err = newSchema(admin, dsn, models); err != nil {
			tb.Fatalf("testdb: make a schema: %v", err)
		}
	}
	tb.Cleanup(func() {
		// A transaction that the test left open holds this up until the timeout, and the test
		// then learns of it.
		reusable, err := s.clear(admin)
		switch {
		case err != nil:
			tb.Errorf("testdb: clear a schema: %v", err)
		case reusable && !tb.Failed():
			schemas.Lock()
			defer schemas.Unlock()
			schemas.free[key] = append(schemas.free[key], s)
		default:
			if err := s.drop(admin); err != nil {
				tb.Errorf("testdb: drop schema: %v", err)
			}
		}
	})
	return withParameter(dsn, "search_path", s.name)
}

// administrator is the one pool of this process by which schemas are made, cleared and
// dropped, at its end for the sake of a server that goes on.
var administrator = sync.OnceValues(func() (*sql.DB, error) {
	dsn, err := everyday()
	if err != nil {
		return nil, err
	}
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(2)
	atEnd(func() {
		for _, free := range schemas.free {
			for _, s := range free {
				_ = s.drop(pool)
			}
		}
		_ = pool.Close()
	})
	return pool, nil
})

func newSchema(admin *sql.DB, dsn string, models []any) (s schema, err error) {
	s.name = freshName()
	if err := define(admin, "CREATE SCHEMA "+s.name); err != nil {
		return s, err
	}
	err = with(postgres.Open(withParameter(dsn, "search_path", s.name)), func(db *gorm.DB) error { return db.AutoMigrate(models...) })
	if err != nil {
		return s, errors.Join(err, s.drop(admin))
	}
	s.definitions, err = s.defined(admin)
	return s, err
}

// defined returns something that changes with whatever is defined in the schema.
func (s schema) defined(admin *sql.DB) (digest string, err error) {
	ctx, cancel := shortly()
	defer cancel()
	err = admin.QueryRowContext(ctx, `SELECT md5(string_agg(entry, ' ' ORDER BY entry)) FROM (
		SELECT concat('c', oid, '.', xmin) AS entry FROM pg_class WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT concat('a', attrelid, '.', attnum, '.', a.xmin) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT concat('d', d.oid, '.', d.xmin) FROM pg_attrdef d JOIN pg_class c ON c.oid = adrelid WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT concat('i', indexrelid, '.', i.xmin) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT concat('t', t.oid, '.', t.xmin) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT concat('k', oid, '.', xmin) FROM pg_constraint WHERE connamespace = $1::regnamespace
		UNION ALL SELECT concat('p', oid, '.', xmin) FROM pg_proc WHERE pronamespace = $1::regnamespace
		UNION ALL SELECT concat('y', oid, '.', xmin) FROM pg_type WHERE typnamespace = $1::regnamespace
		UNION ALL SELECT concat('n', oid, '.', xmin) FROM pg_namespace WHERE oid = $1::regnamespace
		UNION ALL SELECT concat('r', rulename, '.', r.xmin) FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class WHERE relnamespace = $1::regnamespace) AS entries`, s.name).Scan(&digest)
	return digest, err
}

// clear empties the tables and has the sequences begin anew, unless something was defined.
func (s schema) clear(admin *sql.DB) (reusable bool, err error) {
	if now, err := s.defined(admin); err != nil || now != s.definitions {
		return false, err
	}
	ctx, cancel := shortly()
	defer cancel()
	rows, err := admin.QueryContext(ctx, `SELECT CASE relkind WHEN 'S' THEN format('setval(%L, 1, false)', oid::regclass) ELSE format('DELETE FROM %s', oid::regclass) END, relkind = 'S'
		FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'S')`, s.name)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	// In one statement, at whose end foreign keys are looked at.
	parts, sequences := []string{"one AS (SELECT 1)"}, []string{"1"}
	for rows.Next() {
		var text string
		var sequence bool
		if err := rows.Scan(&text, &sequence); err != nil {
			return false, err
		}
		if sequence {
			sequences = append(sequences, text)
		} else {
			parts = append(parts, fmt.Sprintf("part%d AS (%s)", len(parts), text))
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return true, define(admin, "WITH "+strings.Join(parts, ", ")+" SELECT "+strings.Join(sequences, ", "))
}

func (s schema) drop(admin *sql.DB) error { return define(admin, "DROP SCHEMA "+s.name+" CASCADE") }

// shortly is the context of a statement. It is not the test's, which is done by the time of
// its cleanups.
func shortly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func define(admin *sql.DB, statement string) error {
	ctx, cancel := shortly()
	defer cancel()
	_, err := admin.ExecContext(ctx, statement)
	return err
}
