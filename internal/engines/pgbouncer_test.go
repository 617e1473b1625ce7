package engines_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/internal/engines/kit"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// The mode exec is in TestEveryEngine.
func TestPgBouncerInEveryModeOfTheDriver(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"simple_protocol", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			kit.Run(t, testdb.OpenPgBouncer(t, mode, allModels...))
		})
	}
}
