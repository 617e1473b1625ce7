package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// statementLog is a logger that keeps what it is told.
type statementLog struct {
	logger.Interface

	all []string
}

func (l *statementLog) Trace(_ context.Context, _ time.Time, statement func() (string, int64), err error) {
	text, rows := statement()
	l.all = append(l.all, fmt.Sprint(text, " → ", rows, " ", err))
}

// registerAtAll registers callbacks for everything, after which GORM does everything.
func registerAtAll(t *testing.T, db *gorm.DB, f func(*gorm.DB)) {
	t.Helper()
	require.NoError(t, db.Callback().Query().Before("gorm:query").Register("test:any", f))
	require.NoError(t, db.Callback().Create().Before("gorm:create").Register("test:any", f))
	require.NoError(t, db.Callback().Update().Before("gorm:update").Register("test:any", f))
}

// lifeOf does what happens to tokens and codes, and returns all that the stores answered.
// Every digest contains the name.
func lifeOf(t *testing.T, db *gorm.DB, name string) (answers []any, tokens *gormstore.Tokens, codes *gormstore.AuthorizationCodes) {
	t.Helper()
	tokens, codes = stores(t, db)
	clients, err := gormstore.NewClients[Client](db)
	require.NoError(t, err)
	users, err := gormstore.NewUsers[User](db.Where("id > ?", 0).Where("1 = 1 OR id IS NULL"))
	require.NoError(t, err)
	user, client := &User{}, &Client{ClientMixin: models.ClientMixin{ClientID: "client" + name}}
	require.NoError(t, db.Create(user).Error)
	require.NoError(t, db.Create(client).Error)
	answer := func(value any, err error) {
		answers = append(answers, value, fmt.Sprint(err))
	}
	at := time.Unix(1_000, 0)
	record := func(access, refresh string) *models.TokenMixin {
		record := &models.TokenMixin{Authorization: models.Authorization{GrantID: "g" + name, ClientID: "client" + name}, AccessToken: access + name, IssuedAt: 1_000, ExpiresIn: 60}
		if refresh != "" {
			refresh += name
			record.RefreshToken = &refresh
		}
		return record
	}
	for _, what := range []string{"1", "2"} { // the second time, statements are known
		answer(clients.Query(t.Context(), "client"+name))
		answer(clients.Query(t.Context(), "nobody"))
		answer(users.Query(t.Context(), user.GetUserID()))
		answer(nil, codes.Save(t.Context(), &models.AuthorizationCodeMixin{Code: "code" + what + name, Authorization: models.Authorization{GrantID: "g" + name}, RedirectURI: "https://a"}, &server.Request{User: user, Time: at}))
		code, err := codes.Query(t.Context(), "code"+what+name)
		require.NoError(t, err)
		answer(code, nil)
		spend := storage.Exchange{Kind: storage.ExchangeSpend, From: code.AuthorizationCode, Presented: "code" + what + name, Time: at, User: user, Token: record("a"+what, "r"+what)}
		answer(nil, tokens.Save(t.Context(), spend))
		spend.Token = record("b"+what, "s"+what)
		answer(nil, tokens.Save(t.Context(), spend))
		answer(nil, tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: record("i"+what, ""), Time: at}))
		answer(nil, tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: record("i"+what, ""), Time: at})) // a duplicate
		found, err := tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: "r" + what + name})
		require.NoError(t, err)
		answer(found, nil)
		rotate := storage.Exchange{Kind: storage.ExchangeRotate, From: found.Token, Presented: "r" + what + name, Time: at, User: user, Token: record("c"+what, "t"+what)}
		answer(nil, tokens.Save(t.Context(), rotate))
		answer(found, nil) // with what was rotated, as GORM sets it
		found, err = tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "c" + what + name})
		require.NoError(t, err)
		for _, again := range []bool{true, false} {
			keep := storage.Exchange{Kind: storage.ExchangeKeep, Again: again, From: found.Token, Presented: "t" + what + name, Time: at, User: user, Token: record(fmt.Sprint("k", what, again), "u"+what)}
			answer(nil, tokens.Save(t.Context(), keep))
		}
		descend := storage.Exchange{Kind: storage.ExchangeDescend, From: found.Token, Presented: "c" + what + name, Time: at, User: user, Token: record("d"+what, "")}
		answer(nil, tokens.Save(t.Context(), descend))
		answer(tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "d" + what + name}))
		answer(nil, tokens.RevokeToken(t.Context(), "d"+what+name, at))
		answer(tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "d" + what + name}))
		answer(tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "nothing"}))
	}
	return answers, tokens, codes
}

// What the library sends itself is what GORM would send, and so is what it makes of the
// answers. A callback has GORM do everything.
func TestTheLibrarySendsWhatGORMWouldSend(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		ids := regexp.MustCompile(`(id["` + "`" + `]* = |VALUES \(|SELECT )\d+|step[A-Z2-7]{26}`)
		play := func(name string) (said []string, answers []any, kept [5]int) {
			log := &statementLog{Interface: logger.Discard}
			answers, tokens, codes := lifeOf(t, db.Session(&gorm.Session{Logger: log}), name)
			kept[0], kept[1], kept[2] = gormstore.SentByTheLibrary(tokens)
			kept[3], kept[4], _ = gormstore.SentByTheLibrary(codes)
			for _, statement := range log.all {
				said = append(said, ids.ReplaceAllString(strings.ReplaceAll(statement, name, "NAME"), "$1ID"))
			}
			return said, answers, kept
		}
		plain := func(answers []any, name string) string {
			text, err := json.Marshal(answers)
			require.NoError(t, err)
			text = regexp.MustCompile(`"(User)?ID":"?\d+`).ReplaceAll(text, []byte("ID"))
			return strings.ReplaceAll(string(text), name, "NAME")
		}
		said, answers, kept := play("ownA")
		registerAtAll(t, db, func(*gorm.DB) {})
		saidByGORM, answersByGORM, keptByGORM := play("gorm")

		require.NotEmpty(t, said)
		assert.Equal(t, saidByGORM, said)
		assert.Equal(t, plain(answersByGORM, "gorm"), plain(answers, "ownA"))
		assert.Equal(t, [5]int{}, keptByGORM)
		// By access and refresh token; the insertion; rotation, two of keeping, descending and
		// revocation; by code; its insertion.
		assert.Equal(t, [5]int{2, 1, 5, 1, 1}, kept)
	})
}

// seen counts where a part of the program takes part.
type seen struct{ count int }

func (s *seen) note(db *gorm.DB) {
	if !db.DryRun { // as it is while a statement is only built
		s.count++
	}
}

type (
	foundToken   struct{ PlainToken }
	createdToken struct{ PlainToken }
	updatedToken struct{ PlainToken }
	datedToken   struct {
		PlainToken
		CreatedAt time.Time
		UpdatedAt time.Time
	}
	modifyingToken struct{ PlainToken }
	tenantToken    struct {
		PlainToken
		Tenant tenant
	}
	createsToken struct {
		PlainToken
		Column createsColumn
	}
	updatesToken struct {
		PlainToken
		Column updatesColumn
	}
	placedToken struct {
		PlainToken
		Place place
	}
	PlainToken struct {
		ID     uint
		UserID *uint
		models.TokenMixin
	}
)

var hooks seen // tests that use it do not run side by side

func (*foundToken) AfterFind(tx *gorm.DB) error      { hooks.note(tx); return nil }
func (*createdToken) BeforeCreate(tx *gorm.DB) error { hooks.note(tx); return nil }
func (*updatedToken) BeforeUpdate(tx *gorm.DB) error { hooks.note(tx); return nil }

// ModifyStatement is of gorm.StatementModifier.
func (*modifyingToken) ModifyStatement(stmt *gorm.Statement) { hooks.note(stmt.DB) }

// tenant is a column that adds a condition to each query.
type tenant string

// QueryClauses adds the condition.
func (tenant) QueryClauses(field *schema.Field) []clause.Interface {
	return []clause.Interface{tenantClause{field: field}}
}

type (
	createsColumn string
	updatesColumn string
)

// CreateClauses takes part in each creation.
func (createsColumn) CreateClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{tenantClause{}}
}

// UpdateClauses takes part in each update.
func (updatesColumn) UpdateClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{tenantClause{}}
}

// place is stored by an expression.
type place string

// GormDataType is the column's type.
func (place) GormDataType() string { return "text" }

// GormValue is the expression.
func (p place) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	hooks.note(db)
	return clause.Expr{SQL: "?", Vars: []any{string(p)}}
}

type tenantClause struct {
	clause.Where

	field *schema.Field
}

func (tenantClause) Name() string                         { return "tenant" }
func (tenantClause) MergeClause(*clause.Clause)           {}
func (tenantClause) Build(clause.Builder)                 {}
func (tenantClause) ModifyStatement(stmt *gorm.Statement) { hooks.note(stmt.DB) }

// ofContext is a value that depends on the context of the statement.
type ofContext int

// GormValue returns the value.
func (ofContext) GormValue(_ context.Context, db *gorm.DB) clause.Expr {
	hooks.note(db)
	return clause.Expr{SQL: "?", Vars: []any{1}}
}

// A part of the program that could notice that the library sends a statement itself takes part in
// each statement, also if it comes after some have been sent.
func TestWhatTheProgramAddsTakesPart(t *testing.T) {
	use := func(t *testing.T, tokens *gormstore.Tokens, name string) {
		t.Helper()
		refresh, next := "r"+name, "n"+name
		require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: "a" + name, RefreshToken: &refresh}, nil)))
		found, err := tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: refresh})
		require.NoError(t, err)
		require.NotNil(t, found)
		require.NoError(t, tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeRotate, From: found.Token, Presented: refresh, Token: &models.TokenMixin{AccessToken: "b" + name, RefreshToken: &next}}))
	}
	for what, test := range map[string]struct {
		tokens func(t *testing.T, db *gorm.DB) (*gormstore.Tokens, error)
		later  func(t *testing.T, db *gorm.DB)
		least  int // how often it takes part in one use
	}{
		"a callback of queries": {ofModel[PlainToken](nil), func(t *testing.T, db *gorm.DB) {
			require.NoError(t, db.Callback().Query().After("gorm:query").Register("test:seen", hooks.note))
		}, 1},
		"a callback of queries in the place of GORM's": {ofModel[PlainToken](nil), func(t *testing.T, db *gorm.DB) {
			own := db.Callback().Query().Get("gorm:query")
			require.NoError(t, db.Callback().Query().Replace("gorm:query", func(db *gorm.DB) { hooks.note(db); own(db) }))
		}, 1},
		"a callback of creations": {ofModel[PlainToken](nil), func(t *testing.T, db *gorm.DB) {
			require.NoError(t, db.Callback().Create().Before("gorm:create").Register("test:seen", hooks.note))
		}, 1},
		"a callback of updates": {ofModel[PlainToken](nil), func(t *testing.T, db *gorm.DB) {
			require.NoError(t, db.Callback().Update().Before("gorm:update").Register("test:seen", hooks.note))
		}, 1},
		"AfterFind":       {ofModel[foundToken](nil), nil, 1},
		"BeforeCreate":    {ofModel[createdToken](nil), nil, 1},
		"BeforeUpdate":    {ofModel[updatedToken](nil), nil, 1},
		"ModifyStatement": {ofModel[modifyingToken](nil), nil, 2},
		"CreateClauses":   {ofModel[createsToken](nil), nil, 1},
		"UpdateClauses":   {ofModel[updatesToken](nil), nil, 1},
		"GormValue":       {ofModel[placedToken](nil), nil, 1},
		"QueryClauses":    {ofModel[tenantToken](nil), nil, 1},
		"a condition with a value of the context": {ofModel[PlainToken](func(db *gorm.DB) *gorm.DB { return db.Where("1 = ?", ofContext(1)) }), nil, 2},
		"a condition with an expression":          {ofModel[PlainToken](func(db *gorm.DB) *gorm.DB { return db.Where("?", ownExpression(1)) }), nil, 2},
		"a condition of a type of its own": {ofModel[PlainToken](func(db *gorm.DB) *gorm.DB {
			return db.Where(ownExpression(1))
		}), nil, 2},
		"a scope": {ofModel[PlainToken](func(db *gorm.DB) *gorm.DB {
			return db.Scopes(func(db *gorm.DB) *gorm.DB { hooks.note(db); return db })
		}), nil, 3},
		"a builder of a clause": {ofModel[PlainToken](func(db *gorm.DB) *gorm.DB {
			own := db.ClauseBuilders["LIMIT"]
			db.ClauseBuilders["LIMIT"] = func(c clause.Clause, builder clause.Builder) {
				hooks.note(builder.(*gorm.Statement).DB)
				own(c, builder)
			}
			return db
		}), nil, 1},
	} {
		t.Run(what, func(t *testing.T) {
			db := testdb.Open(t, testdb.SQLiteGo)
			tokens, err := test.tokens(t, db)
			require.NoError(t, err)
			use(t, tokens, "first")
			use(t, tokens, "known")
			if test.later != nil {
				test.later(t, db)
			}
			hooks.count = 0
			use(t, tokens, "second")
			assert.GreaterOrEqual(t, hooks.count, test.least)
			hooks.count = 0
			use(t, tokens, "third")
			assert.GreaterOrEqual(t, hooks.count, test.least, "again")
		})
	}
}

// ofModel returns what migrates a model and makes its store.
func ofModel[M any, P gormstore.TokenModel[M]](handle func(*gorm.DB) *gorm.DB) func(t *testing.T, db *gorm.DB) (*gormstore.Tokens, error) {
	return func(t *testing.T, db *gorm.DB) (*gormstore.Tokens, error) {
		t.Helper()
		require.NoError(t, gormstore.AutoMigrate(db, new(M)))
		if handle != nil {
			db = handle(db)
		}
		return gormstore.NewTokens[M, P](db)
	}
}

// ownExpression is a condition that knows only itself what it is.
type ownExpression int

// Build writes it.
func (ownExpression) Build(builder clause.Builder) {
	hooks.note(builder.(*gorm.Statement).DB)
	_, _ = builder.WriteString("1 = 1")
}

// Times that GORM sets are set, by the program's clock.
func TestTimesAreSet(t *testing.T) {
	testdb.Each(t, []any{&datedToken{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(5_000, 0).UTC()
		db = db.Session(&gorm.Session{NowFunc: func() time.Time { return now }})
		tokens, err := gormstore.NewTokens[datedToken](db)
		require.NoError(t, err)
		for _, name := range []string{"1", "2", "3"} {
			refresh, next := "r"+name, "n"+name
			require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: "a" + name, RefreshToken: &refresh}, nil)))
			created := now
			var row datedToken
			require.NoError(t, db.Where("access_token = ?", "a"+name).First(&row).Error)
			assert.True(t, created.Equal(row.UpdatedAt), row.UpdatedAt)
			now = now.Add(time.Hour)
			found, err := tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: refresh})
			require.NoError(t, err)
			require.NoError(t, tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeRotate, From: found.Token, Presented: refresh, Token: &models.TokenMixin{AccessToken: "b" + name, RefreshToken: &next}}))
			row = datedToken{}
			require.NoError(t, db.Where("access_token = ?", "b"+name).First(&row).Error)
			assert.True(t, created.Equal(row.CreatedAt), row.CreatedAt)
			assert.True(t, now.Equal(row.UpdatedAt), row.UpdatedAt)
		}
	})
}

type (
	named  string
	listed []string
	level  int8
)

// Value and Scan store a list as one text.
func (l listed) Value() (driver.Value, error) { return strings.Join(l, " "), nil }

// Scan is of [sql.Scanner].
func (l *listed) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*l = listed{"none"}
	case string:
		*l = strings.Fields(value)
	default:
		return errors.New("not a list")
	}
	return nil
}

type inner struct {
	Depth int64
	Label *string
}

// motleyToken has a field of each kind.
type motleyToken struct {
	ID     uint64 `gorm:"primaryKey"`
	UserID *uint
	models.TokenMixin
	Text      string
	MaybeText *string
	Named     named
	Flag      bool
	MaybeFlag *bool
	Small     int8
	Level     level
	Count     int
	Unsigned  uint
	Size      uint32
	Ratio     float64
	MaybeSize *int64
	At        time.Time
	MaybeAt   *time.Time
	NullText  sql.NullString
	NullInt   sql.NullInt64
	Bytes     []byte
	Listed    listed
	JSON      map[string]int `gorm:"serializer:json"`
	Unix      int64          `gorm:"serializer:unixtime;type:timestamp"`
	Deleted   gorm.DeletedAt
	Inner     inner  `gorm:"embedded;embeddedPrefix:inner_"`
	Pointer   *inner `gorm:"embedded;embeddedPrefix:pointer_"`
	Preset    int    `gorm:"default:7"`
	FromDB    string `gorm:"default:(lower('PRESET'))"`
	WriteOnly string `gorm:"->:false;<-"`
	ReadOnly  string `gorm:"->"`
	Ignored   string `gorm:"-"`
}

// A row is what GORM makes of it, for each kind of field, with values and with NULL, and with
// columns that the model does not have.
func TestARowIsWhatGORMMakesOfIt(t *testing.T) {
	testdb.Each(t, []any{&motleyToken{}}, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.Exec("ALTER TABLE motley_tokens ADD COLUMN foreign_column text").Error)
		tokens, err := gormstore.NewTokens[motleyToken](db)
		require.NoError(t, err)
		text, flag, size, at := "text", true, int64(-3), time.Unix(4_000, 0).UTC()
		full := motleyToken{
			TokenMixin: models.TokenMixin{AccessToken: "full"}, Text: "ä", MaybeText: &text, Named: "n", Flag: true, MaybeFlag: &flag, Small: -8, Level: 3, Count: -5,
			Unsigned: 6, Size: 7, Ratio: 1.5, MaybeSize: &size, At: at, MaybeAt: &at, NullText: sql.NullString{String: "s", Valid: true}, NullInt: sql.NullInt64{Int64: 9, Valid: true},
			Bytes: []byte{0, 255}, Listed: listed{"a", "b"}, JSON: map[string]int{"a": 1}, Unix: 4_000, Inner: inner{2, &text}, Pointer: &inner{3, &text}, Preset: 8, FromDB: "own", WriteOnly: "w",
		}
		empty := motleyToken{TokenMixin: models.TokenMixin{AccessToken: "empty"}, At: at, Unix: 4_000}
		null := motleyToken{TokenMixin: models.TokenMixin{AccessToken: "null"}, At: at, Unix: 4_000}
		for _, row := range []*motleyToken{&full, &empty, &null} {
			require.NoError(t, db.Create(row).Error)
		}
		set := "foreign_column = 'foreign'"
		for _, column := range strings.Fields("text maybe_text named flag maybe_flag small level count unsigned size ratio maybe_size at maybe_at null_text null_int bytes listed json unix " +
			"inner_depth inner_label pointer_depth pointer_label preset from_db write_only read_only") {
			set += ", " + column + " = NULL"
		}
		require.NoError(t, db.Exec("UPDATE motley_tokens SET "+set+" WHERE access_token = 'null'").Error)
		for _, name := range []string{"full", "empty", "null", "full"} {
			var want motleyToken
			require.NoError(t, db.Where("access_token = ?", name).First(&want).Error, name)
			found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: name})
			require.NoError(t, err, name)
			assert.Equal(t, &want, found.Token, name)
		}
		lookups, _, _ := gormstore.SentByTheLibrary(tokens)
		assert.Equal(t, 1, lookups)
		assert.Equal(t, "preset", empty.FromDB)

		for range 3 {
			require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: "saved"}, nil)))
			var saved, created motleyToken
			require.NoError(t, db.Where("access_token = ?", "saved").First(&saved).Error)
			require.NoError(t, db.Unscoped().Delete(&saved).Error)
			created.AccessToken = "saved"
			require.NoError(t, db.Create(&created).Error)
			require.NoError(t, db.First(&created).Error)
			require.NoError(t, db.Unscoped().Delete(&created).Error)
			created.ID = saved.ID
			assert.Equal(t, created, saved)
		}
		_, insertions, _ := gormstore.SentByTheLibrary(tokens)
		assert.Equal(t, 1, insertions)
	})
}

// A column that has another type than its field is an error that names the column.
func TestAValueThatDoesNotFitIsAnError(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	tokens, _ := stores(t, db)
	require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: "a"}, nil)))
	for column, value := range map[string]string{"issued_at": "'soon'", "expires_in": "'long'"} {
		require.NoError(t, db.Exec("UPDATE tokens SET "+column+" = "+value).Error)
		_, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
		require.ErrorContains(t, err, column)
		require.NoError(t, db.Exec("UPDATE tokens SET "+column+" = 1").Error)
	}
	require.NoError(t, db.Exec("UPDATE tokens SET issued_at = '12', scope = 7").Error)
	found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
	require.NoError(t, err)
	assert.EqualValues(t, 12, found.Token.(*Token).IssuedAt)
	assert.Equal(t, "7", found.Token.(*Token).Scope)
}

// The conditions of the handle that are always the same apply to what the library sends.
func TestConstantConditionsApply(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for name, handle := range map[string]*gorm.DB{
			"plain":     db.Where("client_id = ?", "mine"),
			"or":        db.Where("client_id = ?", "mine").Or("client_id = ?", "ours"),
			"a map":     db.Where(map[string]any{"client_id": "mine"}),
			"not":       db.Not("client_id = ?", "theirs"),
			"by struct": db.Where(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{ClientID: "mine"}}}),
			"a group":   db.Where(db.Where("client_id = ?", "mine").Or("client_id = ?", "ours")),
		} {
			tokens, err := gormstore.NewTokens[Token](handle)
			require.NoError(t, err)
			for _, client := range []string{"mine", "theirs"} {
				require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: name + client, Authorization: models.Authorization{ClientID: client}}}).Error)
			}
			for range 2 {
				for client, has := range map[string]bool{"mine": true, "theirs": false} {
					found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: name + client})
					require.NoError(t, err, name)
					assert.Equal(t, has, found != nil, name, client)
				}
			}
			lookups, _, _ := gormstore.SentByTheLibrary(tokens)
			assert.Equal(t, 1, lookups, name)
		}
	})
}

// A table that is used once, as those of relatives are, has nothing built for later.
func TestTheFirstStatementIsBuiltByGORM(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	tokens, _ := stores(t, db)
	for _, want := range []int{0, 1, 1} {
		_, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
		require.NoError(t, err)
		lookups, _, _ := gormstore.SentByTheLibrary(tokens)
		assert.Equal(t, want, lookups)
	}
}

// A program that removes a callback and registers another has as many as before.
func TestAsManyCallbacksAreNotTheSame(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	tokens, _ := stores(t, db)
	query := func() {
		_, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
		require.NoError(t, err)
	}
	var first, second seen
	register := func(name string, of *seen) {
		require.NoError(t, db.Callback().Query().After("gorm:query").Register(name, of.note))
	}
	register("test:first", &first)
	query()
	query()
	require.NoError(t, db.Callback().Query().Remove("test:first"))
	register("test:second", &second)
	query()
	query()
	assert.Equal(t, []int{2, 2}, []int{first.count, second.count})
	require.NoError(t, db.Callback().Query().Remove("test:second"))
	query()
	query()
	query()
	assert.Equal(t, []int{2, 2}, []int{first.count, second.count})
}

// However many kinds of statements there are, few are kept.
func TestFewStatementsAreKept(t *testing.T) {
	assert.Equal(t, 16, gormstore.KeptOf(testdb.Open(t, testdb.SQLiteGo), 100))
}

// secretive is a logger that shows no arguments.
type secretive struct{ *statementLog }

// ParamsFilter removes them.
func (secretive) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

// The logger decides what it is told, and errors are those that the program chose.
func TestTheLoggerAndErrorsAreThoseOfTheProgram(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for _, translate := range []bool{true, false} {
			log := &statementLog{Interface: logger.Discard}
			handle := db.Session(&gorm.Session{Logger: secretive{log}})
			handle.TranslateError = translate
			tokens, _ := stores(t, handle)
			for i := range 3 {
				name := fmt.Sprint(translate, i)
				for range 2 {
					_, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: name})
					require.NoError(t, err)
				}
				require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: name}, nil)))
				asGORM := handle.Session(&gorm.Session{Logger: logger.Discard}).Create(&Token{TokenMixin: models.TokenMixin{AccessToken: name}}).Error
				assert.Equal(t, errors.Is(asGORM, gorm.ErrDuplicatedKey), errors.Is(tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: name}, nil)), gorm.ErrDuplicatedKey))
			}
			assert.Len(t, log.all, 9, "a duplicate is not logged")
			assert.NotContains(t, strings.Join(log.all, ""), fmt.Sprint(translate))
			lookups, insertions, _ := gormstore.SentByTheLibrary(tokens)
			assert.Equal(t, []int{1, 1}, []int{lookups, insertions})
		}
	})
}
