package gormstore_test

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// statements records what reaches the database, each one a round trip.
type statements struct{ all []string }

func record(db *gorm.DB) (*gorm.DB, *statements) {
	s := &statements{}
	return faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
		s.all = append(s.all, call.SQL)
		return faults.Fault{}
	}}), s
}

var statementPattern = regexp.MustCompile("(SELECT .*?FROM|INSERT INTO|UPDATE) [`\"](\\w+)|BEGIN|COMMIT")

// take returns the statements since the last call, as "VERB table"; a statement
// that does two things is one line.
func (s *statements) take() []string {
	var short []string
	for _, statement := range s.all {
		var parts []string
		for _, match := range statementPattern.FindAllStringSubmatch(statement, -1) {
			verb, _, _ := strings.Cut(match[0], " ")
			parts = append(parts, strings.TrimSpace(verb+" "+match[2]))
		}
		short = append(short, strings.Join(parts, ", "))
	}
	s.all = nil
	return short
}

func TestRoundTripsOfEachExchange(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		recorded, s := record(db)
		p := newProvider(t, recorded)
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		s.take()

		code := p.code("profile")
		assert.Equal(t, []string{"SELECT clients", "SELECT clients", "SELECT users", "INSERT authorization_codes"}, s.take(), "the page, and the decision on it")
		first := p.redeem(code)
		want := []string{"SELECT clients", "SELECT authorization_codes", "SELECT users"}
		if db.Name() == "postgres" {
			want = append(want, "UPDATE authorization_codes, INSERT tokens")
		} else {
			want = append(want, "BEGIN", "UPDATE authorization_codes", "INSERT tokens", "COMMIT")
		}
		assert.Equal(t, want, s.take(), "redeem")
		p.refresh(first.RefreshToken)
		assert.Equal(t, []string{"SELECT clients", "SELECT tokens", "SELECT users", "UPDATE tokens"}, s.take(), "refresh")
		p.valid(first.AccessToken)
		assert.Equal(t, []string{"SELECT tokens"}, s.take(), "validate")
		p.Token(service, "grant_type=client_credentials")
		assert.Equal(t, []string{"SELECT clients", "INSERT tokens"}, s.take(), "issue")

		p.valid(first.AccessToken[:len(first.AccessToken)-1])
		assert.Empty(t, s.take(), "a malformed token costs nothing")
		p.redeem(code[:len(code)-1])
		assert.Equal(t, []string{"SELECT clients"}, s.take(), "nor does a malformed code")
	})
}

// hookedToken and hookedCode have hooks, which have to run in the transaction
// of what they go with.
type (
	hookedToken struct{ Token }
	hookedCode  struct{ AuthorizationCode }
)

func (hookedToken) TableName() string           { return "tokens" }
func (*hookedToken) AfterCreate(*gorm.DB) error { return nil }
func (hookedCode) TableName() string            { return "authorization_codes" }
func (*hookedCode) BeforeUpdate(*gorm.DB) error { return nil }

func TestModelsWithHooksAreRedeemedInATransaction(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		transaction := []string{"BEGIN", "UPDATE authorization_codes", "INSERT tokens", "COMMIT"}
		plain := transaction
		if db.Name() == "postgres" {
			plain = []string{"UPDATE authorization_codes, INSERT tokens"}
		}
		recorded, s := record(db)
		assert.Equal(t, plain, redeemDirectly[Token, AuthorizationCode](t, recorded, s))
		assert.Equal(t, transaction, redeemDirectly[hookedToken, AuthorizationCode](t, recorded, s))
		assert.Equal(t, transaction, redeemDirectly[Token, hookedCode](t, recorded, s))
	})
}

// redeemDirectly redeems a code twice, and returns the statements of the first
// time.
func redeemDirectly[T, C any, PT gormstore.TokenModel[T], PC gormstore.AuthorizationCodeModel[C]](t *testing.T, db *gorm.DB, s *statements) []string {
	t.Helper()
	tokens, err := gormstore.NewTokens[T, PT](db)
	require.NoError(t, err)
	codes, err := gormstore.NewAuthorizationCodes[C, PC](db)
	require.NoError(t, err)
	user := &User{}
	require.NoError(t, db.Create(user).Error)
	presented := secret.Present(rand.Text())
	req := &server.Request{User: user, Time: time.Now()}
	require.NoError(t, codes.Save(t.Context(), &models.AuthorizationCodeMixin{Code: presented.Digest}, req))
	found, err := codes.Query(t.Context(), presented.Digest)
	require.NoError(t, err)

	redeem := func(accessToken string) error {
		return tokens.Save(t.Context(), storage.Exchange{
			Kind: storage.ExchangeSpend, Token: &models.TokenMixin{AccessToken: accessToken}, From: found.AuthorizationCode, Presented: presented.Digest, User: user, Time: req.Time,
		})
	}
	s.take()
	require.NoError(t, redeem(rand.Text()))
	first := s.take()
	assert.ErrorIs(t, redeem("second"), storage.ErrSpent)
	second, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "second"})
	require.NoError(t, err)
	assert.Nil(t, second, "nothing was written")
	return first
}

func TestNoCredentialReachesAStatement(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	p := newProvider(t, db)
	var logged strings.Builder
	explain := func(tx *gorm.DB) {
		logged.WriteString(tx.Dialector.Explain(tx.Statement.SQL.String(), tx.Statement.Vars...) + "\n")
	}
	require.NoError(t, db.Callback().Query().After("gorm:query").Register("explain", explain))
	require.NoError(t, db.Callback().Create().After("gorm:create").Register("explain", explain))
	require.NoError(t, db.Callback().Update().After("gorm:update").Register("explain", explain))

	code := p.code("profile")
	first := p.redeem(code)
	second := p.refresh(first.RefreshToken)
	p.valid(second.AccessToken)
	p.refresh(first.RefreshToken)
	require.Contains(t, logged.String(), "UPDATE")
	for _, secret := range []string{code, first.AccessToken, first.RefreshToken, second.AccessToken, second.RefreshToken} {
		assert.NotContains(t, logged.String(), secret)
		assert.NotContains(t, logged.String(), secret[len(secret)-33:len(secret)-7], "nor the grant secret")
	}
}
