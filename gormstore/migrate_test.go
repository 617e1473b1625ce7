package gormstore_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// grownToken is Token after its program gave it another column and index.
type grownToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
	Tenant string `gorm:"index"`
}

func (grownToken) TableName() string { return "tokens" }

func TestMigrationAddsAndKeeps(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "a"}}).Error)
		require.NoError(t, gormstore.AutoMigrate(db, &grownToken{}))
		var row grownToken
		require.NoError(t, db.First(&row).Error)
		assert.Equal(t, "a", row.AccessToken)
		assert.True(t, db.Migrator().HasColumn(&grownToken{}, "tenant"))
		assert.True(t, db.Migrator().HasIndex(&grownToken{}, "idx_tokens_tenant"))
		require.NoError(t, gormstore.AutoMigrate(db, allModels...), "an older program does not mind")
		assert.Error(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "a"}}).Error, "digests are unique")
	})
}
