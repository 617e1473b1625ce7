package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
)

// The models of what a user leaves behind beside a code and a token.
type (
	consent struct {
		ID     uint
		UserID uint
		models.ConsentMixin
	}
	session struct {
		ID     uint
		UserID uint
		models.SessionMixin
	}
)

// scaleResult is what a number of users costs, each of whom has a grant with its token, the
// code that it came from, a consent and a session.
type scaleResult struct {
	Users             int
	RowBytes          [4]int64 // in the order of scaled, with the entries in indexes
	Bytes             int64    // of everything
	Indexes           time.Duration
	Look, Doctor      time.Duration // at a start: AutoMigrate that finds nothing to do, Diagnose
	Operations        []measurement // in the order of basic, at 8 connections
	Pruned, Revoked   int
	Pruning, Revoking time.Duration
}

// scaled are the tables whose rows are multiplied, and what of a row is its own.
var scaled = []struct {
	table string
	own   map[string]string
}{
	{"tokens", map[string]string{"access_token": random, "refresh_token": random, "grant_id": random, "user_id": "n", "client_id": "'client-' || n % 20",
		"expires_at": expiry, "refresh_token_expires_at": expiry}},
	{"authorization_codes", map[string]string{"code": random, "grant_id": random, "user_id": "n", "client_id": "'client-' || n % 20",
		"expires_at": "extract(epoch FROM now())::bigint - n % (86400 * 30)"}}, // as many each day of what Prune keeps
	{"consents", map[string]string{"consent_key": random, "user_id": "n", "client_id": "'client-' || n % 20"}},
	{"sessions", map[string]string{"sid": random, "session_id": random, "user_id": "n", "client_id": "'client-' || n % 20"}},
}

const (
	random = "digest"
	expiry = "expiry" // see expiryOf
)

// expiryOf returns when a row expires: before now for one row in ten, which are the oldest ones,
// or lie all over the table.
func expiryOf(users int, spread bool) string {
	expired := fmt.Sprintf("n <= %d", users/10)
	if spread {
		expired = "n % 10 = 0"
	}
	return "extract(epoch FROM now())::bigint + CASE WHEN " + expired + " THEN -3600 - n % 1000 ELSE 86400 * 30 + n % 1000 END"
}

// scale fills a database of PostgreSQL with so many users, and asks everything of it that
// might depend on them.
func scale(e engine, users int, slice time.Duration, spread bool) (result scaleResult, err error) {
	result.Users = users
	dsn, err := e.fresh(fmt.Sprintf("scale%d", users))
	if err != nil {
		return result, err
	}
	db, err := open(e.kind, hasty(e.kind, dsn))
	if err != nil {
		return result, err
	}
	pool, err := db.DB()
	if err != nil {
		return result, err
	}
	defer pool.Close()
	l, err := newOwn(db)
	if err != nil {
		return result, err
	}
	all := []any{&user{}, &client{}, &token{}, &authorizationCode{}, &deviceCode{}, &replay{}, &signingKey{}, &consent{}, &session{}}
	if err := populate(db, l, all, users, spread, &result); err != nil {
		return result, err
	}
	known, err := grantInProcess(l, min(spreadGrants, users/10))
	if err != nil {
		return result, err
	}
	if err := result.atAStart(db, all); err != nil {
		return result, err
	}
	server, err := e.start(own, dsn)
	if err != nil {
		return result, err
	}
	defer server.stop()
	if err := result.operations(server, known, slice); err != nil {
		return result, err
	}
	began := time.Now()
	if err := pruneBy(server); err != nil {
		return result, err
	}
	result.Pruned, result.Pruning = users/10, time.Since(began)
	// The server vacuums what was pruned, in its own time.
	for _, statement := range []string{"VACUUM ANALYZE tokens", "VACUUM ANALYZE authorization_codes", "CHECKPOINT"} {
		if err := db.Exec(statement).Error; err != nil {
			return result, err
		}
	}
	tokens, err := gormstore.NewTokens[token](db)
	if err != nil {
		return result, err
	}
	began = time.Now()
	err = tokens.Revoke(context.Background(), gormstore.RevokeOptions{ClientID: "client-1", Report: func(ended int64) {
		result.Revoked, result.Revoking = int(ended), time.Since(began)
	}})
	return result, err
}

// populate has one user do everything, and copies the rows for the others.
func populate(db *gorm.DB, l contestant, all []any, users int, spread bool, result *scaleResult) error {
	if err := gormoauth.AutoMigrate(db, all...); err != nil {
		return err
	}
	if _, err := grantInProcess(l, 1); err != nil {
		return err
	}
	digest, now := strings.Repeat("0", 64), time.Now().Unix()
	if err := errors.Join(
		db.Create(&consent{ConsentMixin: models.ConsentMixin{ConsentKey: digest, Scope: "openid profile", GrantedAt: now}}).Error,
		db.Create(&session{SessionMixin: models.SessionMixin{SID: digest, SessionID: digest, Subject: "1", StartedAt: now, ExpiresAt: now + 86400*30}}).Error,
	); err != nil {
		return err
	}
	// Rows first, and then the indexes: that is faster by far, and what making them takes is
	// worth knowing.
	definitions, err := dropIndexes(db)
	if err != nil {
		return err
	}
	for _, s := range scaled {
		if err := multiply(db, s.table, s.own, users, spread); err != nil {
			return err
		}
		progress("%d users: %s", users, s.table)
	}
	began := time.Now()
	for _, definition := range definitions {
		if err := db.Exec(definition).Error; err != nil {
			return err
		}
	}
	result.Indexes = time.Since(began)
	progress("%d users: indexes, %v", users, result.Indexes)
	for i, s := range scaled {
		if err := db.Exec("VACUUM ANALYZE " + s.table).Error; err != nil {
			return err
		}
		if err := db.Raw("SELECT pg_total_relation_size(?)", s.table).Row().Scan(&result.RowBytes[i]); err != nil {
			return err
		}
		result.RowBytes[i] /= int64(users)
	}
	if err := db.Raw("SELECT pg_database_size(current_database())").Row().Scan(&result.Bytes); err != nil {
		return err
	}
	return db.Exec("CHECKPOINT").Error
}

// dropIndexes drops the indexes of the tables that are filled, and returns what makes them.
func dropIndexes(db *gorm.DB) (definitions []string, err error) {
	var indexes []struct{ Name, Definition string }
	tables := make([]string, len(scaled))
	for i, s := range scaled {
		tables[i] = s.table
	}
	err = db.Raw("SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE tablename IN ? AND indexname NOT LIKE '%pkey'", tables).Scan(&indexes).Error
	for _, index := range indexes {
		definitions = append(definitions, index.Definition)
		err = errors.Join(err, db.Exec("DROP INDEX "+index.Name).Error)
	}
	return definitions, err
}

// multiply copies the first row of a table so many times, in steps, but for what is each
// row's own.
func multiply(db *gorm.DB, table string, own map[string]string, rows int, spread bool) error {
	var columns []string
	if err := db.Raw("SELECT column_name FROM information_schema.columns WHERE table_name = ? AND column_name <> 'id'", table).Scan(&columns).Error; err != nil {
		return err
	}
	values := make([]string, len(columns))
	for i, column := range columns {
		switch own[column] {
		case "":
			values[i] = "first." + column
		case expiry:
			values[i] = expiryOf(rows, spread)
		case random:
			values[i] = "left(encode(sha256((n || '" + column + "' || random())::bytea), 'hex'), length(first." + column + "))"
		default:
			values[i] = own[column]
		}
	}
	const step = 500_000
	for from := 1; from <= rows; from += step {
		err := db.Exec(fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(%d, %d) AS n, (SELECT * FROM %s ORDER BY id LIMIT 1) AS first",
			table, strings.Join(columns, ", "), strings.Join(values, ", "), from, min(rows, from+step-1), table)).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// atAStart measures what a program does at a start against a database that is up to date.
func (r *scaleResult) atAStart(db *gorm.DB, all []any) error {
	srv, err := newServer(db, nil)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := gormoauth.AutoMigrate(db, all...); err != nil {
		return err
	}
	r.Look = time.Since(began)
	began = time.Now()
	gormoauth.Diagnose(context.Background(), srv, db, all)
	r.Doctor = time.Since(began)
	return nil
}

// operations measures the basic operations on grants that exist.
func (r *scaleResult) operations(server *process, known []tokens, slice time.Duration) error {
	const workers = 8
	c := newCaller(server.address, workers)
	measured, err := operationsNamed(basic)
	if err != nil {
		return err
	}
	for _, o := range measured {
		d := newSpreadDriver(c, o, workers, known)
		if _, err := d.run(slice / 5); err != nil { // warm-up
			return err
		}
		m, err := d.run(slice)
		if err != nil {
			return err
		}
		progress("%d users, %s: %.0f a second", r.Users, o.name, m.Rate())
		r.Operations = append(r.Operations, m)
	}
	return nil
}

func runScale(out io.Writer, engines []engine, sizes []int, slice time.Duration, spread bool) error {
	e, err := enginesNamed(engines, []string{"postgres"})
	if err != nil {
		return err
	}
	var all []scaleResult
	for _, users := range sizes {
		result, err := scale(e[0], users, slice, spread)
		if err != nil {
			return err
		}
		all = append(all, result)
		progress("%s", scaleTable(all))
	}
	fmt.Fprintln(out, scaleTable(all))
	return nil
}

func scaleTable(all []scaleResult) string {
	var b strings.Builder
	b.WriteString("\n| PostgreSQL, users |")
	for _, r := range all {
		fmt.Fprintf(&b, " %d |", r.Users)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(all)))
	row := func(name string, cell func(r scaleResult) string) {
		fmt.Fprintf(&b, "\n| %s |", name)
		for _, r := range all {
			b.WriteString(" " + cell(r) + " |")
		}
	}
	row("database, MB", func(r scaleResult) string { return fmt.Sprint(r.Bytes >> 20) })
	for i, s := range scaled {
		row("bytes a row of "+s.table, func(r scaleResult) string { return fmt.Sprint(r.RowBytes[i]) })
	}
	for i, name := range basic {
		row(name+", a second, and p50 / p99 in ms", func(r scaleResult) string {
			m := r.Operations[i]
			return fmt.Sprintf("%.0f, %s / %s", m.Rate(), milliseconds(m.Percentile(50)), milliseconds(m.Percentile(99)))
		})
	}
	row("pruned, rows a second", func(r scaleResult) string {
		return fmt.Sprintf("%d, %.0f", r.Pruned, float64(r.Pruned)/r.Pruning.Seconds())
	})
	row("a client's grants revoked, rows a second", func(r scaleResult) string {
		return fmt.Sprintf("%d, %.0f", r.Revoked, float64(r.Revoked)/r.Revoking.Seconds())
	})
	row("all indexes made anew, s", func(r scaleResult) string { return fmt.Sprintf("%.1f", r.Indexes.Seconds()) })
	row("a start: AutoMigrate, doctor, ms", func(r scaleResult) string {
		return milliseconds(r.Look) + ", " + milliseconds(r.Doctor)
	})
	return b.String() + "\n"
}
