package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// measured lists the contestants that an engine has figures of, in their order.
func measured(all []comparison, engine string, p plan) (names []string) {
	for _, entry := range p.contestants() {
		if slices.ContainsFunc(all, func(c comparison) bool { return c.Engine == engine && c.Cells[entry.name] != nil }) {
			names = append(names, entry.name)
		}
	}
	return names
}

// comparisonTables writes for each engine the ratios to the floor, those to the
// peers, and the rates behind them.
func comparisonTables(all []comparison, p plan) string {
	var b strings.Builder
	for _, engine := range enginesOf(all) {
		names := measured(all, engine, p)
		peers := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isPeer(name) })
		fmt.Fprintf(&b, "\n### %s\n\nTimes the GORM floor: the median of the rounds (least–most).\n", engine)
		table(&b, all, engine, without(names, floor), func(c comparison, name string) string { return spread(c.Cells[name].Ratios) })
		if c := all[0]; c.Cells[own] != nil && len(peers) > 0 {
			b.WriteString("\nThe library, times each peer.\n")
			table(&b, all, engine, peers, func(c comparison, name string) string { return spread(ratios(c.Cells[own], c.Cells[name])) })
		}
		b.WriteString("\nCalls a second.\n")
		table(&b, all, engine, names, func(c comparison, name string) string { return fmt.Sprintf("%.0f", median(c.Cells[name].Rates)) })
	}
	return b.String()
}

// table writes a row for each operation and number of connections, with a dash
// where a contestant does not have the operation.
func table(b *strings.Builder, all []comparison, engine string, names []string, cell func(c comparison, name string) string) {
	b.WriteString("\n| operation | connections | " + strings.Join(names, " | ") + " |\n|---|---|" + strings.Repeat("---|", len(names)) + "\n")
	for _, c := range all {
		if c.Engine != engine {
			continue
		}
		fmt.Fprintf(b, "| %s | %d |", c.Operation, c.Connections)
		for _, name := range names {
			if c.Cells[name] == nil {
				b.WriteString(" – |")
				continue
			}
			b.WriteString(" " + cell(c, name) + " |")
		}
		b.WriteString("\n")
	}
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// spread writes a median and, if there was more than one round, its extremes.
func spread(values []float64) string {
	if len(values) < 2 {
		return fmt.Sprintf("%.2f", median(values))
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(values), slices.Min(values), slices.Max(values))
}

// ratios divides the rates of the same round.
func ratios(a, b *cell) []float64 {
	all := make([]float64, 0, len(a.Rates))
	for i := range min(len(a.Rates), len(b.Rates)) {
		all = append(all, a.Rates[i]/b.Rates[i])
	}
	return all
}

func enginesOf(all []comparison) (names []string) {
	for _, c := range all {
		if !slices.Contains(names, c.Engine) {
			names = append(names, c.Engine)
		}
	}
	return names
}

func isPeer(name string) bool { return name != own && !strings.HasPrefix(name, "floor") }

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
			if cell := c.Cells[n.name]; cell != nil {
				fmt.Fprintf(&b, " %s / %s |", milliseconds(median(cell.P50)), milliseconds(median(cell.P99)))
			} else {
				b.WriteString(" – |")
			}
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
	b.WriteString("\n| engine | pruned by | rows | alone, rows a second | pruned in | idle p50 / p99, ms | pruning p50 / p99, ms | p99 ratio |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range all {
		by := "the program itself"
		if p.Beside {
			by = "a process of its own"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %.0f | %v | %s / %s | %s / %s | %.2f |\n", p.Engine, by, p.Rows, p.Alone, p.Took.Round(time.Second), milliseconds(p.Idle[0]), milliseconds(p.Idle[1]),
			milliseconds(p.Busy[0]), milliseconds(p.Busy[1]), p.Ratio)
	}
	return b.String()
}

func memoryTable(all []memoryResult) string {
	var b strings.Builder
	b.WriteString("\n| engine | load | calls | resident at the start, MB | second quarter | last quarter | most | slope, MB an hour | goroutines before / after |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %v | %d | %.1f | %.1f | %.1f | %.1f | %+.1f | %d / %d |\n", m.Engine, m.Duration, m.Calls,
			m.First, m.SecondQuarter, m.LastQuarter, m.Most, m.Slope, m.Goroutines[0], m.Goroutines[1])
	}
	return b.String()
}
