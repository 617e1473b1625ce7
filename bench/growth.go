package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"gorm.io/gorm"
)

// growthResult is the latency of an operation at two sizes of the token table.
type growthResult struct {
	Engine, Operation string
	Rows              [2]int
	P50, P99          [2]time.Duration
	Ratio             float64 // of the medians of P50, big to small
}

// grow measures the library at 8 connections in two databases, one with few
// rows and one with many, in turn.
func grow(e engine, few, many int, slice time.Duration, rounds int) ([]growthResult, error) {
	const workers = 8
	sizes := [2]int{few, many}
	var callers [2]*caller
	var spread [2][]tokens
	for i, rows := range sizes {
		dsn, err := e.fresh(fmt.Sprintf("growth%d", i))
		if err != nil {
			return nil, err
		}
		if spread[i], err = fill(e, dsn, rows); err != nil {
			return nil, err
		}
		r, err := e.start(own, dsn)
		if err != nil {
			return nil, err
		}
		defer r.stop() //nolint:gocritic // there are two
		callers[i] = newCaller(r.address, workers)
	}
	measured, err := operationsNamed(basic)
	if err != nil {
		return nil, err
	}
	var results []growthResult
	for _, o := range measured {
		result := growthResult{Engine: e.name, Operation: o.name, Rows: sizes}
		var drivers [2]*driver
		for i, c := range callers {
			drivers[i] = newSpreadDriver(c, o, workers, spread[i])
		}
		var p50, p99 [2][]time.Duration
		for round := range rounds + 1 {
			for i := range drivers {
				i = (i + round) % len(drivers)
				m, err := drivers[i].run(slice)
				if err != nil {
					return nil, err
				}
				if round > 0 {
					p50[i], p99[i] = append(p50[i], m.Percentile(50)), append(p99[i], m.Percentile(99))
				}
			}
		}
		for i := range sizes {
			result.P50[i], result.P99[i] = median(p50[i]), median(p99[i])
		}
		result.Ratio = float64(result.P50[1]) / float64(result.P50[0])
		progress("%s, %s: %v at %d rows, %v at %d: %.2f", e.name, o.name, result.P50[0], few, result.P50[1], many, result.Ratio)
		results = append(results, result)
	}
	return results, nil
}

// spreadGrants is how many grants with known tokens lie among the rows, at most.
const spreadGrants = 10_000

// fill inserts rows in the database itself, and between them grants of the
// library's, so that operations touch rows anywhere in the table.
func fill(e engine, dsn string, rows int) (known []tokens, err error) {
	db, err := open(e.kind, hasty(e.kind, dsn))
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	l, err := newOwn(db)
	if err != nil {
		return nil, err
	}
	const batches = 20
	grants := min(spreadGrants, rows/10) / batches
	for i := range batches {
		if err := insertTokens(db, rows/batches-grants, time.Now().Add(24*time.Hour)); err != nil {
			return nil, err
		}
		more, err := grantInProcess(l, grants)
		if err != nil {
			return nil, err
		}
		known = append(known, more...)
		progress("%s: %d of %d rows", e.name, (i+1)*rows/batches, rows)
	}
	return known, analyze(db)
}

// hasty has the database not wait for its disk while it is filled.
func hasty(kind, dsn string) string {
	if kind == "postgres" {
		return dsn + "&synchronous_commit=off"
	}
	return strings.ReplaceAll(strings.ReplaceAll(dsn, "_synchronous=FULL", "_synchronous=OFF"), "_synchronous=NORMAL", "_synchronous=OFF")
}

// grantInProcess redeems codes without HTTP.
func grantInProcess(c contestant, n int) ([]tokens, error) {
	all := make([]tokens, n)
	return all, parallel(n, connections, func(i int) error {
		code, err := c.Code(context.Background())
		if err != nil {
			return err
		}
		w := post(c, codeForm(code))
		if err := json.Unmarshal(w.Body.Bytes(), &all[i]); err != nil || all[i].Refresh == "" {
			return fmt.Errorf("a code is answered with %d: %s", w.Code, w.Body)
		}
		return nil
	})
}

// post asks a token endpoint without HTTP.
func post(c contestant, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	w := httptest.NewRecorder()
	c.Token(w, r)
	return w
}

// insertTokens inserts rows with random digests.
func insertTokens(db *gorm.DB, rows int, expires time.Time) error {
	numbers, random := "generate_series(1, ?) AS n", "encode(sha256((random()::text || n)::bytea), 'hex')"
	if db.Name() == "sqlite" {
		numbers, random = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT ?) SELECT n FROM s)", "lower(hex(randomblob(32)))"
	}
	now := time.Now().Unix()
	return db.Exec(`INSERT INTO tokens (user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at,
			refresh_token_revoked_at, expires_in, grant_id, granted_scope, granted_audience, granted_at, refresh_token_expires_at, audience, confirmation, expires_at)
		SELECT 1, '`+clientID+`', 'Bearer', `+random+`, `+random+`, 'profile', ?, 0, 0, 3600, `+random+`, 'profile', '', ?, ?, '', '', ? + n % 1000 FROM `+numbers,
		now, now, expires.Unix(), expires.Unix(), rows).Error
}

// filled makes a fresh database with so many tokens.
func filled(e engine, name string, rows int, expires time.Time) (db *gorm.DB, dsn string, err error) {
	if dsn, err = e.fresh(name); err != nil {
		return nil, "", err
	}
	if db, err = open(e.kind, dsn); err != nil {
		return nil, "", err
	}
	if err := prepare(db); err != nil {
		return nil, "", err
	}
	return db, dsn, insertTokens(db, rows, expires)
}

// analyze has the database look at what it got, and write all of it.
func analyze(db *gorm.DB) error {
	statements := []string{"VACUUM ANALYZE tokens", "CHECKPOINT"}
	if db.Name() == "sqlite" {
		statements = []string{"ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"}
	}
	for _, statement := range statements {
		if err := db.Exec(statement).Error; err != nil {
			return err
		}
	}
	return nil
}
