package engines_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/internal/engines/kit"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// The mode exec is in TestEveryEngine. The others differ in how a statement and its values are
// sent: one run has an instance in each. The first one gets the odd bytes, which simple_protocol
// has in the text of the statement.
func TestPgBouncerInEveryModeOfTheDriver(t *testing.T) {
	t.Parallel()
	kit.Run(t, testdb.OpenPgBouncer(t, []string{"simple_protocol", "cache_describe"}, allModels...))
}
