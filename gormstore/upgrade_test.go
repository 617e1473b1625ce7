package gormstore_test

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// A program of the last release and one of this release share a database while
// the one takes the other's place, whichever of them made it.
func TestTheLastReleaseAndThisOneShareADatabase(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		old := program01{db}
		require.NoError(t, gormstore.AutoMigrate(db, old.models()...))
		require.NoError(t, gormstore.AutoMigrate(db, allModels...), "this release comes up")
		shareADatabase(t, db, old)
	})
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		old := program01{db}
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		before := columnsOf(t, db)
		require.NoError(t, gormstore.AutoMigrate(db, old.models()...), "the last release comes up again")
		assert.Equal(t, before, columnsOf(t, db), "it leaves the columns alone")
		shareADatabase(t, db, old)
	})
}

func shareADatabase(t *testing.T, db *gorm.DB, old program01) {
	t.Helper()
	p := newProvider(t, db)
	now := p.Now.Unix()
	one := func(rows int64, err error) {
		t.Helper()
		require.NoError(t, err)
		require.EqualValues(t, 1, rows)
	}
	none := func(rows int64, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Zero(t, rows)
	}
	oldTakes := func(access string) bool {
		valid, err := old.valid(server.Digest(access), now)
		require.NoError(t, err)
		return valid
	}

	// A code of the last release is redeemed by this one, and then by nobody.
	code := p.code("profile")
	row := &AuthorizationCode{}
	require.NoError(t, db.Where("code = ?", server.Digest(code)).First(row).Error)
	require.NoError(t, db.Delete(row).Error)
	require.NoError(t, old.saveCode(row.UserID, row.Code, row.ClientID, row.GrantID, row.CodeChallenge, now))
	first := p.redeem(code)
	require.Equal(t, 200, first.Status, first.Description)
	none(old.spendCode(row.Code, now))
	assert.True(t, oldTakes(first.AccessToken), "its token is valid for both")

	// A refresh token of this release is rotated by the last one; its reuse
	// ends the grant for both.
	one(old.rotate(server.Digest("access 2"), server.Digest("refresh 2"), server.Digest(first.RefreshToken), now))
	assert.True(t, oldTakes("access 2"))
	assert.False(t, p.valid(first.AccessToken))
	assert.Equal(t, "invalid_grant", p.refresh(first.RefreshToken).Error)
	assert.False(t, oldTakes("access 2"), "reuse is found by this release")
	none(old.rotate(server.Digest("access 3"), server.Digest("refresh 3"), server.Digest("refresh 2"), now))

	// A code of this release is redeemed by the last one; its replay ends the
	// grant for both.
	code, row = p.code("profile"), &AuthorizationCode{}
	require.NoError(t, db.Where("code = ?", server.Digest(code)).First(row).Error)
	one(old.spendCode(server.Digest(code), now))
	require.NoError(t, old.insertToken(row.UserID, row.ClientID, server.Digest("access 4"), server.Digest("refresh 4"), row.GrantID, now))
	assert.True(t, oldTakes("access 4"))
	assert.Equal(t, "invalid_grant", p.redeem(code).Error)
	assert.False(t, oldTakes("access 4"))

	// A grant of this release is revoked by the last one.
	second := p.redeem(p.code("profile"))
	third := p.refresh(second.RefreshToken)
	require.Equal(t, 200, third.Status)
	none(old.rotate("x", "y", server.Digest(second.RefreshToken), now))
	one(old.revokeGrant(server.Present(third.RefreshToken).GrantID, now))
	assert.False(t, p.valid(third.AccessToken))
	assert.Equal(t, "invalid_grant", p.refresh(third.RefreshToken).Error)
}

func columnsOf(t *testing.T, db *gorm.DB) (names []string) {
	t.Helper()
	for _, model := range allModels {
		types, err := db.Migrator().ColumnTypes(model)
		require.NoError(t, err)
		for _, column := range types {
			names = append(names, fmt.Sprintf("%T.%s %s", model, column.Name(), column.DatabaseTypeName()))
		}
	}
	return names
}

// The mixins change by addition alone: expand, backfill in batches, and contract
// only in a release whose predecessor does without what goes.
func TestTheMixinsOnlyGrow(t *testing.T) {
	for _, mixin := range [][2]any{
		{&ClientMixin01{}, &models.ClientMixin{}},
		{&TokenMixin01{}, &models.TokenMixin{}},
		{&AuthorizationCodeMixin01{}, &models.AuthorizationCodeMixin{}},
	} {
		assert.Empty(t, breaks(t, mixin[0], mixin[1]))
	}
}

// breaks tells what in a new model would break a program that has the old one.
func breaks(t *testing.T, before, after any) (faults []string) {
	t.Helper()
	was, is := parse(t, before), parse(t, after)
	for name, old := range was.FieldsByDBName {
		now := is.FieldsByDBName[name]
		switch {
		case now == nil:
			faults = append(faults, name+" is gone: the last release still writes it")
		case now.TagSettings["TYPE"] != old.TagSettings["TYPE"], kindOf(now) != kindOf(old):
			faults = append(faults, name+" has another type: add a column, and backfill it")
		case now.NotNull != old.NotNull, now.DefaultValue != old.DefaultValue:
			faults = append(faults, name+" is stricter, or has another default: the last release does not know")
		}
	}
	for name, now := range is.FieldsByDBName {
		if was.FieldsByDBName[name] == nil && now.NotNull && !now.HasDefaultValue {
			faults = append(faults, name+" is new, NOT NULL and without a default: the last release's INSERT leaves it out")
		}
	}
	for _, index := range is.ParseIndexes() {
		if index.Class == "UNIQUE" && !slices.ContainsFunc(was.ParseIndexes(), func(old *schema.Index) bool {
			return old.Class == "UNIQUE" && old.Fields[0].DBName == index.Fields[0].DBName
		}) {
			faults = append(faults, index.Fields[0].DBName+" is newly unique: what the last release wrote may not be")
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

// kindOf is the kind of a column; a type that writes itself as text is text.
func kindOf(field *schema.Field) reflect.Kind {
	if kind := field.IndirectFieldType.Kind(); kind != reflect.Struct {
		return kind
	}
	return reflect.String
}

func TestABreakingChangeOfAMixinIsFound(t *testing.T) {
	type was struct {
		Kept  string `gorm:"type:text"`
		Count int64  `gorm:"not null;default:0"`
	}
	type grown struct {
		Kept  string `gorm:"type:text"`
		Count int64  `gorm:"not null;default:0"`
		Added int64  `gorm:"not null;default:0;index"`
		Maybe *string
	}
	type dropped struct {
		Count int64 `gorm:"not null;default:0"`
	}
	type retyped struct {
		Kept  string `gorm:"type:varchar(10)"`
		Count int64  `gorm:"not null;default:0"`
	}
	type stricter struct {
		Kept  string `gorm:"type:text;not null"`
		Count int64  `gorm:"not null;default:0"`
	}
	type demanding struct {
		Kept  string `gorm:"type:text"`
		Count int64  `gorm:"not null;default:0"`
		Added string `gorm:"not null"`
	}
	type unique struct {
		Kept  string `gorm:"type:text;uniqueIndex"`
		Count int64  `gorm:"not null;default:0"`
	}
	assert.Empty(t, breaks(t, &was{}, &grown{}))
	for want, after := range map[string]any{
		"kept is gone": &dropped{}, "kept has another type": &retyped{}, "kept is stricter": &stricter{},
		"added is new, NOT NULL": &demanding{}, "kept is newly unique": &unique{},
	} {
		faults := breaks(t, &was{}, after)
		require.Len(t, faults, 1, want)
		assert.Contains(t, faults[0], want)
	}
}
