package gormstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// tokenBase and Base embed the mixin one level down.
type tokenBase struct{ models.TokenMixin }

type Base struct{ models.TokenMixin }

type hiddenToken struct {
	ID     uint
	UserID *uint
	tokenBase
}

type pointerToken struct {
	ID     uint
	UserID *uint
	*models.TokenMixin
}

type userlessToken struct {
	ID uint
	models.TokenMixin
}

type shadowedToken struct {
	ID     uint
	UserID *uint
	Scope  string
	models.TokenMixin
}

type renamedShadowToken struct {
	ID     uint
	UserID *uint
	Extra  string `gorm:"column:grant_id"`
	models.TokenMixin
}

type bytesToken struct {
	ID     uint
	UserID [16]byte
	models.TokenMixin
}

type ignoredToken struct {
	ID                uint
	UserID            *uint
	models.TokenMixin `gorm:"-"`
}

func TestAMistakeInAModelIsRefusedAtConstruction(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	tokens := func(err error) string { return errorText(err) }
	for rule, c := range map[string]struct{ got, want string }{
		"the mixin is in an unexported struct": {
			tokens(second(gormstore.NewTokens[hiddenToken](db))), "has no columns of models.TokenMixin; embed it by value"},
		"the mixin is a pointer": {
			tokens(second(gormstore.NewTokens[pointerToken](db))), "embeds *models.TokenMixin; embed models.TokenMixin, without the star"},
		"the mixin is left out by a tag": {
			tokens(second(gormstore.NewTokens[ignoredToken](db))), "has no columns of models.TokenMixin"},
		"there is no UserID": {
			tokens(second(gormstore.NewTokens[userlessToken](db))), "has no field UserID; add UserID *uint"},
		"a field has the name of a mixin's": {
			tokens(second(gormstore.NewTokens[shadowedToken](db))), `declares a field Scope that hides the column "scope" of models.TokenMixin`},
		"a field has the column of a mixin's": {
			tokens(second(gormstore.NewTokens[renamedShadowToken](db))), `declares a field Extra that hides the column "grant_id"`},
		"the user id has no text form": {
			tokens(second(gormstore.NewTokens[bytesToken](db))), "has a UserID of type [16]uint8, which cannot be converted to a string"},
		"there is no database": {
			tokens(second(gormstore.NewTokens[Token](nil))), "the *gorm.DB is nil"},
		"the user has two primary keys": {
			tokens(second(gormstore.NewUsers[twoKeys](db))), "has 2 primary keys"},
	} {
		assert.Contains(t, c.got, c.want, rule)
	}
}

type twoKeys struct {
	Tenant string `gorm:"primaryKey"`
	Name   string `gorm:"primaryKey"`
}

func (*twoKeys) GetUserID() string { return "" }

func second[T any](_ T, err error) error { return err }

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

type tokenOf[ID any] struct {
	Key    string `gorm:"primaryKey;default:k"`
	UserID ID
	Base
}

func (tokenOf[ID]) TableName() string { return "tokens_of_some_user" }

type namedID string

// Those of github.com/google/uuid are in internal/engines.
func TestAnyUserIDType(t *testing.T) {
	t.Run("uint", userIDRoundTrip[uint]("42", 42))
	t.Run("*uint", userIDRoundTrip[*uint]("42", new(uint(42))))
	t.Run("int64", userIDRoundTrip[int64]("42", 42))
	t.Run("string", userIDRoundTrip[string]("alice", "alice"))
	t.Run("*string", userIDRoundTrip[*string]("alice", new("alice")))
	t.Run("named string", userIDRoundTrip[namedID]("alice", "alice"))
	t.Run("sql.NullInt64", userIDRoundTrip[sql.NullInt64]("42", sql.NullInt64{Int64: 42, Valid: true}))
	t.Run("sql.NullString", userIDRoundTrip[sql.NullString]("alice", sql.NullString{String: "alice", Valid: true}))
}

func userIDRoundTrip[ID any](text string, want ID) func(*testing.T) {
	return func(t *testing.T) {
		testdb.Each(t, []any{&tokenOf[ID]{}}, func(t *testing.T, db *gorm.DB) {
			tokens, err := gormstore.NewTokens[tokenOf[ID]](db)
			require.NoError(t, err)
			require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: "a"}, storage.UserID(text))))

			found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
			require.NoError(t, err)
			require.NotNil(t, found)
			assert.Equal(t, text, found.UserID)
			assert.Equal(t, want, found.Token.(*tokenOf[ID]).UserID)
		})
	}
}

func TestATokenWithoutAUserIsNobodys(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: "a"}, nil)))
		var nulls int64
		require.NoError(t, db.Model(&Token{}).Where("user_id IS NULL").Count(&nulls).Error)
		assert.EqualValues(t, 1, nulls)
		found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
		require.NoError(t, err)
		assert.Empty(t, found.UserID)
	})
}

func TestAUserIDThatDoesNotFitIsAnError(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &tokenOf[uint]{})
	tokens, err := gormstore.NewTokens[tokenOf[uint]](db)
	require.NoError(t, err)
	err = tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: "a"}, storage.UserID("alice")))
	assert.ErrorContains(t, err, `cannot hold the user id "alice"`)
}

// richToken has what programs add: a column, hooks, a soft delete, timestamps.
type richToken struct {
	gorm.Model
	UserID *uint
	models.TokenMixin
	Note    string
	Updates int
}

func (richToken) TableName() string { return "acme_tokens" }

func (r *richToken) BeforeCreate(*gorm.DB) error { r.Note = "made by a hook"; return nil }

func (r *richToken) BeforeUpdate(tx *gorm.DB) error {
	tx.Statement.SetColumn("Updates", r.Updates+1)
	return nil
}

func TestColumnsAndHooksOfTheModelWork(t *testing.T) {
	testdb.Each(t, []any{&richToken{}}, func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[richToken](db)
		require.NoError(t, err)
		refresh := "r1"
		record := &models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: "a1", RefreshToken: &refresh}
		require.NoError(t, tokens.Save(t.Context(), issueOf(record, nil)))
		found, err := tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: "r1", GrantID: "g"})
		require.NoError(t, err)
		assert.Equal(t, "made by a hook", found.Token.(*richToken).Note)

		next := "r2"
		record = &models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: "a2", RefreshToken: &next, IssuedAt: 7}
		require.NoError(t, tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeRotate, Token: record, From: found.Token, Presented: "r1"}))
		var row richToken
		require.NoError(t, db.First(&row).Error)
		assert.Equal(t, "a2", row.AccessToken)
		assert.Equal(t, "made by a hook", row.Note, "rotation keeps what the program added")
		assert.Equal(t, 1, row.Updates, "the update hook ran")
		assert.EqualValues(t, 7, row.RotatedAt)

		require.NoError(t, db.Delete(&row).Error)
		gone, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a2"})
		require.NoError(t, err)
		assert.Nil(t, gone, "a soft-deleted token is none")
	})
}

type failingToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
}

func (*failingToken) AfterCreate(*gorm.DB) error { return gorm.ErrInvalidData }

func TestAHookThatFailsLeavesTheCodeUnspent(t *testing.T) {
	testdb.Each(t, append([]any{&failingToken{}}, allModels...), func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[failingToken](db)
		require.NoError(t, err)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		code := &AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Code: "c"}}
		require.NoError(t, db.Create(code).Error)
		require.ErrorIs(t, tokens.Save(t.Context(), storage.Exchange{
			Kind: storage.ExchangeSpend, Token: &models.TokenMixin{AccessToken: "a"}, From: code, Presented: "c", Time: time.Now(),
		}), gorm.ErrInvalidData)

		var count int64
		require.NoError(t, db.Model(&failingToken{}).Count(&count).Error)
		assert.Zero(t, count, "no token")
		require.NoError(t, db.First(code).Error)
		assert.Zero(t, code.RedeemedAt, "and the code is as it was")
	})
}

type panickingToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
}

func (*panickingToken) AfterCreate(*gorm.DB) error { panic("a hook of the program's") }

// A hook that panics takes back what was begun, and holds up nobody after it.
func TestAHookThatPanicsLeavesTheCodeUnspent(t *testing.T) {
	testdb.Each(t, append([]any{&panickingToken{}}, allModels...), func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[panickingToken](db)
		require.NoError(t, err)
		sound, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		code := &AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Code: "c"}}
		require.NoError(t, db.Create(code).Error)
		spend := func(tokens *gormstore.Tokens, db *gorm.DB) error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if db != nil {
				ctx = gormstore.WithTransaction(ctx, db)
			}
			return tokens.Save(ctx, storage.Exchange{Kind: storage.ExchangeSpend, Token: &models.TokenMixin{AccessToken: "a"}, From: code, Presented: "c", Time: time.Now()})
		}
		require.Panics(t, func() { _ = spend(tokens, nil) })
		require.NoError(t, db.First(code).Error)
		assert.Zero(t, code.RedeemedAt)
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			require.Panics(t, func() { _ = spend(tokens, tx) })
			return tx.First(code).Error // the program goes on all the same
		}))
		assert.Zero(t, code.RedeemedAt, "and so in the program's own transaction")
		require.NoError(t, spend(sound, nil))
		var rows int64
		require.NoError(t, db.Model(&panickingToken{}).Count(&rows).Error)
		assert.Zero(t, rows)
	})
}

func TestOtherNamingStrategies(t *testing.T) {
	for _, strategy := range []schema.NamingStrategy{{TablePrefix: "acme_", SingularTable: true}, {NoLowerCase: true}} {
		db := testdb.Open(t, testdb.SQLiteGo)
		db.NamingStrategy = strategy
		require.NoError(t, db.AutoMigrate(allModels...))
		users := gormoauth.CreateQueryUserFunc[User](db)
		p := provider{oauthtest.New(t, db, func(config *server.Config) { config.QueryUser = users }), nil}
		p.client = p.NewClient(oauthtest.Public)
		first := p.redeem(p.code("profile"))
		assert.True(t, p.valid(first.AccessToken), first.Description)
		assert.True(t, p.valid(p.refresh(first.RefreshToken).AccessToken))
		p.Now = time.Unix(1, 0)
		p.redeem(p.code("profile"))
		require.NoError(t, gormoauth.CreatePruneFunc[Token, AuthorizationCode](db)(t.Context(), gormstore.PruneOptions{}))
		assert.EqualValues(t, 1, p.Rows(&Token{}), "what has expired is found by its columns")
	}
}

// A credential of an unknown kind must never become a token.
func TestACredentialThatNobodySpendsIsAnError(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	tokens, err := gormstore.NewTokens[Token](db)
	require.NoError(t, err)
	for fault, from := range map[string]storage.CredentialRecord{
		"is not single use; give it a method DescribeTable that sets SpentAt": foreign{},
		"describes its table with SpentAt: \"Used\", which is not a column":   &misdescribed{},
	} {
		for _, kind := range []storage.ExchangeKind{storage.ExchangeSpend, storage.ExchangeRotate, storage.ExchangeKeep, storage.ExchangeDescend, 0} {
			err := tokens.Save(t.Context(), storage.Exchange{Kind: kind, Token: &models.TokenMixin{AccessToken: "a"}, From: from, Presented: "p"})
			require.Error(t, err, kind)
			if kind == storage.ExchangeSpend {
				require.ErrorContains(t, err, fault)
			}
		}
	}
	var count int64
	require.NoError(t, db.Model(&Token{}).Count(&count).Error)
	assert.Zero(t, count)
}

type foreign struct{}

func (foreign) CheckClient(string) bool { return true }
func (foreign) GetGrantID() string      { return "g" }

// ticket is the credential of a grant of the program's own.
type ticket struct {
	ID     uint
	Digest string `gorm:"uniqueIndex"`
	UsedAt int64
}

func (*ticket) CheckClient(string) bool { return true }
func (*ticket) GetGrantID() string      { return "g" }

func (*ticket) DescribeTable() models.Table {
	return models.Table{Key: "Digest", Digests: []string{"Digest"}, SpentAt: "UsedAt"}
}

// misdescribed names a field that it does not have.
type misdescribed struct {
	foreign

	ID     uint
	Digest string `gorm:"uniqueIndex"`
}

func (*misdescribed) DescribeTable() models.Table {
	return models.Table{Key: "Digest", SpentAt: "Used"}
}

// issueOf is a token for which nothing is exchanged.
func issueOf(record *models.TokenMixin, user storage.User) storage.Exchange {
	return storage.Exchange{Kind: storage.ExchangeIssue, Token: record, User: user}
}

func TestACredentialOfTheProgramsOwnIsSpentOnce(t *testing.T) {
	testdb.Each(t, append([]any{&ticket{}}, allModels...), func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		require.NoError(t, db.Create(&ticket{Digest: "d"}).Error)
		errs := race(16, func(i int) error {
			return tokens.Save(t.Context(), storage.Exchange{
				Kind: storage.ExchangeSpend, Token: &models.TokenMixin{AccessToken: string(rune('a' + i))}, From: &ticket{Digest: "d"}, Presented: "d", Time: time.Now(),
			})
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				assert.ErrorIs(t, err, storage.ErrSpent)
			}
		}
		assert.Equal(t, 1, won)
	})
}

func TestTheProgramsOwnTransactionIsJoined(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		tx := db.Begin()
		require.NoError(t, tokens.Save(gormstore.WithTransaction(t.Context(), tx), issueOf(&models.TokenMixin{AccessToken: "a"}, nil)))
		require.NoError(t, tx.Rollback().Error)
		found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
		require.NoError(t, err)
		assert.Nil(t, found, "the token went with the transaction")
	})
}

// A handle's condition says who may be served; a transaction must not lift it.
func TestTheHandlesConditionsHoldInATransaction(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		users, err := gormstore.NewUsers[User](db.Where("disabled = ?", false))
		require.NoError(t, err)
		tx := db.Begin()
		defer tx.Rollback()
		enabled, disabled := &User{}, &User{Disabled: true}
		require.NoError(t, tx.Create(enabled).Error)
		require.NoError(t, tx.Create(disabled).Error)
		ctx := gormstore.WithTransaction(t.Context(), tx)
		found, err := users.Query(ctx, enabled.GetUserID())
		require.NoError(t, err)
		assert.NotNil(t, found, "it sees what the transaction wrote")
		found, err = users.Query(ctx, disabled.GetUserID())
		require.NoError(t, err)
		assert.Nil(t, found)
	})
}
