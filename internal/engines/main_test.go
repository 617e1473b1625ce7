package engines_test

import (
	"flag"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/engines"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// Most of the time one of the engines waits, for its disk or for its nodes: more of them run
// at once than there are processors.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	engines.Main(m)
}

var allModels = oauthtest.Models()

// works has a server on the database give out a token.
func works(t *testing.T, db *gorm.DB) {
	t.Helper()
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Public)
	assert.True(t, p.Valid(p.Redeem(client, p.Code(client, "scope=profile")).Body["access_token"]))
}

// race runs f on many goroutines that start as one.
func race[T any](n int, f func(i int) T) []T {
	results := make([]T, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			results[i] = f(i)
		})
	}
	start.Done()
	done.Wait()
	return results
}

func execAll(t *testing.T, db *gorm.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		require.NoError(t, db.Exec(statement).Error, statement)
	}
}

func keys[V any](m map[string]V) (all []string) {
	for key := range m {
		all = append(all, key)
	}
	return all
}
