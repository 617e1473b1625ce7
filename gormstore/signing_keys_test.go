package gormstore_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

type SigningKey = oauthtest.SigningKey

func newKeys(db *gorm.DB, options gormstore.SigningKeyOptions) *gormstore.SigningKeys {
	return gormoauth.CreateSigningKeys[SigningKey](db, options)
}

// A key is announced, signs, and is kept: nobody meets a signature by a key that
// is not published, whatever the hour.
func TestSigningKeysRotate(t *testing.T) {
	const day = 24 * time.Hour
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		start := time.Unix(1_800_000_000, 0)
		instances := []*gormstore.SigningKeys{newKeys(db, gormstore.SigningKeyOptions{}), newKeys(db, gormstore.SigningKeyOptions{})}
		signer := func(i int, now time.Time) string {
			key, err := instances[i].SigningKey(t.Context(), jose.ES256, now)
			require.NoError(t, err)
			assert.False(t, key.IsPublic())
			return key.KeyID
		}
		published := func(i int, now time.Time) (ids []string) {
			set, err := instances[i].PublicKeys(t.Context(), now)
			require.NoError(t, err)
			for _, key := range set.Keys {
				assert.True(t, key.IsPublic())
				assert.Equal(t, "sig", key.Use)
				assert.Equal(t, "ES256", key.Algorithm)
				ids = append(ids, key.KeyID)
			}
			return ids
		}
		first := signer(0, start)
		assert.Equal(t, first, signer(1, start), "all instances sign by the same key")
		assert.Equal(t, []string{first}, published(0, start))

		seen := map[string]time.Time{first: start} // since when everybody can know a key
		for hour := time.Duration(0); hour < 200*day; hour += time.Hour {
			now := start.Add(hour)
			for i := range instances {
				ids := published(i, now)
				for _, id := range ids {
					if _, ok := seen[id]; !ok {
						seen[id] = now
					}
				}
				by := signer(i, now)
				assert.Contains(t, ids, by)
				if by != first {
					assert.GreaterOrEqual(t, now.Sub(seen[by]), day-time.Hour, "it was announced")
				}
			}
		}
		assert.Len(t, seen, 3, "one key for 90 days")
		end := start.Add(200 * day)
		assert.NotContains(t, published(0, end), first, "what nobody verifies any more is gone")
		assert.NotEqual(t, signer(0, start.Add(90*day)), first, "and it signs no more")

		require.NoError(t, instances[0].Rotate(t.Context(), jose.ES256, end, false))
		rotated := signer(0, end)
		assert.NotContains(t, seen, rotated)
		assert.Len(t, published(0, end), 2, "the old one is kept")
		assert.Equal(t, rotated, signer(1, end.Add(time.Minute)), "the others follow")
		require.NoError(t, instances[0].Rotate(t.Context(), jose.ES256, end.Add(time.Hour), true))
		assert.Len(t, published(0, end.Add(time.Hour)), 1, "unless it was discarded")
	})
}

func TestManyInstancesMakeOneKey(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		for _, at := range []time.Time{now, now.Add(89*24*time.Hour + time.Hour)} {
			ids := race(8, func(int) string {
				key, err := newKeys(db, gormstore.SigningKeyOptions{}).SigningKey(t.Context(), jose.ES256, at)
				if !assert.NoError(t, err) {
					return ""
				}
				return key.KeyID
			})
			for _, id := range ids {
				assert.Equal(t, ids[0], id)
			}
		}
		var rows int64
		require.NoError(t, db.Model(&SigningKey{}).Count(&rows).Error)
		assert.EqualValues(t, 2, rows, "one that signs and one that was announced")
	})
}

func TestSigningKeysAreEncryptedAtRest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &SigningKey{})
	now := time.Unix(1_800_000_000, 0)
	sealed := gormstore.SigningKeyOptions{EncryptionKey: []byte(strings.Repeat("k", 32))}
	plain, err := newKeys(db, gormstore.SigningKeyOptions{}).SigningKey(t.Context(), jose.ES256, now)
	require.NoError(t, err)
	require.NoError(t, newKeys(db, sealed).Rotate(t.Context(), jose.ES256, now, false))
	var rows []SigningKey
	require.NoError(t, db.Order("generation").Find(&rows).Error)
	require.Len(t, rows, 2)
	assert.Equal(t, plain.KeyID, rows[0].KeyID)
	assert.Contains(t, rows[0].PrivateKey, `"d":`)
	assert.NotContains(t, rows[1].PrivateKey, `"`)
	text, err := json.Marshal(rows[0])
	require.NoError(t, err)
	assert.NotContains(t, string(text), `"d"`, "a private key leaves by no accident")

	set, err := newKeys(db, sealed).PublicKeys(t.Context(), now)
	require.NoError(t, err)
	assert.Len(t, set.Keys, 2, "what was stored before is read as well")
	for _, options := range []gormstore.SigningKeyOptions{{}, {EncryptionKey: []byte(strings.Repeat("x", 32))}} {
		_, err = newKeys(db, options).PublicKeys(t.Context(), now)
		assert.ErrorContains(t, err, "EncryptionKey")
	}
}

func TestSigningKeyOptions(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &SigningKey{})
	const times = "gormstore: SigningKeyOptions: RotateEvery must be at least twice AnnounceFor, AnnounceFor at least twice CacheFor, and KeepFor at least one second"
	const second = time.Second
	for _, c := range []struct {
		options gormstore.SigningKeyOptions
		want    string
	}{
		{gormstore.SigningKeyOptions{}, ""},
		{gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.HS256}}, `gormstore: SigningKeyOptions.Algorithms: "HS256" is not one of [ES256 ES384 ES512 RS256 RS384 RS512 PS256 PS384 PS512 EdDSA]`},
		{gormstore.SigningKeyOptions{EncryptionAlgorithms: []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256}}, ""},
		{gormstore.SigningKeyOptions{EncryptionAlgorithms: []jose.KeyAlgorithm{jose.RSA_OAEP}}, `gormstore: SigningKeyOptions.EncryptionAlgorithms: "RSA-OAEP" is not one of [ECDH-ES ECDH-ES+A256KW RSA-OAEP-256]`},
		{gormstore.SigningKeyOptions{CacheFor: second, AnnounceFor: 2 * second, RotateEvery: 4 * second, KeepFor: second}, ""},
		{gormstore.SigningKeyOptions{CacheFor: second, AnnounceFor: 2 * second, RotateEvery: 4 * second, KeepFor: second - 1}, times},
		{gormstore.SigningKeyOptions{CacheFor: second, AnnounceFor: 2 * second, RotateEvery: 4*second - 1, KeepFor: second}, times},
		{gormstore.SigningKeyOptions{CacheFor: second, AnnounceFor: 2*second - 1, RotateEvery: 4 * second, KeepFor: second}, times},
		{gormstore.SigningKeyOptions{CacheFor: -1, AnnounceFor: 2 * second, RotateEvery: 4 * second, KeepFor: second}, times},
		{gormstore.SigningKeyOptions{EncryptionKey: make([]byte, 31)}, "gormstore: SigningKeyOptions.EncryptionKey must have 32 bytes"},
		{gormstore.SigningKeyOptions{EncryptionKey: make([]byte, 32)}, ""},
		{gormstore.SigningKeyOptions{EncryptionKey: make([]byte, 33)}, "gormstore: SigningKeyOptions.EncryptionKey must have 32 bytes"},
		{gormstore.SigningKeyOptions{PairwiseSalt: make([]byte, 31)}, "gormstore: SigningKeyOptions.PairwiseSalt must have at least 32 random bytes"},
		{gormstore.SigningKeyOptions{PairwiseSalt: make([]byte, 32)}, ""},
	} {
		_, err := gormstore.NewSigningKeys[SigningKey](db, c.options)
		if c.want == "" {
			require.NoError(t, err, c.options)
		} else {
			require.EqualError(t, err, c.want)
		}
	}
	_, err := newKeys(db, gormstore.SigningKeyOptions{}).SigningKey(t.Context(), jose.RS256, time.Now())
	assert.ErrorContains(t, err, "SigningKeyOptions.Algorithms")
}

// A key that was to be discarded and is not, as the database fails, is told: it may have leaked.
func TestARotationThatDiscardsNothingFails(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &SigningKey{})
	now := time.Unix(1_800_000_000, 0)
	options := gormstore.SigningKeyOptions{Secrets: secretsOf("a")}
	_, err := newKeys(db, options).SigningKey(t.Context(), jose.ES256, now)
	require.NoError(t, err)
	failing := faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
		if strings.HasPrefix(call.SQL, "UPDATE") {
			return faults.Fault{Err: errors.New("the disk is full")}
		}
		return faults.Fault{}
	}})
	assert.ErrorContains(t, newKeys(failing, options).Rotate(t.Context(), jose.ES256, now.Add(time.Hour), true), "the disk is full")
}
