package engines_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// tokenOf is a token of a user whose id has some type.
type tokenOf[ID any] struct {
	ID     uint
	UserID ID `gorm:"size:36"`
	models.TokenMixin
}

func (tokenOf[ID]) TableName() string { return "tokens" }

func TestUsersByUUID(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	t.Run("uuid.UUID", userIDRoundTrip(id.String(), id))
	t.Run("*uuid.UUID", userIDRoundTrip(id.String(), &id))
	t.Run("uuid.NullUUID", userIDRoundTrip(id.String(), uuid.NullUUID{UUID: id, Valid: true}))
}

func userIDRoundTrip[ID any](text string, want ID) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		for _, engine := range testdb.AllEngines() {
			t.Run(engine, func(t *testing.T) {
				t.Parallel()
				db := testdb.OpenInstances(t, engine, &tokenOf[ID]{})[0]
				tokens, err := gormstore.NewTokens[tokenOf[ID]](db)
				require.NoError(t, err)
				token := &models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: "a"}
				require.NoError(t, tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: token, User: storage.UserID(text)}))

				found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
				require.NoError(t, err)
				require.NotNil(t, found)
				assert.Equal(t, text, found.UserID)
				assert.Equal(t, want, found.Token.(*tokenOf[ID]).UserID)
			})
		}
	}
}
