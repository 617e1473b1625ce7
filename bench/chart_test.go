package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChartHasEveryContestant(t *testing.T) {
	var all []comparison
	for i, operation := range basic {
		c := comparison{"PostgreSQL", operation, 8, make(map[string]*cell)}
		for j, entry := range contestants {
			c.Cells[entry.name] = &cell{Ratios: []float64{1 + float64(i)/4 - float64(j)/8}}
		}
		all = append(all, c)
	}
	dir := t.TempDir()
	if kept := os.Getenv("GORMOAUTH_SCREENSHOTS"); kept != "" {
		dir = kept
	}
	name, err := chart(dir, "PostgreSQL", 8, all, plan{})
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	for _, entry := range contestants {
		assert.Contains(t, string(text), ">"+entry.name+"<")
	}
}
