package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memoryResult is the resident size of the library's process under load, in
// megabytes.
type memoryResult struct {
	Engine                                  string
	Duration                                time.Duration
	Calls                                   int
	First, Most, SecondQuarter, LastQuarter float64 // the quarters' are medians
	Slope                                   float64 // an hour, of the last three quarters
	Goroutines                              [2]int  // before the load, and after it
}

var errGoroutines = errors.New("goroutines are left behind")

// remember loads one contestant with all operations in turn.
func remember(e engine, duration time.Duration) (memoryResult, error) {
	const workers, samples = 8, 120
	result := memoryResult{Engine: e.name, Duration: duration}
	dsn, err := e.fresh("memory")
	if err != nil {
		return result, err
	}
	r, err := e.start(own, dsn)
	if err != nil {
		return result, err
	}
	defer r.stop()
	c := newCaller(r.address, workers)
	drivers := make([]*driver, len(operations))
	for i, o := range operations {
		if drivers[i], err = newDriver(c, o, workers); err != nil {
			return result, err
		}
		if _, err = drivers[i].run(duration / samples); err != nil { // the pool of database connections is full from here on
			return result, err
		}
	}
	if result.Goroutines[0], err = settled(c, 0); err != nil {
		return result, err
	}
	var sizes, hours []float64
	began := time.Now()
	for i := 0; time.Since(began) < duration; i++ {
		m, err := drivers[i%len(drivers)].run(duration / samples)
		if err != nil {
			return result, err
		}
		result.Calls += m.Count
		size, err := resident(r.cmd.Process.Pid)
		if err != nil {
			return result, err
		}
		sizes, hours = append(sizes, size), append(hours, time.Since(began).Hours())
	}
	if result.Goroutines[1], err = settled(c, result.Goroutines[0]); err != nil {
		return result, err
	}
	n := len(sizes)
	result.First, result.Most = sizes[0], slices.Max(sizes)
	result.SecondQuarter, result.LastQuarter = median(sizes[n/4:n/2]), median(sizes[n*3/4:])
	result.Slope = slope(hours[n/4:], sizes[n/4:])
	progress("%s: %.1f MB at the start, %.1f at the end, goroutines %v", e.name, result.First, result.LastQuarter, result.Goroutines)
	if result.Goroutines[1] > result.Goroutines[0] {
		return result, fmt.Errorf("%s: %w: %d, then %d", e.name, errGoroutines, result.Goroutines[0], result.Goroutines[1])
	}
	return result, nil
}

// slope is that of the line of least squares.
func slope(x, y []float64) float64 {
	var sumX, sumY, sumXX, sumXY float64
	for i := range x {
		sumX, sumY, sumXX, sumXY = sumX+x[i], sumY+y[i], sumXX+x[i]*x[i], sumXY+x[i]*y[i]
	}
	n := float64(len(x))
	if spread := n*sumXX - sumX*sumX; spread > 0 {
		return (n*sumXY - sumX*sumY) / spread
	}
	return 0
}

// settled hangs up and returns how many goroutines a contestant then has, as
// soon as they are no more than enough, or when none has ended for a second.
func settled(c *caller, enough int) (least int, err error) {
	c.http.CloseIdleConnections()
	deadline := time.Now().Add(time.Second)
	for least = 1 << 30; least > enough && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		n, err := goroutines(newCaller(c.address, 1))
		if err != nil {
			return 0, err
		}
		if n < least {
			least, deadline = n, time.Now().Add(time.Second)
		}
	}
	return least, nil
}

func goroutines(c *caller) (int, error) {
	_, text, err := c.do("GET", "/goroutines", nil, nil)
	c.http.CloseIdleConnections()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// resident reads the resident size of a process, in megabytes.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kilobytes) / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}
