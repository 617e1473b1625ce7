package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// plan is how long and how much to measure.
type plan struct {
	Slice       time.Duration
	Rounds      int
	Connections []int
	Races       int
	Only        []string // contestants; all when empty
	Operations  []operation
	Profiles    string // a directory for CPU profiles of the library and the floor
}

func (p plan) contestants() []entry {
	if len(p.Only) == 0 {
		return contestants
	}
	return slices.DeleteFunc(slices.Clone(contestants), func(e entry) bool { return !slices.Contains(p.Only, e.name) })
}

// has reports whether a contestant has an operation.
func has(name string, o operation) bool {
	e, err := find(name)
	return err == nil && slices.Contains(e.operations, o.name)
}

// cell is one contestant at one operation.
type cell struct {
	Rates  []float64 // one for each round
	Ratios []float64 // to the floor, in the same round
	P50    []time.Duration
	P99    []time.Duration
}

// comparison is one engine with one operation and number of connections.
type comparison struct {
	Engine      string
	Operation   string
	Connections int
	Cells       map[string]*cell
}

const (
	own   = "gormoauth"
	floor = "floor-gorm"
)

// startAll starts every contestant that can run on the engine.
func startAll(e engine, p plan) (running []*process, err error) {
	for _, c := range p.contestants() {
		asked := slices.ContainsFunc(p.Operations, func(o operation) bool { return has(c.name, o) })
		if !asked || !e.runs(c.name) {
			continue
		}
		dsn, err := e.fresh(c.name)
		if err != nil {
			return running, err
		}
		r, err := e.start(c.name, dsn)
		if err != nil {
			return running, err
		}
		running = append(running, r)
	}
	return running, nil
}

func stopAll(running []*process) {
	for _, r := range running {
		r.stop()
	}
}

// compare measures all contestants on one engine, in turn, slice by slice, so
// that whatever slows the machine down slows all of them; then it races them.
func compare(e engine, p plan) ([]comparison, []raceResult, error) {
	running, err := startAll(e, p)
	defer stopAll(running)
	if err != nil {
		return nil, nil, err
	}
	var all []comparison
	for _, connections := range p.Connections {
		for _, o := range p.Operations {
			able := slices.DeleteFunc(slices.Clone(running), func(r *process) bool { return !has(r.name, o) })
			c, err := compareOne(e, p, able, o, connections)
			if err != nil {
				return nil, nil, err
			}
			all = append(all, c)
			progress("%s, %s, %d connections: %s", e.name, o.name, connections, summary(c))
		}
	}
	races, err := raceAll(e, p, running)
	return all, races, err
}

func compareOne(e engine, p plan, running []*process, o operation, connections int) (comparison, error) {
	result := comparison{e.name, o.name, connections, make(map[string]*cell)}
	drivers := make([]*driver, len(running))
	for i, r := range running {
		d, err := newDriver(newCaller(r.address, connections), o, connections)
		if err != nil {
			return result, fmt.Errorf("%s on %s: %w", r.name, e.name, err)
		}
		drivers[i] = d
		result.Cells[r.name] = &cell{}
	}
	for round := range p.Rounds + 1 { // the first is a warm-up
		rates := make(map[string]float64)
		for i := range running {
			i = (i + round) % len(running) // nobody is always first
			name := running[i].name
			stopProfile := func() {}
			if p.Profiles != "" && (name == own || name == floor) && round == p.Rounds {
				path := filepath.Join(p.Profiles, fmt.Sprintf("%s-%s-%d-%s.pprof", fileName(e.name), o.name, connections, name))
				stopProfile = profile(drivers[i].caller, path, p.Slice)
			}
			m, err := drivers[i].run(p.Slice)
			stopProfile()
			if err != nil {
				return result, fmt.Errorf("%s on %s: %w", name, e.name, err)
			}
			if round == 0 {
				continue
			}
			c := result.Cells[name]
			rates[name] = m.Rate()
			c.Rates = append(c.Rates, m.Rate())
			c.P50, c.P99 = append(c.P50, m.Percentile(50)), append(c.P99, m.Percentile(99))
		}
		for name, rate := range rates {
			if rates[floor] > 0 {
				result.Cells[name].Ratios = append(result.Cells[name].Ratios, rate/rates[floor])
			}
		}
	}
	return result, nil
}

// profile records where a contestant spends its time during a slice.
func profile(c *caller, path string, slice time.Duration) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		seconds := max(1, int(slice.Seconds()))
		if _, text, err := newCaller(c.address, 1).do("GET", fmt.Sprintf("/profile?seconds=%d", seconds), nil, nil); err == nil {
			_ = os.WriteFile(path, text, 0o600)
		}
	}()
	return func() { <-done }
}

func median[T ~int64 | ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func summary(c comparison) string {
	cell := c.Cells[own]
	if cell == nil {
		return ""
	}
	return fmt.Sprintf("%.0f/s, %.2f of the floor", median(cell.Rates), median(cell.Ratios))
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
