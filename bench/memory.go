package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// memoryResult is the resident size of the library's process under load.
type memoryResult struct {
	Engine           string
	Duration         time.Duration
	Calls            int
	Samples          []int  // of the resident size, in kilobytes, evenly spread
	Goroutines       [2]int // before the load, and after it
	FirstHalf, Later int    // medians of the samples of the second and of the last quarter
}

// remember loads one contestant with all operations in turn.
func remember(e engine, duration time.Duration) (memoryResult, error) {
	const workers, samples = 8, 60
	result := memoryResult{Engine: e.name, Duration: duration}
	dsn, err := e.fresh("memory")
	if err != nil {
		return result, err
	}
	r, err := start("gormoauth", e.kind, dsn)
	if err != nil {
		return result, err
	}
	defer r.stop()
	c := newCaller(r.address, workers)
	if result.Goroutines[0], err = goroutines(c); err != nil {
		return result, err
	}
	drivers := make([]*driver, len(operations))
	for i, operation := range operations {
		if drivers[i], err = newDriver(c, operation, workers); err != nil {
			return result, err
		}
	}
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
		result.Samples = append(result.Samples, size)
	}
	c.http.CloseIdleConnections()
	for range 50 { // connections take a moment to be gone
		time.Sleep(100 * time.Millisecond)
		if result.Goroutines[1], err = goroutines(newCaller(r.address, 1)); err != nil {
			return result, err
		}
		if result.Goroutines[1] <= result.Goroutines[0]+connections*2 {
			break
		}
	}
	n := len(result.Samples)
	result.FirstHalf, result.Later = medianInt(result.Samples[n/4:n/2]), medianInt(result.Samples[n*3/4:])
	return result, nil
}

func medianInt(values []int) int {
	converted := make([]float64, len(values))
	for i, v := range values {
		converted[i] = float64(v)
	}
	return int(median(converted))
}

func goroutines(c *caller) (int, error) {
	_, text, err := c.do("GET", "/goroutines", nil, "")
	c.http.CloseIdleConnections()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// resident reads the resident size of a process, in kilobytes.
func resident(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}
