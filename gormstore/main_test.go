package gormstore_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

func TestMain(m *testing.M) { testdb.Main(m) }

type (
	User              = oauthtest.User
	Client            = oauthtest.Client
	Token             = oauthtest.Token
	AuthorizationCode = oauthtest.AuthorizationCode
)

var allModels = oauthtest.Models()

// provider is a whole server on one database, with one user and one public
// client.
type provider struct {
	*oauthtest.Provider
	client *Client
}

func newProvider(t *testing.T, db *gorm.DB, configure ...func(*server.Config)) provider {
	t.Helper()
	p := oauthtest.New(t, db, configure...)
	return provider{p, p.NewClient(oauthtest.Public)}
}

// answer is what the token endpoint answered. The methods that return one may
// be called by many goroutines.
type answer struct {
	Status                                        int
	AccessToken, RefreshToken, Error, Description string
	RetryAfter                                    string
}

func answerOf(a oauthtest.Answer) answer {
	return answer{
		a.Status, a.Body["access_token"], a.Body["refresh_token"], a.Body["error"], a.Body["error_description"], a.Header.Get("Retry-After"),
	}
}

func (p provider) code(scope string) string { return p.Code(p.client, "scope="+scope) }

func (p provider) redeem(code string) answer { return answerOf(p.Redeem(p.client, code)) }

func (p provider) refresh(refreshToken string) answer {
	return answerOf(p.Refresh(p.client, refreshToken, ""))
}

func (p provider) valid(accessToken string) bool { return p.Valid(accessToken) }

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

func count(t *testing.T, db *gorm.DB) (rows int64) {
	t.Helper()
	require.NoError(t, db.Model(&Token{}).Count(&rows).Error)
	return rows
}
