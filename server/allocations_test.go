//go:build !race

package server_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// mostAllocations are the most that the engine may need for each operation, apart from storage.
var mostAllocations = map[string]float64{"issue": 45, "validate": 8}

var ownOperations = map[string]func(tb testing.TB) (call func()){"issue": issuing, "validate": validating}

// TestTheEngineAllocatesLittle counts allocations, which unlike time are the same on every machine.
// The race detector drops what a sync.Pool keeps, at random, so there is nothing to count under it.
func TestTheEngineAllocatesLittle(t *testing.T) {
	for name, prepare := range ownOperations {
		assert.LessOrEqual(t, testing.AllocsPerRun(100, prepare(t)), mostAllocations[name], name)
	}
}
