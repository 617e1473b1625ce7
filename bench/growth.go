package main

import (
	"fmt"
	"slices"
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
	for i, rows := range sizes {
		dsn, err := e.fresh(fmt.Sprintf("growth%d", i))
		if err != nil {
			return nil, err
		}
		if err := fill(e, dsn, rows); err != nil {
			return nil, err
		}
		r, err := start("gormoauth", e.kind, dsn)
		if err != nil {
			return nil, err
		}
		defer r.stop() //nolint:gocritic // there are two
		callers[i] = newCaller(r.address, workers)
	}
	var results []growthResult
	for _, operation := range operations {
		result := growthResult{Engine: e.name, Operation: operation, Rows: sizes}
		var drivers [2]*driver
		for i, c := range callers {
			d, err := newDriver(c, operation, workers)
			if err != nil {
				return nil, err
			}
			drivers[i] = d
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
		progress("%s, %s: %v at %d rows, %v at %d: %.2f", e.name, operation, result.P50[0], few, result.P50[1], many, result.Ratio)
		results = append(results, result)
	}
	return results, nil
}

// fill inserts tokens with random digests, each alive, in the database itself.
func fill(e engine, dsn string, rows int) error {
	db, err := open(e.kind, dsn)
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := prepare(db); err != nil {
		return err
	}
	return insertTokens(db, rows, time.Now().Add(24*time.Hour))
}

// insertTokens inserts in batches, without the indexes, as a program would that
// moves its tokens in; then makes these and has the engine count.
func insertTokens(db *gorm.DB, rows int, expires time.Time) error {
	const batch = 500_000
	numbers, random := "generate_series(1, ?) AS n", "encode(sha256((random()::text || n)::bytea), 'hex')"
	if db.Name() == "sqlite" {
		numbers, random = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT ?) SELECT n FROM s)", "lower(hex(randomblob(32)))"
	}
	now := time.Now().Unix()
	for left := rows; left > 0; left -= batch {
		if err := db.Exec(`INSERT INTO tokens (user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at,
				refresh_token_revoked_at, expires_in, grant_id, granted_scope, granted_audience, granted_at, refresh_token_expires_at, audience, confirmation, expires_at)
			SELECT 1, '`+clientID+`', 'Bearer', `+random+`, `+random+`, 'profile', ?, 0, 0, 3600, `+random+`, 'profile', '', ?, ?, '', '', ? + n % 1000 FROM `+numbers,
			now, now, expires.Unix(), expires.Unix(), min(batch, left)).Error; err != nil {
			return err
		}
		progress("%s: %d rows to go", db.Name(), max(0, left-batch))
	}
	if db.Name() == "postgres" {
		return db.Exec("VACUUM ANALYZE tokens").Error
	}
	return db.Exec("ANALYZE").Error
}

// pruneResult is the latency of issuing while nothing else happens, and while
// expired rows are removed.
type pruneResult struct {
	Engine     string
	Rows       int
	Took       time.Duration
	Idle, Busy [2]time.Duration // the 50th and 99th percentile
	Ratio      float64          // of the 99th
}

// prune has one process issue tokens at a steady pace while another prunes.
func prune(e engine, rows int, idle time.Duration) (pruneResult, error) {
	result := pruneResult{Engine: e.name, Rows: rows}
	dsn, err := e.fresh("prune")
	if err != nil {
		return result, err
	}
	db, err := open(e.kind, dsn)
	if err != nil {
		return result, err
	}
	if err := prepare(db); err != nil {
		return result, err
	}
	if err := insertTokens(db, rows, time.Now().Add(-time.Hour)); err != nil {
		return result, err
	}
	server, err := start("gormoauth", e.kind, dsn)
	if err != nil {
		return result, err
	}
	defer server.stop()
	pruner, err := start("gormoauth", e.kind, dsn)
	if err != nil {
		return result, err
	}
	defer pruner.stop()

	c := newCaller(server.address, 8)
	if _, err := paced(c, time.After(time.Second)); err != nil { // warm-up
		return result, err
	}
	before, err := paced(c, time.After(idle))
	if err != nil {
		return result, err
	}
	finished := make(chan time.Time, 1)
	var pruneErr error
	began := time.Now()
	go func() {
		patient := newCaller(pruner.address, 1)
		patient.http.Timeout = time.Hour
		status, text, err := patient.do("POST", "/prune", nil, "")
		if err == nil && status != 200 {
			err = fmt.Errorf("prune: %s", text)
		}
		pruneErr = err
		finished <- time.Now()
	}()
	during, err := paced(c, finished)
	if err != nil || pruneErr != nil {
		return result, fmt.Errorf("while pruning: %w", firstOf(err, pruneErr))
	}
	result.Took = time.Since(began)
	result.Idle = [2]time.Duration{before.Percentile(50), before.Percentile(99)}
	result.Busy = [2]time.Duration{during.Percentile(50), during.Percentile(99)}
	result.Ratio = float64(result.Busy[1]) / float64(result.Idle[1])
	return result, nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// paced issues a token every five milliseconds until it is told to stop. A call
// that is late counts from when it was due.
func paced(c *caller, stop <-chan time.Time) (measurement, error) {
	const pace, workers = 5 * time.Millisecond, 8
	var latencies []time.Duration
	results := make(chan time.Duration, 1024)
	failures := make(chan error, 1)
	slots := make(chan struct{}, workers)
	start := time.Now()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	sent := 0
	for done := false; !done || len(latencies) < sent; {
		select {
		case due := <-ticker.C:
			if done {
				continue
			}
			sent++
			go func() {
				slots <- struct{}{}
				_, err := c.mustToken(credentialsForm())
				<-slots
				if err != nil {
					select {
					case failures <- err:
					default:
					}
				}
				results <- time.Since(due)
			}()
		case latency := <-results:
			latencies = append(latencies, latency)
		case <-stop:
			done = true
		}
	}
	slices.Sort(latencies)
	select {
	case err := <-failures:
		return measurement{}, err
	default:
		return measurement{Count: len(latencies), Elapsed: time.Since(start), Latencies: latencies}, nil
	}
}
