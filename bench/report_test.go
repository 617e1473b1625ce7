package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sample() ([]comparison, plan) {
	return []comparison{{"PostgreSQL", issue, 8, map[string]*cell{
		floor:    {Rates: []float64{100, 100, 100}, Ratios: []float64{1, 1, 1}},
		own:      {Rates: []float64{80, 95, 90}, Ratios: []float64{0.80, 0.95, 0.90}},
		"fosite": {Rates: []float64{40, 50, 30}, Ratios: []float64{0.4, 0.5, 0.3}},
	}}}, plan{Connections: []int{8}}
}

func TestTablesHaveRatiosFirst(t *testing.T) {
	text := comparisonTables(sample())
	assert.Contains(t, text, "| issue | 8 | 0.90 (0.80–0.95) | 0.40 (0.30–0.50) |", "to the floor")
	assert.Contains(t, text, "| issue | 8 | 2.00 (1.90–3.00) |", "to the peer, round by round")
	assert.Contains(t, text, "| issue | 8 | 100 | 90 | 40 |", "a second")
}

func TestWhatAPeerDoesNotHaveIsADash(t *testing.T) {
	all, p := sample()
	all = append(all, comparison{"PostgreSQL", issueJWT, 8, map[string]*cell{
		floor: {Rates: []float64{100}, Ratios: []float64{1}}, own: {Rates: []float64{80}, Ratios: []float64{0.80}},
	}})
	text := comparisonTables(all, p)
	assert.Contains(t, text, "| issue-jwt | 8 | 0.80 | – |")
	assert.Contains(t, text, "| issue-jwt | 8 | – |", "times the peer")
	assert.Contains(t, text, "| issue-jwt | 8 | 100 | 80 | – |")
	assert.Contains(t, latencyTable(all, 8, p), "| PostgreSQL | issue-jwt | 0.00 / 0.00 | – |")
	assert.Contains(t, missed(all, p), "issue-jwt, 8 connections: 0.80 of the floor, not 0.90")
	assert.NotContains(t, missed(all, p), "issue-jwt, 8 connections: 0.00 times")
}

func TestOperationsAndEnginesAreChosenByName(t *testing.T) {
	chosen, err := operationsNamed([]string{poll, issue})
	require.NoError(t, err)
	assert.Equal(t, []string{issue, poll}, namesOf(chosen), "in their own order")
	_, err = operationsNamed([]string{"issue", "fly"})
	assert.ErrorContains(t, err, `there is no operation "fly"`)
	engines, err := enginesNamed([]engine{{short: "full"}, {short: "normal"}, {short: "postgres"}}, []string{"postgres", "normal"})
	require.NoError(t, err)
	assert.Equal(t, []engine{{short: "normal"}, {short: "postgres"}}, engines)
	_, err = enginesNamed(engines, []string{"full"})
	assert.ErrorContains(t, err, `there is no engine "full"`)
	for _, o := range operations {
		assert.NotZero(t, leastOfFloor(o.name), o.name)
	}
}

func TestTargetsThatAreMissedAreListed(t *testing.T) {
	all, p := sample()
	assert.Contains(t, missed(all, p), "All targets are reached")
	all[0].Operation = validate
	assert.Contains(t, missed(all, p), "validate, 8 connections: 0.90 of the floor, not 0.95")
}

func TestMedian(t *testing.T) {
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 1e-9)
	assert.InDelta(t, 1.5, median([]float64{2, 1}), 1e-9)
	assert.Zero(t, median([]float64{}))
}

func TestPercentile(t *testing.T) {
	m := measurement{Latencies: []time.Duration{1, 2, 3, 4}}
	assert.Equal(t, time.Duration(3), m.Percentile(50))
	assert.Equal(t, time.Duration(4), m.Percentile(99))
	assert.Zero(t, measurement{}.Percentile(99))
}

func TestSlope(t *testing.T) {
	assert.InDelta(t, 2, slope([]float64{0, 1, 2}, []float64{5, 7, 9}), 1e-9)
	assert.Zero(t, slope([]float64{1}, []float64{5}))
}
