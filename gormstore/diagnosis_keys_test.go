package gormstore_test

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// foundInKeys returns the checks that keys do not pass, on a server of the issuer.
func foundInKeys(t *testing.T, db *gorm.DB, issuer string, keys jwk.SigningKeys) (checks []string) {
	t.Helper()
	p := oauthtest.New(t, db, func(config *server.Config) { config.Issuer = issuer })
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: keys}))
	findings := p.Server.Diagnose(t.Context())
	oauthtest.KnowFindings(t, findings)
	for _, finding := range findings {
		checks = append(checks, finding.Check)
	}
	return checks
}

func TestSigningKeysAreDiagnosed(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		options := gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.RS256}}
		readable := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, options)
		p := oauthtest.New(t, db)
		found := func(keys jwk.SigningKeys) []string { return foundInKeys(t, db, oauthtest.Issuer, keys) }

		assert.Equal(t, []string{"rsa_key"}, found(readable), "the first request would wait")
		var rows int64
		require.NoError(t, db.Model(&oauthtest.SigningKey{}).Count(&rows).Error)
		assert.Zero(t, rows, "and no key was made")
		require.NoError(t, p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: readable}))
		require.NoError(t, p.Server.PrepareKeys(t.Context()))
		assert.Equal(t, []string{"readable_keys"}, found(readable))
		assert.Empty(t, foundInKeys(t, db, "http://127.0.0.1:8080", readable), "nobody else reaches it")

		options.EncryptionKey = make([]byte, 32)
		sealed := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, options)
		assert.Equal(t, []string{"readable_keys"}, found(sealed), "those that were made before are readable still")
		for _, algorithm := range options.Algorithms {
			require.NoError(t, sealed.Rotate(t.Context(), algorithm, p.Now, true))
		}
		assert.Empty(t, found(sealed))

		right := options
		options.EncryptionKey = []byte(strings.Repeat("k", 32))
		other := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, options)
		assert.Equal(t, []string{"unreadable_keys"}, found(other), "they were written with another key")
		assert.Equal(t, []string{"unreadable_keys"}, foundInKeys(t, db, "http://127.0.0.1:8080", other), "wherever it is")
		_, err := other.PublicKeys(t.Context(), p.Now)
		require.Error(t, err)
		_, err = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, right).PublicKeys(t.Context(), p.Now)
		require.NoError(t, err)
		for _, text := range []string{`{"kty":"EC","kty":"EC"}`, `{}`, `{"kty":"AKP"}`, `[]`, `a.b.c.d.e`, ``} {
			require.NoError(t, db.Model(&oauthtest.SigningKey{}).Where("algorithm = ?", "ES256").UpdateColumn("private_key", text).Error)
			assert.Contains(t, found(sealed), "unreadable_keys", text)
			_, err := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, right).PublicKeys(t.Context(), p.Now)
			assert.Error(t, err, "%s: which is grave", text)
		}
		require.NoError(t, db.Model(&oauthtest.SigningKey{}).Where("1 = 1").UpdateColumn("expires_at", 1).Error)
		assert.NotContains(t, found(sealed), "unreadable_keys", "of those that have ended nobody asks")
	})
}

// What Secrets have to do with keys: what is pending, which of them are needed still, and
// which are missing.
func TestSecretsOfKeysAreDiagnosed(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		now := oauthtest.New(t, db).Now
		found := func(options gormstore.SigningKeyOptions) []string {
			return foundInKeys(t, db, oauthtest.Issuer, newKeys(db, options))
		}
		maintain := func(options gormstore.SigningKeyOptions) {
			require.NoError(t, newKeys(db, options).MaintainOnce(t.Context(), now))
		}
		a := gormstore.SigningKeyOptions{Secrets: secretsOf("a")}
		maintain(gormstore.SigningKeyOptions{EncryptionKey: make([]byte, 32)})
		both := gormstore.SigningKeyOptions{EncryptionKey: make([]byte, 32), Secrets: a.Secrets}
		assert.Equal(t, []string{"pending_keys"}, found(both))
		require.NoError(t, db.Where("1 = 1").Delete(&SigningKey{}).Error)

		maintain(gormstore.SigningKeyOptions{})
		assert.Equal(t, []string{"readable_keys"}, found(a), "which an older instance needs")
		a.NoOlderInstances = true
		assert.Equal(t, []string{"readable_keys"}, found(a))
		maintain(a)
		assert.Empty(t, found(a))

		b := gormstore.SigningKeyOptions{Secrets: secretsOf("ba")}
		assert.Equal(t, []string{"older_secret"}, found(b))
		assert.Equal(t, []string{"unreadable_keys"}, found(gormstore.SigningKeyOptions{Secrets: secretsOf("b")}))
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: newKeys(db, gormstore.SigningKeyOptions{Secrets: secretsOf("b")})}))
		assert.ErrorContains(t, p.Server.Diagnose(t.Context()).Err(), a.Secrets.Newest(), "by its id")
		maintain(b)
		assert.Empty(t, found(b))
		assert.Empty(t, found(gormstore.SigningKeyOptions{Secrets: secretsOf("b")}))

		_, err := newKeys(db, b).PairwiseSalt(t.Context(), now)
		require.NoError(t, err)
		assert.Equal(t, []string{"older_secret"}, found(gormstore.SigningKeyOptions{Secrets: secretsOf("cb")}), "the salt needs one as well")
		maintain(gormstore.SigningKeyOptions{Secrets: secretsOf("cb")})
		assert.Empty(t, found(gormstore.SigningKeyOptions{Secrets: secretsOf("c")}))
	})
}
