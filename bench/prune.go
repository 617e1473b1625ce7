package main

import (
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
)

// pruneResult is the latency of issuing while nothing else happens, and while
// expired rows are removed.
type pruneResult struct {
	Engine     string
	Beside     bool // whether a process of its own prunes
	Rows       int
	Alone      float64 // rows a second while nothing else happens: by one process, or by two at once
	Took       time.Duration
	Idle, Busy [2]time.Duration // the 50th and 99th percentile
	Ratio      float64          // of the 99th
}

// prune has one process issue tokens at a steady pace while it prunes, or while
// another does beside it.
func prune(e engine, rows int, idle time.Duration, beside bool) (pruneResult, error) {
	result := pruneResult{Engine: e.name, Beside: beside, Rows: rows}
	name := "prune"
	if beside {
		name += "_beside"
	}
	db, dsn, err := filled(e, name, rows, time.Now().Add(-time.Hour))
	if err != nil {
		return result, err
	}
	if err := analyze(db); err != nil {
		return result, err
	}
	server, err := e.start(own, dsn)
	if err != nil {
		return result, err
	}
	defer server.stop()
	pruner := server
	if beside {
		if pruner, err = e.start(own, dsn); err != nil {
			return result, err
		}
		defer pruner.stop()
	}

	if result.Alone, err = pruneAlone(db, rows, slices.Compact([]*process{server, pruner})); err != nil {
		return result, err
	}
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
		pruneErr = pruneBy(pruner)
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

// pruneBy has a process prune.
func pruneBy(p *process) error {
	patient := newCaller(p.address, 1)
	patient.http.Timeout = time.Hour
	status, text, err := patient.do("POST", "/prune", nil, nil)
	if err == nil && status != 200 {
		err = fmt.Errorf("prune: %s", text)
	}
	return err
}

// pruneAlone has processes prune at once, nothing else happening, and returns how many rows
// leave in a second. It puts as many back.
func pruneAlone(db *gorm.DB, rows int, pruners []*process) (rate float64, err error) {
	faults := make(chan error, len(pruners))
	began := time.Now()
	for _, p := range pruners {
		go func() { faults <- pruneBy(p) }()
	}
	for range pruners {
		err = firstOf(err, <-faults)
	}
	rate = float64(rows) / time.Since(began).Seconds()
	if err := firstOf(err, insertTokens(db, rows, time.Now().Add(-time.Hour))); err != nil {
		return rate, err
	}
	return rate, analyze(db)
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
				_, err := c.mustToken(tokenPath, credentialsForm())
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
