package gormstore_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A client's own update writes what it changes, on the condition of what was read: a
// secret that was rotated since stays, and the one that had leaked stays void.
func TestAnUpdateWritesWhatItChanges(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		var lose *regexp.Regexp
		db = faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
			if lose != nil && lose.MatchString(call.SQL) {
				lose = nil
				return faults.Fault{Err: faults.ErrCut, After: true}
			}
			return faults.Fault{}
		}})
		p := oauthtest.New(t, db)
		registrations, err := gormstore.NewClientRegistration[oauthtest.Client, oauthtest.Token](db)
		require.NoError(t, err)
		factory, err := gormstore.NewClientFactory[oauthtest.Client](db, p.Server)
		require.NoError(t, err)
		stored := func(id string) *models.ClientMixin {
			found, err := p.Server.QueryClient(t.Context(), id)
			require.NoError(t, err)
			return found.(storage.RegisteredClient).AsClientMixin()
		}
		fresh := func() (*oauthtest.Client, *models.ClientMixin) {
			client := p.NewClient(nil)
			require.NoError(t, db.Model(client).UpdateColumn("registration_access_token", "token").Error)
			return client, stored(client.ClientID)
		}
		renamed := func(old *models.ClientMixin, name string) *models.ClientMixin {
			record := *old
			record.ClientMetadata.ClientName = name
			return &record
		}
		update := func(old, record *models.ClientMixin) bool {
			updated, err := registrations.UpdateClient(t.Context(), old, record)
			require.NoError(t, err)
			return updated
		}

		t.Run("a rotation since then wins", func(t *testing.T) {
			client, old := fresh()
			secret, err := factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{})
			require.NoError(t, err)
			assert.True(t, update(old, renamed(old, "New")))
			now := stored(client.ClientID)
			assert.Equal(t, "New", now.ClientMetadata.ClientName)
			assert.False(t, now.CheckClientSecret(client.Secret, p.Now), "the leaked secret stays void")
			assert.True(t, now.CheckClientSecret(secret, p.Now))

			record := renamed(old, "Newer")
			record.ClientSecret = models.HashClientSecret("another")
			assert.False(t, update(old, record), "of a secret that is not the one any more")
			assert.Equal(t, now, stored(client.ClientID))
			record = renamed(old, "Newer")
			record.ClientSecret = ""
			assert.False(t, update(old, record), "nor is it taken away")
			assert.Equal(t, now, stored(client.ClientID))
		})
		t.Run("so does another token", func(t *testing.T) {
			client, old := fresh()
			token, err := factory.RotateRegistrationToken(t.Context(), client.ClientID)
			require.NoError(t, err)
			assert.False(t, update(old, renamed(old, "New")))
			assert.True(t, stored(client.ClientID).CheckRegistrationAccessToken(secret.Digest(token)))
			_, err = factory.RotateRegistrationToken(t.Context(), p.NewClient(nil).ClientID)
			assert.ErrorIs(t, err, gormstore.ErrNoClient)
		})
		t.Run("what is the same already is no conflict", func(t *testing.T) {
			_, old := fresh()
			assert.True(t, update(old, old))
			assert.True(t, update(old, renamed(old, "New")))
			assert.True(t, update(old, renamed(old, "New")))
		})
		t.Run("nor is an update of which nobody heard", func(t *testing.T) {
			for _, change := range []func(record *models.ClientMixin){
				func(*models.ClientMixin) {},
				func(record *models.ClientMixin) { record.ClientSecret = models.HashClientSecret("another") },
				func(record *models.ClientMixin) { record.RegistrationAccessToken = secret.Digest("another") },
			} {
				client, old := fresh()
				record := renamed(old, "New")
				change(record)
				lose = regexp.MustCompile("^UPDATE")
				assert.True(t, update(old, record))
				require.Nil(t, lose)
				assert.Equal(t, record, stored(client.ClientID))
			}
		})
		t.Run("a client that is gone", func(t *testing.T) {
			client, old := fresh()
			require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), client.ClientID, p.Now))
			assert.False(t, update(old, renamed(old, "New")))
		})
	})
}
