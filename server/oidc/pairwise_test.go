package oidc_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
)

// keptBy has a provider leave the salt to keys with the secrets.
func keptBy(db *gorm.DB, options gormstore.SigningKeyOptions) func(*oidc.Provider) {
	return func(o *oidc.Provider) {
		o.PairwiseSalt, o.PairwiseSubjects, o.Algorithms = nil, true, []jose.SignatureAlgorithm{jose.ES256}
		o.Keys = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, options)
	}
}

// The subject that a client knows a user by is the same after a rotation of secrets, on
// every instance, and after the program has left its salt to storage.
func TestAPairwiseSubjectOutlivesARotation(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		old, fresh := oauthtest.ServerSecrets()[0], []byte("another secret of tests, 32 bytes")
		p := newProvider(t, db, keptBy(db, gormstore.SigningKeyOptions{Secrets: secret.Keyring{old}}))
		client, user := p.client("subject_type", "pairwise"), p.alice()
		subject := p.Server.Subject(client, user.GetUserID())
		assert.NotEqual(t, user.GetUserID(), subject)
		rotated := newProvider(t, db, keptBy(db, gormstore.SigningKeyOptions{Secrets: secret.Keyring{fresh, old}}))
		require.NoError(t, rotated.Server.PrepareKeys(t.Context()))
		assert.Equal(t, subject, rotated.Server.Subject(client, user.GetUserID()))
		without := newProvider(t, db, keptBy(db, gormstore.SigningKeyOptions{Secrets: secret.Keyring{fresh}}))
		assert.Equal(t, subject, without.Server.Subject(client, user.GetUserID()))

		require.NoError(t, db.Where("1 = 1").Delete(&oauthtest.SigningKey{}).Error)
		own := []byte("a salt of the program's own, of 40 bytes")
		before := newProvider(t, db, func(o *oidc.Provider) { o.PairwiseSalt = own })
		subject = before.Server.Subject(client, user.GetUserID())
		left := newProvider(t, db, keptBy(db, gormstore.SigningKeyOptions{Secrets: secret.Keyring{old}, PairwiseSalt: own}))
		assert.Equal(t, subject, left.Server.Subject(client, user.GetUserID()))
		gone := newProvider(t, db, keptBy(db, gormstore.SigningKeyOptions{Secrets: secret.Keyring{old}}))
		assert.Equal(t, subject, gone.Server.Subject(client, user.GetUserID()))
	})
}

// While the salt cannot be read, a pairwise client is told nothing, and never the user's
// id.
func TestAPairwiseClientWithoutASalt(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		var away atomic.Bool
		broken := faults.DB(db, &faults.Plan{Next: func(faults.Call) faults.Fault {
			if away.Load() {
				return faults.Fault{Err: errors.New("away")}
			}
			return faults.Fault{}
		}})
		p := newProvider(t, db, keptBy(broken, gormstore.SigningKeyOptions{Secrets: oauthtest.ServerSecrets()}))
		client, other := p.client("subject_type", "pairwise"), p.client()
		require.NoError(t, db.Where("1 = 1").Delete(&oauthtest.SigningKey{}).Error)
		p = newProvider(t, db, keptBy(broken, gormstore.SigningKeyOptions{Secrets: oauthtest.ServerSecrets()}))
		away.Store(true)
		assert.GreaterOrEqual(t, p.Decide(query(client), "", p.alice()).Status, http.StatusInternalServerError)
		assert.Equal(t, server.ServerError, p.Register(`{"subject_type":"pairwise","redirect_uris":["https://client.example/cb"]}`).Body["error"], "nor does another register")
		assert.Panics(t, func() { p.Server.Subject(client, p.alice().GetUserID()) })
		assert.Equal(t, p.alice().GetUserID(), p.Server.Subject(other, p.alice().GetUserID()), "the others do without")
		away.Store(false)
		claims := p.signIn(client)
		assert.NotEmpty(t, claims["id_token"])
		assert.NotEqual(t, p.alice().GetUserID(), p.Server.Subject(client, p.alice().GetUserID()))
	})
}

// What keeps no salt is refused when the server is made.
func TestPairwiseSubjectsNeedASalt(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for rule, secrets := range map[string]secret.Keyring{"keys that keep none": oauthtest.ServerSecrets(), "no secrets": nil} {
		p := oauthtest.New(t, db, func(c *server.Config) { c.Secrets = secrets })
		provider := &oidc.Provider{Keys: signingKeys(), PairwiseSubjects: true}
		if secrets == nil {
			provider.Keys = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.RS256}})
		}
		assert.ErrorContains(t, provider.Register(p.Server, p.Protector), "PairwiseSubjects needs Config.Secrets", rule)
	}
}
