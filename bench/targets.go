package main

import (
	"fmt"
	"strings"
)

// leastOfPeer is how many times each peer's throughput the library is to reach.
const leastOfPeer = 2.0

// leastOfFloor is what part of the floor's it is to reach.
func leastOfFloor(name string) float64 {
	for _, o := range operations {
		if o.name == name {
			return o.leastOfFloor
		}
	}
	return 0
}

// missed lists what the medians do not reach.
func missed(all []comparison, p plan) string {
	var b strings.Builder
	for _, c := range all {
		if c.Cells[own] == nil {
			continue
		}
		where := fmt.Sprintf("- %s, %s, %d connections:", c.Engine, c.Operation, c.Connections)
		if c.Cells[floor] != nil {
			if got, want := median(c.Cells[own].Ratios), leastOfFloor(c.Operation); got < want {
				fmt.Fprintf(&b, "%s %.2f of the floor, not %.2f\n", where, got, want)
			}
		}
		for _, name := range measured(all, c.Engine, p) {
			if !isPeer(name) || c.Cells[name] == nil {
				continue
			}
			if got := median(ratios(c.Cells[own], c.Cells[name])); got < leastOfPeer {
				fmt.Fprintf(&b, "%s %.2f times %s, not %.0f\n", where, got, name, leastOfPeer)
			}
		}
	}
	if b.Len() == 0 {
		return "\nAll targets are reached.\n"
	}
	return "\nTargets that are not reached:\n\n" + b.String()
}
