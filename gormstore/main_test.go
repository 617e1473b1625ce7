package gormstore_test

import (
	"testing"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
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

func newProvider(t *testing.T, db *gorm.DB) provider {
	t.Helper()
	p := oauthtest.New(t, db)
	return provider{p, p.NewClient(oauthtest.Public)}
}

// on is the same provider on another handle of its database.
func (p provider) on(db *gorm.DB) provider { return provider{p.On(db), p.client} }

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
