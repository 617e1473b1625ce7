package attack

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// figures are how long honest clients waited, by what they did.
type figures struct {
	mu    sync.Mutex
	waits map[string][]time.Duration
}

func (f *figures) add(operation string, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waits == nil {
		f.waits = make(map[string][]time.Duration)
	}
	f.waits[operation] = append(f.waits[operation], wait)
	f.waits[everything] = append(f.waits[everything], wait)
}

// everything is all operations together.
const everything = "all"

// percentile returns the wait that so many of a hundred do not exceed.
func (f *figures) percentile(operation string, percent int) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	waits := slices.Sorted(slices.Values(f.waits[operation]))
	if len(waits) == 0 {
		return 0
	}
	return waits[min(len(waits)-1, len(waits)*percent/100)]
}

func (f *figures) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waits[operation])
}

// ratio is how much longer the slowest of a hundred waited than in other figures.
func (f *figures) ratio(operation string, other *figures) float64 {
	return float64(f.percentile(operation, 99)) / float64(max(1, other.percentile(operation, 99)))
}

// table compares two phases.
func table(operations []string, idle, attack *figures) string {
	var b strings.Builder
	b.WriteString("| honest clients | idle | p50 ms | p99 ms | under attack | p50 ms | p99 ms | p99, times idle |\n|---|---|---|---|---|---|---|---|\n")
	for _, name := range operations {
		fmt.Fprintf(&b, "| %s |", name)
		for _, f := range []*figures{idle, attack} {
			fmt.Fprintf(&b, " %d | %s | %s |", f.count(name), milliseconds(f.percentile(name, 50)), milliseconds(f.percentile(name, 99)))
		}
		fmt.Fprintf(&b, " %.2f |\n", attack.ratio(name, idle))
	}
	return b.String()
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
