package engines_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// A database of the character set latin1 is served, and the doctor says of each table what that
// means. What does not fit is refused whole, and never cut or replaced.
func TestALatin1DatabaseIsServedWithAWarning(t *testing.T) {
	t.Parallel()
	db := openMariaDB(t, testdb.MariaDBDSN(t, nil), 4)
	execAll(t, db, "ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_bin")
	require.NoError(t, db.AutoMigrate(allModels...))
	found := keys(diagnosed(t, db))
	assert.Contains(t, found, "character_set table clients")
	assert.Contains(t, found, "character_set table tokens")

	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Public)
	a := p.Redeem(client, p.Code(client, "scope=profile"))
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.True(t, p.Valid(a.Body["access_token"]))

	other := *client
	other.ID, other.ClientID, other.ClientMetadata.ClientName = 0, "other", "日本"
	require.ErrorContains(t, db.Create(&other).Error, "Incorrect string value")
	assert.Equal(t, int64(1), p.Rows(&oauthtest.Client{}))
}
