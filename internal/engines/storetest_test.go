package engines_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/internal/engines/kit"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

func TestEveryEngine(t *testing.T) {
	t.Parallel()
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			kit.Run(t, testdb.OpenInstances(t, engine, allModels...))
		})
	}
}
