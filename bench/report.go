package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine describes where the figures come from.
func machine(engines []engine) string {
	var lines []string
	lines = append(lines, fmt.Sprintf("%d × %s, %s of memory, Linux %s, %s", runtime.NumCPU(), fileValue("/proc/cpuinfo", "model name"),
		fileValue("/proc/meminfo", "MemTotal"), command("uname", "-r"), runtime.Version()))
	for _, e := range engines {
		if e.server != "" {
			lines = append(lines, e.name+" "+e.server)
		}
	}
	return strings.Join(lines, "; ")
}

func fileValue(path, key string) string {
	text, _ := os.ReadFile(path) //nolint:gosec // of /proc
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func command(name string, args ...string) string {
	output, err := exec.Command(name, args...).Output() //nolint:gosec,noctx // uname
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

// comparisonTables writes one table for each engine: the ratio to the floor
// first, the rate behind it.
func comparisonTables(all []comparison, p plan) string {
	var b strings.Builder
	for _, engine := range enginesOf(all) {
		fmt.Fprintf(&b, "\n### %s\n\nTimes the GORM floor (calls a second).\n\n| operation | connections |", engine)
		names := p.contestants()
		for _, c := range names {
			fmt.Fprintf(&b, " %s |", c.name)
		}
		b.WriteString(" library ÷ best peer |\n|---|---|" + strings.Repeat("---|", len(names)+1) + "\n")
		for _, c := range all {
			if c.Engine != engine {
				continue
			}
			fmt.Fprintf(&b, "| %s | %d |", c.Operation, c.Connections)
			for _, n := range names {
				fmt.Fprintf(&b, " %.2f (%.0f) |", median(c.Cells[n.name].Ratios), median(c.Cells[n.name].Rates))
			}
			fmt.Fprintf(&b, " %.1f |\n", overBestPeer(c))
		}
	}
	return b.String()
}

func enginesOf(all []comparison) (names []string) {
	for _, c := range all {
		if !slices.Contains(names, c.Engine) {
			names = append(names, c.Engine)
		}
	}
	return names
}

func isPeer(name string) bool { return name != "gormoauth" && !strings.HasPrefix(name, "floor") }

func overBestPeer(c comparison) float64 {
	best := 0.0
	for name, cell := range c.Cells {
		if isPeer(name) {
			best = max(best, median(cell.Rates))
		}
	}
	if own := c.Cells["gormoauth"]; own != nil && best > 0 {
		return median(own.Rates) / best
	}
	return 0
}

// latencyTable writes percentiles of one number of connections.
func latencyTable(all []comparison, connections int, p plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| engine | operation, %d connections |", connections)
	for _, c := range p.contestants() {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(p.contestants())) + "\n")
	for _, c := range all {
		if c.Connections != connections {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |", c.Engine, c.Operation)
		for _, n := range p.contestants() {
			cell := c.Cells[n.name]
			fmt.Fprintf(&b, " %s / %s |", milliseconds(median(cell.P50)), milliseconds(median(cell.P99)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}

func raceTable(all []raceResult) string {
	var b strings.Builder
	b.WriteString("\n| engine | contestant | credential | 2 parallel | 8 parallel |\n|---|---|---|---|---|\n")
	for _, r := range all {
		if r.Parallel != 2 {
			continue
		}
		eight := slices.IndexFunc(all, func(o raceResult) bool {
			return o.Parallel == 8 && o.Engine == r.Engine && o.Contestant == r.Contestant && o.Credential == r.Credential
		})
		fmt.Fprintf(&b, "| %s | %s | %s | %d of %d | %d of %d |\n", r.Engine, r.Contestant, r.Credential, r.Double, r.Rounds, all[eight].Double, all[eight].Rounds)
	}
	return b.String()
}

func growthTable(all []growthResult) string {
	var b strings.Builder
	b.WriteString("\n| engine | operation | p50 few rows, ms | p50 many rows, ms | ratio | p99 few / many, ms |\n|---|---|---|---|---|---|\n")
	for _, g := range all {
		fmt.Fprintf(&b, "| %s | %s | %s (%d) | %s (%d) | %.2f | %s / %s |\n", g.Engine, g.Operation, milliseconds(g.P50[0]), g.Rows[0],
			milliseconds(g.P50[1]), g.Rows[1], g.Ratio, milliseconds(g.P99[0]), milliseconds(g.P99[1]))
	}
	return b.String()
}

func pruneTable(all []pruneResult) string {
	var b strings.Builder
	b.WriteString("\n| engine | rows | pruned in | idle p50 / p99, ms | pruning p50 / p99, ms | p99 ratio |\n|---|---|---|---|---|---|\n")
	for _, p := range all {
		fmt.Fprintf(&b, "| %s | %d | %v | %s / %s | %s / %s | %.2f |\n", p.Engine, p.Rows, p.Took.Round(time.Second), milliseconds(p.Idle[0]), milliseconds(p.Idle[1]),
			milliseconds(p.Busy[0]), milliseconds(p.Busy[1]), p.Ratio)
	}
	return b.String()
}

func memoryTable(all []memoryResult) string {
	var b strings.Builder
	b.WriteString("\n| engine | load | calls | resident, second quarter, MB | last quarter, MB | goroutines before / after |\n|---|---|---|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %v | %d | %.1f | %.1f | %d / %d |\n", m.Engine, m.Duration, m.Calls, float64(m.FirstHalf)/1024, float64(m.Later)/1024, m.Goroutines[0], m.Goroutines[1])
	}
	return b.String()
}
