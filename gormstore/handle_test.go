package gormstore_test

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/uuid"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// sqlserver is a dialector of an engine that there are no statements for.
type sqlserver struct{ gorm.Dialector }

func (sqlserver) Name() string { return "sqlserver" }

func TestAHandleThatIsNotOneIsRefused(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	require.NoError(t, db.Create(&User{}).Error)
	open := func(dialector gorm.Dialector, config gorm.Config) *gorm.DB {
		config.Logger = logger.Discard
		handle, err := gorm.Open(dialector, &config)
		require.NoError(t, err)
		return handle
	}
	failed := db.Session(&gorm.Session{})
	_ = failed.AddError(gorm.ErrInvalidDB)
	onlyUsers := "not for tokens"
	tx := db.Begin()
	t.Cleanup(func() { tx.Rollback() })
	for rule, c := range map[string]struct {
		db    *gorm.DB
		fault string // onlyUsers: of tokens alone
	}{
		"a handle":                              {db, ""},
		"with a context":                        {db.WithContext(t.Context()), ""},
		"with a condition":                      {db.Where("1 = 1"), ""},
		"with a scope":                          {db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx }), ""},
		"with a setting":                        {db.Set("tenant", 1), ""},
		"with what is loaded as well":           {db.Preload(clause.Associations), ""},
		"with deleted rows":                     {db.Unscoped(), ""},
		"of a transaction":                      {tx, ""}, // for as long as that takes
		"with what is found or made":            {db.Attrs(&User{ID: 1}).Assign(&User{ID: 1}), ""},
		"of a model":                            {db.Model(&User{ID: 7}).Where("1 = 1"), ""},
		"nil":                                   {nil, "is nil or not open; pass what gorm.Open returned"},
		"not open":                              {new(gorm.DB), "is nil or not open"},
		"of another engine":                     {open(sqlserver{db.Dialector}, gorm.Config{}), `uses the dialector "sqlserver", which is not supported; use one of sqlite, postgres, mysql`},
		"that failed":                           {failed, "has an error; check db.Error first: invalid db"},
		"that stores nothing":                   {open(db.Dialector, gorm.Config{DryRun: true}), "has DryRun set, so it stores nothing; remove DryRun"},
		"that writes WHERE itself":              {open(db.Dialector, gorm.Config{ClauseBuilders: map[string]clause.ClauseBuilder{"WHERE": func(clause.Clause, clause.Builder) {}}}), "has its own ClauseBuilder for WHERE"},
		"with a struct without values":          {db.Where(&User{}), "has an empty condition"},
		"with a map without values":             {db.Where(map[string]any{}), "has an empty condition"},
		"with a negation of nothing":            {db.Not(&User{}), "has an empty condition"},
		"with a list without values":            {db.Where([]uint{}), "has an empty condition"},
		"with an empty text":                    {db.Where(""), "has an empty condition"},
		"with a statement":                      {db.Raw("SELECT * FROM users"), "has a statement (Raw), which would become part of every statement"},
		"with a result":                         {db.Find(&[]User{}), "has the result of a statement (Find, Create, …)"},
		"with columns":                          {db.Select("id"), "has columns (Select, Omit, Distinct, MapColumns)"},
		"without columns":                       {db.Omit("disabled"), "has columns"},
		"with a limit":                          {db.Limit(1), "has a clause LIMIT"},
		"with an order":                         {db.Order("id"), "has a clause ORDER BY"},
		"with groups":                           {db.Group("id"), "has a clause GROUP BY"},
		"that takes what is there for inserted": {db.Clauses(clause.OnConflict{DoNothing: true}), "has a clause ON CONFLICT"},
		"that locks":                            {db.Clauses(clause.Locking{Strength: "UPDATE"}), "has a clause FOR"},
		"with a join":                           {db.Joins("JOIN users AS u ON u.id = users.id"), onlyUsers},
		"with a table":                          {db.Table("members"), onlyUsers},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := gormstore.NewUsers[User](c.db)
			if c.fault == "" || c.fault == onlyUsers {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "gormstore: the *gorm.DB "+c.fault)
				assert.NotContains(t, err.Error(), "\n", "and nothing that is wrong about it")
			}
			_, err = gormstore.NewTokens[Token](c.db)
			switch c.fault {
			case "":
				assert.NoError(t, err)
			case onlyUsers:
				assert.ErrorContains(t, err, "cannot use a handle with ")
			default:
				assert.ErrorContains(t, err, "gormstore: the *gorm.DB "+c.fault)
				assert.ErrorContains(t, gormoauth.AutoMigrate(c.db, &User{}), c.fault)
				findings := diagnose(t, c.db, &User{})
				assert.ErrorContains(t, findings.Err(), "the database: the *gorm.DB "+c.fault[:10])
			}
		})
	}
}

func TestAConditionOfUsersSaysSomething(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &User{})
	for rule, c := range map[string]struct {
		condition []any
		fault     string
	}{
		"text":                    {[]any{"disabled = ?", false}, ""},
		"a column":                {[]any{"disabled", false}, ""},
		"a struct with a column":  {[]any{&User{}, "Disabled"}, ""},
		"a map":                   {[]any{map[string]any{"disabled": false}}, ""},
		"a struct without values": {[]any{&User{}}, "an empty condition"},
		"a map without values":    {[]any{map[string]any{}}, "an empty condition"},
		"nil":                     {[]any{nil}, "an empty condition"},
		"no text":                 {[]any{""}, "an empty condition"},
		"a nil pointer":           {[]any{(*int)(nil)}, "a condition that GORM refuses"},
	} {
		for handle, db := range map[string]*gorm.DB{"plain": db, "with a condition": db.Where("1 = 1")} {
			_, err := gormstore.NewUsers[User](db, c.condition...)
			if c.fault == "" {
				assert.NoError(t, err, rule, handle)
			} else {
				assert.ErrorContains(t, err, "model oauthtest.User was given "+c.fault, rule, handle)
			}
		}
	}
}

// What a handle becomes after a store was made of it is not the store's.
func TestAHandleIsTakenAsItIs(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &User{})
	user := &User{}
	require.NoError(t, db.Create(user).Error)
	handle := db.Where("1 = 1")
	users, err := gormstore.NewUsers[User](handle)
	require.NoError(t, err)
	handle.Where("1 = 0").Find(&[]User{})
	found, err := users.Query(t.Context(), user.GetUserID())
	require.NoError(t, err)
	assert.NotNil(t, found)
}

// Users with an id of some type.
type userOf[ID any] struct{ ID ID }

func (u *userOf[ID]) GetUserID() string { return idText(u.ID) }

func idText(id any) string {
	switch id := id.(type) {
	case uuid.UUID:
		return id.String()
	case string:
		return id
	case uint:
		return (&User{ID: id}).GetUserID()
	case int32:
		return (&User{ID: uint(id)}).GetUserID()
	case interface{ MarshalText() ([]byte, error) }:
		text, _ := id.MarshalText()
		return string(text)
	}
	return ""
}

func TestTheIDsOfUsersAreThoseOfTokens(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	numbers, texts, uuids := checksOfUserIDs[uint](t, db), checksOfUserIDs[string](t, db), checksOfUserIDs[uuid.UUID](t, db)
	assert.Equal(t, map[string]bool{"uint": true, "*uint": true, "int64": true, "sql.NullInt64": true, "string": true, "*string": true, "sql.NullString": true, "uuid.UUID": false, "*uuid.UUID": false}, numbers)
	assert.Equal(t, map[string]bool{"uint": false, "*uint": false, "int64": false, "sql.NullInt64": false, "string": true, "*string": true, "sql.NullString": true, "uuid.UUID": true, "*uuid.UUID": true}, texts,
		"a text may be a UUID, and is hardly always a number")
	assert.Equal(t, map[string]bool{"uint": false, "*uint": false, "int64": false, "sql.NullInt64": false, "string": true, "*string": true, "sql.NullString": true, "uuid.UUID": true, "*uuid.UUID": true}, uuids)
	assert.Equal(t, numbers, checksOfUserIDs[int32](t, db))
}

// formatted is an id of one format.
type formatted[F interface{ pattern() string }] struct{ text string }

func (f formatted[F]) MarshalText() ([]byte, error) { return []byte(f.text), nil }

func (f *formatted[F]) UnmarshalText(text []byte) error {
	if of := (*new(F)).pattern(); !regexp.MustCompile(of).Match(text) {
		return fmt.Errorf("%q is not of the format %s", text, of)
	}
	f.text = string(text)
	return nil
}

func (f formatted[F]) Value() (driver.Value, error) { return f.text, nil }

func (f *formatted[F]) Scan(value any) error { return f.UnmarshalText(fmt.Append(nil, value)) }

func (formatted[F]) GormDataType() string { return "string" }

type (
	ofLetters struct{}
	ofULIDs   struct{}
	ofAThird  struct{}
)

func (ofLetters) pattern() string { return `^[a-z]+$` }
func (ofULIDs) pattern() string   { return `^[0-9A-HJKMNP-TV-Z]{26}$` }
func (ofAThird) pattern() string  { return `^user/[0-9]+$` }

// A format that the library knows an id of is not one of another format. Where it knows none, the program decides.
func TestTheIDsOfUsersHaveAFormat(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	names, ulids, others := formatsOfUserIDs[formatted[ofLetters]](t, db), formatsOfUserIDs[formatted[ofULIDs]](t, db), formatsOfUserIDs[formatted[ofAThird]](t, db)
	assert.Equal(t, map[string]bool{"numbers": false, "texts": true, "UUIDs": false, "ULIDs": false, "names": true}, names)
	assert.Equal(t, map[string]bool{"numbers": false, "texts": true, "UUIDs": false, "ULIDs": true, "names": false}, ulids)
	assert.Equal(t, map[string]bool{"numbers": true, "texts": true, "UUIDs": true, "ULIDs": true, "names": true}, others)
}

func formatsOfUserIDs[ID any](t *testing.T, db *gorm.DB) map[string]bool {
	t.Helper()
	users, err := gormstore.NewUsers[userOf[ID]](db)
	require.NoError(t, err)
	return map[string]bool{
		"numbers": fits[uint](t, db, users.CheckUserIDs), "texts": fits[string](t, db, users.CheckUserIDs), "UUIDs": fits[uuid.UUID](t, db, users.CheckUserIDs),
		"ULIDs": fits[formatted[ofULIDs]](t, db, users.CheckUserIDs), "names": fits[formatted[ofLetters]](t, db, users.CheckUserIDs),
	}
}

func checksOfUserIDs[ID any](t *testing.T, db *gorm.DB) map[string]bool {
	t.Helper()
	users, err := gormstore.NewUsers[userOf[ID]](db)
	require.NoError(t, err)
	return map[string]bool{
		"uint": fits[uint](t, db, users.CheckUserIDs), "*uint": fits[*uint](t, db, users.CheckUserIDs),
		"int64": fits[int64](t, db, users.CheckUserIDs), "sql.NullInt64": fits[sql.NullInt64](t, db, users.CheckUserIDs),
		"string": fits[string](t, db, users.CheckUserIDs), "*string": fits[*string](t, db, users.CheckUserIDs),
		"sql.NullString": fits[sql.NullString](t, db, users.CheckUserIDs),
		"uuid.UUID":      fits[uuid.UUID](t, db, users.CheckUserIDs), "*uuid.UUID": fits[*uuid.UUID](t, db, users.CheckUserIDs),
	}
}

func fits[ID any](t *testing.T, db *gorm.DB, check func(...gormstore.Erasable) error) bool {
	t.Helper()
	tokens, err := gormstore.NewTokens[tokenOf[ID]](db)
	require.NoError(t, err)
	err = check(tokens)
	if err != nil {
		assert.ErrorContains(t, err, "cannot hold the ids of gormstore_test.userOf")
	}
	return err == nil
}

// shyUser needs more than a primary key to say who it is.
type shyUser struct {
	ID      uint
	Account *User `gorm:"-"`
}

func (u *shyUser) GetUserID() string { return u.Account.GetUserID() }

// publicUser is known by another column than the primary key.
type publicUser struct {
	ID     uint
	Public string
}

func (u *publicUser) GetUserID() string { return u.Public }

func TestUsersAreFoundByWhatTheySay(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	_, err := gormstore.NewUsers[publicUser](db)
	assert.ErrorContains(t, err, `publicUser returns "" from GetUserID for the primary key "1", but users are found by their primary key; return it as a string, or set server.Config.QueryUser to a function of your own`)
	_, err = gormstore.NewUsers[shyUser](db)
	assert.NoError(t, err, "what cannot be known is not refused")
}

func TestTheTrailHoldsTheIDsOfUsers(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	audited, err := gormstore.WithAudit[Audit](db)
	require.NoError(t, err)
	users, err := gormstore.NewUsers[userOf[uuid.UUID]](audited)
	require.NoError(t, err)
	assert.ErrorContains(t, users.CheckUserIDs(), "Audit has a UserID of type *uint, which cannot hold")
}

// prefixed has the columns of a mixin by other names, and the partial index of the mixin
// is then about a column that there is not.
type prefixed struct {
	ID                uint
	UserID            *uint
	models.TokenMixin `gorm:"embeddedPrefix:oauth_"`
}

func TestAMixinKeepsTheNamesOfItsColumns(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		const fault = `prefixed has the column "client_id" of models.TokenMixin as "oauth_client_id"; remove embeddedPrefix from the tag of models.TokenMixin`
		_, err := gormstore.NewTokens[prefixed](db)
		require.ErrorContains(t, err, fault)
		require.ErrorContains(t, gormoauth.AutoMigrate(db, &User{}, &prefixed{}, &pointerToken{}), fault)
		assert.ErrorContains(t, gormoauth.AutoMigrate(db, &User{}, &prefixed{}, &pointerToken{}), "pointerToken embeds *models.TokenMixin", "all at once")
		assert.False(t, db.Migrator().HasTable(&User{}), "and nothing was made")
	})
}

// What a token is exchanged for is not in the tokens' table, which its handle is about.
func TestTheConditionsOfTokensAreNotThoseOfCodes(t *testing.T) {
	testdb.Each(t, append([]any{&ticket{}}, allModels...), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		code := secret.Present(p.code("profile"))
		codes, err := gormstore.NewAuthorizationCodes[AuthorizationCode](db)
		require.NoError(t, err)
		stored, err := codes.Query(t.Context(), code.Digest)
		require.NoError(t, err)
		tokens, err := gormstore.NewTokens[Token](db.Where("access_token_revoked_at = ?", 0).Or("expires_in > ?", 0))
		require.NoError(t, err)
		require.NoError(t, db.Create([]*ticket{{Digest: "mine"}, {Digest: "theirs"}}).Error)
		for i, exchange := range []storage.Exchange{
			{From: stored.AuthorizationCode, Presented: code.Digest}, {From: &ticket{Digest: "mine"}, Presented: "mine"},
		} {
			exchange.Kind, exchange.User, exchange.Time = storage.ExchangeSpend, p.User, p.Now
			exchange.Token = &models.TokenMixin{AccessToken: string(rune('a' + i))}
			require.NoError(t, tokens.Save(t.Context(), exchange))
			exchange.Token = &models.TokenMixin{AccessToken: string(rune('x' + i))}
			assert.ErrorIs(t, tokens.Save(t.Context(), exchange), storage.ErrSpent)
		}
		var theirs ticket
		require.NoError(t, db.First(&theirs, "digest = ?", "theirs").Error)
		assert.Zero(t, theirs.UsedAt)
	})
}
