package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver "sqlite": SQLite in Go, without a C compiler

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/server"
)

const (
	connectTimeout = 10 * time.Second
	slowQuery      = time.Second

	// More connections would only wait for each other: on SQLite for the single write lock, on
	// PostgreSQL for the server, which other instances use as well.
	sqliteConnections   = 8
	postgresConnections = 20
)

// openDatabase connects to the database. Stores that are made from the handle write the audit
// trail.
func openDatabase(ctx context.Context, dsn string, log *slog.Logger) (db *gorm.DB, closeDB func(), err error) {
	dialector, connections := sqliteDialector(dsn)
	if isPostgres(dsn) {
		dialector, connections = postgres.Open(dsn), postgresConnections
	}
	// GORM logs nothing until the database is open: the error is returned.
	db, err = gorm.Open(dialector, &gorm.Config{Logger: logger.Discard, DisableAutomaticPing: true})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the database %s: %w", printableDSN(dsn), err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)

	ping, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := pool.PingContext(ping); err != nil {
		_ = pool.Close()
		return nil, nil, fmt.Errorf("cannot reach the database %s: %w", printableDSN(dsn), err)
	}
	db, err = gormoauth.WithAudit[Audit](db.Session(&gorm.Session{Logger: queryLogger(log)}))
	if err != nil {
		_ = pool.Close()
		return nil, nil, err
	}
	return db, func() { _ = pool.Close() }, nil
}

// queryLogger logs failing and slow statements, never their values.
func queryLogger(log *slog.Logger) logger.Interface {
	return patientLogger{logger.NewSlogLogger(log, logger.Config{
		LogLevel: logger.Warn, SlowThreshold: slowQuery, IgnoreRecordNotFoundError: true, ParameterizedQueries: true,
	})}
}

// patientLogger does not log statements that failed because the client disconnected. That is
// no fault of the database, and any client can cause it at will.
type patientLogger struct{ logger.Interface }

func (l patientLogger) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	if !errors.Is(err, context.Canceled) {
		l.Interface.Trace(ctx, begin, statement, err)
	}
}

// ParamsFilter removes the values from logged statements. GORM asks the outermost logger for
// it.
func (l patientLogger) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// sqliteDialector returns the dialector and how many connections it may have.
func sqliteDialector(path string) (dialector gorm.Dialector, connections int) {
	connections = sqliteConnections
	if path == ":memory:" {
		connections = 1 // each connection would be a database of its own
	}
	return sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: sqliteDSN(path)}), connections
}

// sqliteDSN returns the file as a URI, so that no character of its name is taken for a setting.
// The settings let readers and a writer work at the same time. A transaction waits for the write
// lock when it begins, the only time at which SQLite can wait for it.
func sqliteDSN(path string) string {
	settings := url.Values{
		"_pragma":   {"busy_timeout(1000)", "journal_mode(WAL)", "foreign_keys(1)"},
		"_txlock":   {"immediate"},
		"_error_rc": {"true"},
	}
	if path != ":memory:" {
		volume := filepath.VolumeName(path) != ""
		path = (&url.URL{Path: filepath.ToSlash(filepath.Clean(path))}).EscapedPath()
		if volume {
			path = "/" + path
		}
	}
	return "file:" + path + "?" + settings.Encode()
}

// printableDSN returns the name of a database without its password.
func printableDSN(dsn string) string {
	if !isPostgres(dsn) {
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "at PostgreSQL"
	}
	u.RawQuery = "" // may hold a password, too
	return u.Redacted()
}

// prepareDatabase migrates the tables and creates the demo accounts. The server checks the demo
// clients as it checks all others. Instances that start together take turns.
func prepareDatabase(ctx context.Context, db *gorm.DB, demo bool, srv *server.Server) error {
	db = db.WithContext(ctx)
	if err := migrate(db); err != nil {
		return fmt.Errorf("cannot prepare the database: %w", err)
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		if demo {
			return seedDemo(tx, srv)
		}
		return retireDemo(tx)
	})
	if err != nil {
		return fmt.Errorf("cannot prepare the database: %w", err)
	}
	return nil
}

func migrate(db *gorm.DB) error { return gormoauth.AutoMigrate(db, allModels()...) }
