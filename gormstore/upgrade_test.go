package gormstore_test

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// To freeze a release, when it is made: copy release_0_1_test.go to
// release_X_Y_test.go, rename what is in it, bring its columns and statements
// to those of the release, and add it here. The files of earlier releases stay as
// they are for as long as an upgrade from them is promised.
var releases = map[string]func(*testing.T, *gorm.DB) release{
	"0.1": newProgram01,
}

// release is a program of an earlier release, with the models of the tests. It
// sends the statements that it sent then. Secrets are plaintext here; a grant is
// the part of a code or refresh token that names it.
type release interface {
	models() []any
	mixins() (client, token, code any)
	// secret makes an access token ("at"), or a code ("ac") or refresh token
	// ("rt") of a grant.
	secret(kind, grant string) string
	insertUser() (id uint)
	insertClient(clientID string, now int64)
	client(clientID string) (metadata string)
	insertCode(userID uint, clientID, code, grant string, now int64)
	redeem(code, access, refresh string, now int64) (won bool)
	valid(access string, now int64) bool
	rotate(presented, grant, access, refresh string, now int64) (won bool)
	revokeToken(access string, now int64)
	revokeGrant(grant string, now int64)
}

// grantOf returns the part of a code or refresh token that names its grant.
func grantOf(secret string) string {
	return secret[len(secret)-33 : len(secret)-7]
}

// upgrade is a program of an earlier release, old, and one of this release, p,
// on one database.
type upgrade struct {
	provider
	old    release
	userID uint
	now    int64
}

// A program of an earlier release and one of this release share a database
// while the one takes the other's place, whichever of them made it.
func TestAnEarlierReleaseAndThisOneShareADatabase(t *testing.T) {
	for name, start := range releases {
		t.Run(name, func(t *testing.T) {
			testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) { madeByTheOld(t, db, start(t, db)) })
		})
		t.Run(name+" comes back", func(t *testing.T) {
			testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) { madeByTheNew(t, db, start(t, db)) })
		})
	}
}

// What an upgrade makes is what a fresh database gets, but for the columns that the earlier
// release made, which stay as they are.
func TestAnUpgradeMakesTheSchemaOfAFreshDatabase(t *testing.T) {
	for name, start := range releases {
		t.Run(name, func(t *testing.T) {
			testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
				require.NoError(t, db.AutoMigrate(start(t, db).models()...))
				old := make(map[string]bool) // by the model and the column
				for _, model := range allModels {
					if !db.Migrator().HasTable(model) {
						continue
					}
					columns, err := db.Migrator().ColumnTypes(model)
					require.NoError(t, err)
					for _, column := range columns {
						old[fmt.Sprintf("%T.%s", model, column.Name())] = true
					}
				}
				require.NotEmpty(t, old)
				require.NoError(t, gormstore.AutoMigrate(db, allModels...))
				upgraded := tablesOf(t, db)
				require.NoError(t, db.Migrator().DropTable(allModels...))
				require.NoError(t, gormstore.AutoMigrate(db, allModels...))
				fresh := tablesOf(t, db)
				for _, entry := range fresh {
					if column, _, _ := strings.Cut(entry, " "); !old[column] {
						assert.Contains(t, upgraded, entry)
					}
				}
				for _, entry := range upgraded {
					if column, _, _ := strings.Cut(entry, " "); !old[column] {
						assert.Contains(t, fresh, entry)
					}
				}
			})
		})
	}
}

// madeByTheOld: there are rows before the new columns are.
func madeByTheOld(t *testing.T, db *gorm.DB, old release) {
	t.Helper()
	const now = 1_800_000_000 // as the provider has it
	require.NoError(t, db.AutoMigrate(old.models()...))
	userID := old.insertUser()
	old.insertClient("old-client", now)
	grants := []string{rand.Text(), rand.Text(), rand.Text()}
	codes, access, refresh := make([]string, 3), make([]string, 3), make([]string, 3)
	for i, grant := range grants {
		codes[i], access[i], refresh[i] = old.secret("ac", grant), old.secret("at", ""), old.secret("rt", grant)
		old.insertCode(userID, "old-client", codes[i], grant, now)
	}
	for i := range 2 {
		require.True(t, old.redeem(codes[i], access[i], refresh[i], now))
	}
	old.revokeGrant(grants[1], now)

	require.NoError(t, gormstore.AutoMigrate(db, allModels...), "this release comes up")
	u := upgrade{newProvider(t, db), old, userID, now}
	u.client = &Client{}
	require.NoError(t, db.Where("client_id = ?", "old-client").First(u.client).Error)
	assert.True(t, u.valid(access[0]))
	assert.False(t, u.valid(access[1]), "what was revoked stays revoked")
	assert.Equal(t, "invalid_grant", u.refresh(refresh[1]).Error)
	assert.Equal(t, 200, u.redeem(codes[2]).Status, "a code of before is redeemed")
	assert.False(t, old.redeem(codes[2], "x", "y", now), "and then by nobody")
	next := u.refresh(refresh[0])
	require.Equal(t, 200, next.Status, next.Description)
	assert.False(t, u.valid(access[0]))
	assert.True(t, old.valid(next.AccessToken, now))
	u.takeTurns(t)
}

// madeByTheNew: the new program is withdrawn, or its twin of before still
// restarts now and then.
func madeByTheNew(t *testing.T, db *gorm.DB, old release) {
	t.Helper()
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	before := tablesOf(t, db)
	require.NoError(t, gormstore.AutoMigrate(db, old.models()...), "the earlier release comes up again")
	assert.Equal(t, before, tablesOf(t, db), "it leaves columns and indexes alone")
	require.NoError(t, db.AutoMigrate(old.models()...), "by GORM's own hand, too")
	assert.Equal(t, before, tablesOf(t, db))
	u := upgrade{newProvider(t, db), old, old.insertUser(), 1_800_000_000}
	u.takeTurns(t)
	old.insertClient("old-client", u.now)
	u.client = &Client{}
	require.NoError(t, db.Where("client_id = ?", "old-client").First(u.client).Error)
	u.takeTurns(t)
}

func (u upgrade) takeTurns(t *testing.T) {
	t.Helper()
	assert.Contains(t, u.old.client(u.client.ClientID), `"https://client.example/cb"`)
	t.Run("codes", u.codesChangeHands)
	t.Run("refresh tokens", u.refreshTokensChangeHands)
	t.Run("reuse", u.reuseEndsTheGrantForBoth)
	t.Run("revocation", u.revocationIsSeenByBoth)
	t.Run("an API", u.anAPIStaysOne)
}

func (u upgrade) codesChangeHands(t *testing.T) {
	grant := rand.Text()
	code := u.old.secret("ac", grant)
	u.old.insertCode(u.userID, u.client.ClientID, code, grant, u.now)
	first := u.redeem(code)
	require.Equal(t, 200, first.Status, first.Description)
	assert.True(t, u.old.valid(first.AccessToken, u.now), "its token is valid for both")
	assert.True(t, u.valid(first.AccessToken))
	assert.False(t, u.old.redeem(code, "x", "y", u.now), "spent for both")

	code = u.code("profile")
	access := u.old.secret("at", "")
	require.True(t, u.old.redeem(code, access, u.old.secret("rt", grantOf(code)), u.now))
	assert.True(t, u.valid(access))
	assert.True(t, u.old.valid(access, u.now))
	assert.Equal(t, "invalid_grant", u.redeem(code).Error, "spent for both")
	assert.False(t, u.old.valid(access, u.now), "a replay ends the grant for both")
}

func (u upgrade) refreshTokensChangeHands(t *testing.T) {
	current := u.redeem(u.code("profile"))
	grant := grantOf(current.RefreshToken)
	for range 2 {
		access, refresh := u.old.secret("at", ""), u.old.secret("rt", grant)
		require.True(t, u.old.rotate(current.RefreshToken, grant, access, refresh, u.now))
		assert.True(t, u.valid(access))
		assert.False(t, u.valid(current.AccessToken))
		current = u.refresh(refresh)
		require.Equal(t, 200, current.Status, current.Description)
		assert.Equal(t, grant, grantOf(current.RefreshToken))
		assert.True(t, u.old.valid(current.AccessToken, u.now))
		assert.False(t, u.old.valid(access, u.now))
	}
}

func (u upgrade) reuseEndsTheGrantForBoth(t *testing.T) {
	first := u.redeem(u.code("profile"))
	grant := grantOf(first.RefreshToken)
	access, refresh := u.old.secret("at", ""), u.old.secret("rt", grant)
	require.True(t, u.old.rotate(first.RefreshToken, grant, access, refresh, u.now))
	assert.Equal(t, "invalid_grant", u.refresh(first.RefreshToken).Error)
	assert.False(t, u.old.valid(access, u.now))
	assert.False(t, u.old.rotate(refresh, grant, "x", "y", u.now))

	first = u.redeem(u.code("profile"))
	require.Equal(t, 200, u.refresh(first.RefreshToken).Status)
	assert.False(t, u.old.rotate(first.RefreshToken, grantOf(first.RefreshToken), "x", "y", u.now), "it is reuse for the other, too")
}

func (u upgrade) revocationIsSeenByBoth(t *testing.T) {
	first := u.redeem(u.code("profile"))
	u.old.revokeToken(first.AccessToken, u.now)
	assert.False(t, u.valid(first.AccessToken))
	second := u.refresh(first.RefreshToken)
	require.Equal(t, 200, second.Status, "the access token alone was revoked")
	u.old.revokeGrant(grantOf(first.RefreshToken), u.now)
	assert.False(t, u.valid(second.AccessToken))
	assert.Equal(t, "invalid_grant", u.refresh(second.RefreshToken).Error)

	first = u.redeem(u.code("profile"))
	require.Equal(t, 200, u.Revoke(u.client, "token="+first.RefreshToken).Status)
	assert.False(t, u.old.valid(first.AccessToken, u.now))
	assert.False(t, u.old.rotate(first.RefreshToken, grantOf(first.RefreshToken), "x", "y", u.now))
}

// What the earlier release wrote is the API at nothing, and what it does not know of
// stays, whatever it does.
func (u upgrade) anAPIStaysOne(t *testing.T) {
	factory, err := gormstore.NewClientFactory[Client](u.DB, u.Server)
	require.NoError(t, err)
	id := "api" + rand.Text()
	u.old.insertClient(id, u.now)
	for _, clientID := range []string{id, u.client.ClientID} {
		assert.Empty(t, stored(t, u.DB, clientID).GetAPIResources())
		require.NoError(t, factory.SetAPIResources(t.Context(), clientID, "https://api.example"))
		assert.Contains(t, u.old.client(clientID), "https://client.example/cb")
		assert.Equal(t, []string{"https://api.example"}, stored(t, u.DB, clientID).GetAPIResources())
		require.NoError(t, factory.SetAPIResources(t.Context(), clientID))
	}
}

// tablesOf lists the columns and indexes of all tables.
func tablesOf(t *testing.T, db *gorm.DB) (all []string) {
	t.Helper()
	for _, model := range allModels {
		columns, err := db.Migrator().ColumnTypes(model)
		require.NoError(t, err)
		for _, column := range columns {
			nullable, _ := column.Nullable()
			byDefault, _ := column.DefaultValue()
			all = append(all, fmt.Sprintf("%T.%s %s %t %q", model, column.Name(), column.DatabaseTypeName(), nullable, byDefault))
		}
		indexes, err := db.Migrator().GetIndexes(model)
		require.NoError(t, err)
		for _, index := range indexes {
			unique, _ := index.Unique()
			all = append(all, fmt.Sprintf("%T: %s %v %t", model, index.Name(), index.Columns(), unique))
		}
	}
	slices.Sort(all)
	return all
}

// The mixins change by addition alone.
func TestTheMixinsOnlyGrow(t *testing.T) {
	for name, start := range releases {
		t.Run(name, func(t *testing.T) {
			client, token, code := start(t, nil).mixins()
			assert.Empty(t, breaks(t, client, &models.ClientMixin{}))
			assert.Empty(t, breaks(t, token, &models.TokenMixin{}))
			assert.Empty(t, breaks(t, code, &models.AuthorizationCodeMixin{}))
		})
	}
}

// What to write instead of a change that breaks.
const (
	instead = ": leave it as it is; expand by a new column that is nullable or has a default, write both, backfill it in batches, " +
		"and contract in a release whose predecessor does without the old one"
	expand = ": an INSERT of the earlier release leaves it out; make it nullable or give it a default, and backfill it in batches"
)

// breaks tells what in a new mixin would break a program that has the old one.
// AutoMigrate alters nothing: a column that differs is the new one in new tables
// alone, so that not even a looser one is of use.
func breaks(t *testing.T, before, after any) (faults []string) {
	t.Helper()
	was, is := parse(t, before), parse(t, after)
	for name, old := range was.FieldsByDBName {
		if now := is.FieldsByDBName[name]; now == nil {
			faults = append(faults, name+" is gone"+instead)
		} else if change := differs(old, now); change != "" {
			faults = append(faults, name+" "+change+instead)
		}
	}
	for name, now := range is.FieldsByDBName {
		if was.FieldsByDBName[name] == nil && now.NotNull && !now.HasDefaultValue {
			faults = append(faults, name+" is new, NOT NULL and without a default"+expand)
		}
	}
	old, now := rules(was), rules(is)
	for _, rule := range now {
		if !slices.Contains(old, rule) {
			faults = append(faults, rule+" is a new rule, which rows of the earlier release may break"+instead)
		}
	}
	for _, rule := range old {
		if !slices.Contains(now, rule) {
			faults = append(faults, rule+" is a rule no more, which the earlier release relies on"+instead)
		}
	}
	return faults
}

func parse(t *testing.T, model any) *schema.Schema {
	t.Helper()
	s, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{})
	require.NoError(t, err)
	return s
}

func differs(old, now *schema.Field) string {
	switch {
	case now.DataType != old.DataType, now.Size != old.Size, kindOf(now) != kindOf(old):
		return "has another type"
	case (now.FieldType.Kind() == reflect.Pointer) != (old.FieldType.Kind() == reflect.Pointer):
		return "has another value for what is not there"
	case now.NotNull != old.NotNull:
		return "differs in NOT NULL"
	case now.DefaultValue != old.DefaultValue:
		return "has another default"
	}
	return ""
}

// kindOf is the kind of a column; a type that writes itself as text is text.
func kindOf(field *schema.Field) reflect.Kind {
	if kind := field.IndirectFieldType.Kind(); kind != reflect.Struct {
		return kind
	}
	return reflect.String
}

// rules are what a table demands of its rows beyond each column's own.
func rules(s *schema.Schema) (all []string) {
	for _, index := range s.ParseIndexes() {
		if index.Class != "UNIQUE" {
			continue
		}
		var columns []string
		for _, field := range index.Fields {
			columns = append(columns, field.DBName)
		}
		all = append(all, strings.TrimSpace("unique "+strings.Join(columns, ", ")+" "+index.Where))
	}
	for _, constraint := range s.ParseUniqueConstraints() {
		all = append(all, "unique "+constraint.Field.DBName)
	}
	for _, constraint := range s.ParseCheckConstraints() {
		all = append(all, "check "+constraint.Constraint)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestABreakingChangeOfAMixinIsFound(t *testing.T) {
	field := func(name string, example any, tag string) reflect.StructField {
		return reflect.StructField{Name: name, Type: reflect.TypeOf(example), Tag: reflect.StructTag(`gorm:"` + tag + `"`)}
	}
	mixin := func(fields ...reflect.StructField) any { return reflect.New(reflect.StructOf(fields)).Interface() }
	text, count := field("Text", "", "type:text"), field("Count", int64(0), "not null;default:0")
	maybe, only := field("Maybe", new(string), "type:text;index"), field("Only", "", "type:varchar(9);uniqueIndex")
	before := mixin(text, count, maybe, only)
	assert.Empty(t, breaks(t, before, mixin(text, count, maybe, only,
		field("Added", int64(0), "not null;default:0;index"), field("Nullable", new(string), ""), field("Also", "", "type:text"))))
	for want, after := range map[string]any{
		"text is gone":                  mixin(count, maybe, only),
		"text has another type":         mixin(field("Text", "", "type:varchar(10)"), count, maybe, only),
		"count has another type":        mixin(text, field("Count", int32(0), "not null;default:0"), maybe, only),
		"maybe has another value":       mixin(text, count, field("Maybe", "", "type:text;index"), only),
		"text differs in NOT NULL":      mixin(field("Text", "", "type:text;not null"), count, maybe, only),
		"count differs in NOT NULL":     mixin(text, field("Count", int64(0), "default:0"), maybe, only),
		"count has another default":     mixin(text, field("Count", int64(0), "not null;default:1"), maybe, only),
		"added is new, NOT NULL":        mixin(text, count, maybe, only, field("Added", "", "not null")),
		"unique text is a new rule":     mixin(field("Text", "", "type:text;uniqueIndex"), count, maybe, only),
		"unique maybe is a new rule":    mixin(text, count, field("Maybe", new(string), "type:text;index;unique"), only),
		"unique only is a rule no more": mixin(text, count, maybe, field("Only", "", "type:varchar(9);index")),
		"check count > 0 is a new rule": mixin(text, field("Count", int64(0), "not null;default:0;check:count > 0"), maybe, only),
	} {
		if faults := breaks(t, before, after); assert.Len(t, faults, 1, want) {
			assert.Contains(t, faults[0], want)
			assert.Contains(t, faults[0], "backfill it in batches", "it says what to do")
		}
	}
}
