package gormstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// database is one that can go away.
type database struct {
	away  atomic.Pointer[error]
	gate  atomic.Pointer[chan struct{}] // calls wait for it
	calls atomic.Int64
}

func (d *database) around(db *gorm.DB) *gorm.DB {
	return faults.DB(db, &faults.Plan{Next: func(faults.Call) faults.Fault {
		d.calls.Add(1)
		if gate := d.gate.Load(); gate != nil {
			<-*gate
		}
		if err := d.away.Load(); err != nil {
			return faults.Fault{Err: *err}
		}
		return faults.Fault{}
	}})
}

func (d *database) goAway(err error) { d.away.Store(&err) }
func (d *database) comeBack()        { d.away.Store(nil) }

func idsOf(set *jose.JSONWebKeySet) (ids []string) {
	for _, key := range set.Keys {
		ids = append(ids, key.KeyID)
	}
	return ids
}

// What was read last verifies and decrypts as long as it is valid, whatever the database
// does; nothing is signed with keys of more than ten seconds ago.
func TestKeysServeWhileTheDatabaseIsAway(t *testing.T) {
	const day = 24 * time.Hour
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		var d database
		keys := newKeys(d.around(db), gormstore.SigningKeyOptions{EncryptionAlgorithms: []jose.KeyAlgorithm{jose.ECDH_ES}})
		now := time.Unix(1_800_000_000, 0)
		d.goAway(errors.New("away"))
		_, err := keys.PublicKeys(t.Context(), now)
		require.ErrorContains(t, err, "away", "there is nothing to serve yet")
		d.comeBack()
		key, err := keys.SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err)
		_, err = keys.PublicKeys(t.Context(), now)
		require.NoError(t, err)

		d.goAway(errors.New("away"))
		for _, later := range []time.Duration{9 * time.Second, 61 * time.Second, time.Hour, 30 * day} {
			set, err := keys.PublicKeys(t.Context(), now.Add(later))
			require.NoError(t, err, later)
			assert.Contains(t, idsOf(set), key.KeyID)
			set, err = keys.DecryptionKeys(t.Context(), now.Add(later))
			require.NoError(t, err, later)
			assert.Len(t, set.Keys, 1)
			set, err = keys.FreshPublicKeys(t.Context(), now.Add(later))
			require.NoError(t, err, later)
			assert.Contains(t, idsOf(set), key.KeyID, "a key that nobody knows throws nothing away")
			_, err = keys.SigningKey(t.Context(), jose.ES256, now.Add(later))
			if later < 10*time.Second {
				assert.NoError(t, err, "the keys were read a moment ago")
			} else {
				assert.ErrorContains(t, err, "away", "another instance may have discarded it: %s", later)
			}
		}
		_, err = keys.PublicKeys(t.Context(), now.Add(93*day))
		require.ErrorContains(t, err, "away", "what has expired serves nobody")

		d.comeBack()
		again, err := keys.SigningKey(t.Context(), jose.ES256, now.Add(time.Hour))
		require.NoError(t, err)
		assert.Equal(t, key.KeyID, again.KeyID)

		d.goAway(faults.ErrCut)
		_, err = keys.SigningKey(t.Context(), jose.ES256, now.Add(2*time.Hour))
		assert.ErrorIs(t, err, storage.ErrUnavailable, "it is worth while to try again")
	})
}

// Nobody waits behind somebody who waits for the database: one reads, the others have
// what was read last.
func TestNobodyWaitsForKeysThatAreKnown(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		var d database
		keys := newKeys(d.around(db), gormstore.SigningKeyOptions{})
		now := time.Unix(1_800_000_000, 0)
		_, err := keys.PublicKeys(t.Context(), now)
		require.NoError(t, err)

		gate := make(chan struct{})
		d.gate.Store(&gate)
		before := d.calls.Load()
		began := time.Now()
		for _, set := range race(6, func(int) *jose.JSONWebKeySet {
			set, err := keys.PublicKeys(t.Context(), now.Add(time.Hour))
			assert.NoError(t, err)
			return set
		}) {
			assert.Len(t, set.Keys, 1)
		}
		assert.Less(t, time.Since(began), 5*time.Second, "they do not wait for the gate, which is still closed")
		assert.EqualValues(t, 1, d.calls.Load()-before, "one refresher")

		// Those that sign wait together, each for as long as it likes.
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = keys.SigningKey(impatient, jose.ES256, now.Add(time.Hour))
		require.ErrorIs(t, err, context.Canceled)
		signed := make(chan error, 6)
		for range 6 {
			go func() {
				_, err := keys.SigningKey(t.Context(), jose.ES256, now.Add(time.Hour))
				signed <- err
			}()
		}
		d.gate.Store(nil)
		close(gate)
		for range 6 {
			require.NoError(t, <-signed)
		}
		assert.LessOrEqual(t, d.calls.Load()-before, int64(2))
	})
}

// A reading that fails is not begun again by everybody who asks.
func TestReadingsPauseWhileTheDatabaseIsAway(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		var d database
		keys := newKeys(d.around(db), gormstore.SigningKeyOptions{})
		now := time.Unix(1_800_000_000, 0)
		_, err := keys.PublicKeys(t.Context(), now)
		require.NoError(t, err)
		d.goAway(errors.New("away"))
		before := d.calls.Load()
		for i := range 100 {
			_, err := keys.FreshPublicKeys(t.Context(), now.Add(time.Hour+time.Duration(i)*time.Millisecond))
			require.NoError(t, err)
		}
		assert.EqualValues(t, 1, d.calls.Load()-before)
		d.comeBack()
		_, err = keys.PublicKeys(t.Context(), now.Add(time.Hour+2*time.Second))
		require.NoError(t, err)
		assert.EqualValues(t, 2, d.calls.Load()-before)
	})
}

// A busy server reads its keys once in ten seconds, and never because a stranger names
// one key after the other.
func TestHowOftenKeysAreRead(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		var d database
		keys := newKeys(d.around(db), gormstore.SigningKeyOptions{})
		now := time.Unix(1_800_000_000, 0)
		_, err := keys.SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err)
		before := d.calls.Load()
		for i := range 600 { // a minute
			_, err := keys.SigningKey(t.Context(), jose.ES256, now.Add(time.Duration(i)*100*time.Millisecond))
			require.NoError(t, err)
		}
		assert.EqualValues(t, 5, d.calls.Load()-before)
		before = d.calls.Load()
		for i := range 100 { // ten seconds
			_, err := jwk.PublicKeysFor(t.Context(), keys, "unknown", now.Add(time.Minute+time.Duration(i)*100*time.Millisecond))
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, d.calls.Load()-before, int64(10))
	})
}

// A hook of the program's model that panics fails the request that asked, and nothing
// else.
func TestAPanicWhileKeysAreReadIsAnError(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &SigningKey{})
	keys := newKeys(db, gormstore.SigningKeyOptions{})
	now := time.Unix(1_800_000_000, 0)
	_, err := keys.SigningKey(t.Context(), jose.ES256, now)
	require.NoError(t, err)
	panics := true
	require.NoError(t, db.Callback().Query().Before("gorm:query").Register("panics", func(*gorm.DB) {
		if panics {
			panic("of a hook")
		}
	}))
	_, err = keys.SigningKey(t.Context(), jose.ES256, now.Add(time.Hour))
	require.ErrorContains(t, err, "of a hook")
	panics = false
	_, err = keys.SigningKey(t.Context(), jose.ES256, now.Add(time.Hour))
	require.NoError(t, err)
}

// What was discarded on one instance signs on no other for longer than ten seconds, and
// what is signed by the new key is verified by all at once.
func TestADiscardedKeySignsNoMore(t *testing.T) {
	for _, behind := range []time.Duration{0, time.Second, 5 * time.Minute} { // by which the other clock differs
		testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
			one, other := newKeys(db, gormstore.SigningKeyOptions{}), newKeys(db, gormstore.SigningKeyOptions{})
			now := time.Unix(1_800_000_000, 0)
			signer := func(keys *gormstore.SigningKeys, now time.Time) string {
				key, err := keys.SigningKey(t.Context(), jose.ES256, now)
				require.NoError(t, err)
				return key.KeyID
			}
			leaked := signer(one, now)
			require.Equal(t, leaked, signer(other, now.Add(-behind)))
			require.NoError(t, one.Rotate(t.Context(), jose.ES256, now, true))
			fresh := signer(one, now)
			assert.NotEqual(t, leaked, fresh)

			set, err := jwk.PublicKeysFor(t.Context(), other, fresh, now.Add(time.Second-behind))
			require.NoError(t, err)
			assert.Equal(t, []string{fresh}, idsOf(set), "it knows the new key, and the old one is void")
			assert.Equal(t, fresh, signer(other, now.Add(10*time.Second-behind)))
			set, err = other.PublicKeys(t.Context(), now.Add(10*time.Second-behind))
			require.NoError(t, err)
			assert.Equal(t, []string{fresh}, idsOf(set))
		})
	}
}

// Instances whose clocks differ sign from the first moment, by the same key.
func TestInstancesWithClocksApartSign(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		var first string
		for _, ahead := range []time.Duration{30 * time.Second, 0, time.Second, -time.Minute} {
			keys := newKeys(db, gormstore.SigningKeyOptions{})
			key, err := keys.SigningKey(t.Context(), jose.ES256, now.Add(ahead))
			require.NoError(t, err, ahead)
			if first == "" {
				first = key.KeyID
			}
			assert.Equal(t, first, key.KeyID, ahead)
			set, err := keys.PublicKeys(t.Context(), now.Add(ahead))
			require.NoError(t, err)
			assert.Equal(t, []string{first}, idsOf(set))
		}
	})
}

// Only what the options have is rotated, and each algorithm has keys of its kind.
func TestRotateRefusesOtherAlgorithms(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		keys := newKeys(db, gormstore.SigningKeyOptions{})
		now := time.Unix(1_800_000_000, 0)
		for _, algorithm := range []jose.SignatureAlgorithm{jose.ES512, jose.RS256, jose.HS256, "ES521", ""} {
			for _, discard := range []bool{false, true} {
				require.ErrorContains(t, keys.Rotate(t.Context(), algorithm, now, discard), "to rotate", algorithm)
			}
		}
		var rows int64
		require.NoError(t, db.Model(&SigningKey{}).Count(&rows).Error)
		assert.Zero(t, rows)
		every := gormstore.SigningKeyOptions{Algorithms: jwk.SignatureAlgorithms()[:3]}
		set, err := newKeys(db, every).PublicKeys(t.Context(), now)
		require.NoError(t, err)
		for _, key := range set.Keys {
			assert.True(t, jwk.IsKeyFor(key, jose.SignatureAlgorithm(key.Algorithm)), key.Algorithm)
		}
	})
}

func secretsOf(letters string) (secrets secret.Keyring) {
	for _, letter := range letters {
		secrets = append(secrets, []byte(strings.Repeat(string(letter), 32)))
	}
	return secrets
}

// readAsBefore reports whether an instance of an older release reads every key: as JSON.
func readAsBefore(t *testing.T, db *gorm.DB) bool {
	t.Helper()
	var rows []SigningKey
	require.NoError(t, db.Find(&rows).Error)
	for _, row := range rows {
		if json.Unmarshal([]byte(row.PrivateKey), new(jose.JSONWebKey)) != nil {
			return false
		}
	}
	return true
}

// A new database begins with keys that are encrypted. In an older one that begins when
// the program says that no older instance runs, and keys are written as before until
// then.
func TestWhenKeysAreEncryptedBySecrets(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		options := gormstore.SigningKeyOptions{Secrets: secretsOf("a")}
		signs := func(options gormstore.SigningKeyOptions) string {
			key, err := newKeys(db, options).SigningKey(t.Context(), jose.ES256, now)
			require.NoError(t, err)
			return key.KeyID
		}
		first := signs(options)
		assert.False(t, readAsBefore(t, db), "a new database")
		assert.Equal(t, first, signs(options), "which is read again")
		require.NoError(t, newKeys(db, options).Rotate(t.Context(), jose.ES256, now, false))
		var sealed []SigningKey
		require.NoError(t, db.Find(&sealed).Error)
		require.Len(t, sealed, 2)
		for _, row := range sealed {
			assert.Equal(t, options.Secrets.Newest(), secret.SealedBy(row.PrivateKey), "each says what it was encrypted by")
		}

		require.NoError(t, db.Where("1 = 1").Delete(&SigningKey{}).Error)
		first = signs(gormstore.SigningKeyOptions{})
		require.NoError(t, newKeys(db, options).MaintainOnce(t.Context(), now))
		require.NoError(t, newKeys(db, options).Rotate(t.Context(), jose.ES256, now, false))
		assert.True(t, readAsBefore(t, db), "an older instance may run")
		second := signs(options)
		assert.NotEqual(t, first, second)

		options.NoOlderInstances = true
		require.NoError(t, newKeys(db, options).MaintainOnce(t.Context(), now))
		assert.False(t, readAsBefore(t, db))
		options.NoOlderInstances = false
		require.NoError(t, newKeys(db, options).Rotate(t.Context(), jose.ES256, now.Add(time.Second), false))
		var rows []SigningKey
		require.NoError(t, db.Find(&rows).Error)
		require.Len(t, rows, 3)
		for _, row := range rows {
			assert.Equal(t, options.Secrets.Newest(), secret.SealedBy(row.PrivateKey), "and what has begun goes on")
		}
		set, err := newKeys(db, options).PublicKeys(t.Context(), now)
		require.NoError(t, err)
		assert.Subset(t, idsOf(set), []string{first, second}, "nothing is lost on the way")
	})
}

// Keys that EncryptionKey encrypted are read beside Secrets, and are those of Secrets in
// the end.
func TestSecretsTakeThePlaceOfAnEncryptionKey(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		keyed := gormstore.SigningKeyOptions{EncryptionKey: []byte(strings.Repeat("k", 32))}
		key, err := newKeys(db, keyed).SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err)
		both := keyed
		both.Secrets = secretsOf("a")
		require.NoError(t, newKeys(db, both).Rotate(t.Context(), jose.ES256, now, false))
		set, err := newKeys(db, keyed).PublicKeys(t.Context(), now)
		require.NoError(t, err, "an older instance reads what was written meanwhile")
		require.Len(t, set.Keys, 2)

		both.NoOlderInstances = true
		require.NoError(t, newKeys(db, both).MaintainOnce(t.Context(), now))
		set, err = newKeys(db, gormstore.SigningKeyOptions{Secrets: both.Secrets}).PublicKeys(t.Context(), now)
		require.NoError(t, err, "the EncryptionKey is needed no more")
		assert.Contains(t, idsOf(set), key.KeyID)
		assert.Len(t, set.Keys, 2)
	})
}

// A rotation of secrets loses no key and no instance that runs: what the older secret
// encrypted is read, and encrypted anew.
func TestSecretsOfKeysAreRotated(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		before := newKeys(db, gormstore.SigningKeyOptions{Secrets: secretsOf("a")})
		key, err := before.SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err)
		salt, err := before.PairwiseSalt(t.Context(), now)
		require.NoError(t, err)

		rotated := newKeys(db, gormstore.SigningKeyOptions{Secrets: secretsOf("ba")})
		again, err := rotated.SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err)
		assert.Equal(t, key.KeyID, again.KeyID)
		without := newKeys(db, gormstore.SigningKeyOptions{Secrets: secretsOf("b")})
		_, err = without.SigningKey(t.Context(), jose.ES256, now)
		require.ErrorContains(t, err, secretsOf("a").Newest(), "what is needed still is named")

		require.NoError(t, rotated.MaintainOnce(t.Context(), now))
		again, err = without.SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err, "and then no more")
		assert.Equal(t, key.KeyID, again.KeyID)
		kept, err := without.PairwiseSalt(t.Context(), now)
		require.NoError(t, err)
		assert.Equal(t, salt, kept, "no subject changes")

		again, err = before.SigningKey(t.Context(), jose.ES256, now.Add(time.Hour))
		require.NoError(t, err, "an instance that runs since before the rotation knows the key")
		assert.Equal(t, key.KeyID, again.KeyID)
		require.NoError(t, before.MaintainOnce(t.Context(), now.Add(time.Hour)), "and leaves alone what it cannot read")
		again, err = without.SigningKey(t.Context(), jose.ES256, now.Add(2*time.Hour))
		require.NoError(t, err)
		assert.Equal(t, key.KeyID, again.KeyID)
	})
}

// The salt of pairwise subjects is made once, by one of many instances, and is nobody's
// key.
func TestThePairwiseSaltIsMadeOnce(t *testing.T) {
	testdb.Each(t, []any{&SigningKey{}}, func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		options := gormstore.SigningKeyOptions{Secrets: secretsOf("a")}
		salts := race(8, func(int) string {
			salt, err := newKeys(db, options).PairwiseSalt(t.Context(), now)
			assert.NoError(t, err)
			return string(salt)
		})
		assert.Len(t, salts[0], 32)
		for _, salt := range salts {
			assert.Equal(t, salts[0], salt)
		}
		var row SigningKey
		require.NoError(t, db.Where("algorithm = ?", "pairwise-salt").Take(&row).Error)
		assert.NotContains(t, row.PrivateKey, salts[0])
		keys := newKeys(db, options)
		for _, at := range []time.Time{now, now.Add(1000 * 24 * time.Hour)} {
			set, err := keys.PublicKeys(t.Context(), at)
			require.NoError(t, err)
			assert.Len(t, set.Keys, 1, "it is not published")
			require.NoError(t, keys.MaintainOnce(t.Context(), at))
		}
		salt, err := newKeys(db, options).PairwiseSalt(t.Context(), now.Add(1000*24*time.Hour))
		require.NoError(t, err)
		assert.Equal(t, salts[0], string(salt), "and never forgotten")

		_, err = newKeys(db, gormstore.SigningKeyOptions{Secrets: secretsOf("b")}).PairwiseSalt(t.Context(), now)
		require.ErrorContains(t, err, options.Secrets.Newest(), "it is not made anew for want of the secret")
		_, err = newKeys(db, gormstore.SigningKeyOptions{}).PairwiseSalt(t.Context(), now)
		require.ErrorContains(t, err, "SigningKeyOptions.Secrets")

		require.NoError(t, db.Where("1 = 1").Delete(&SigningKey{}).Error)
		_, err = newKeys(db, gormstore.SigningKeyOptions{}).SigningKey(t.Context(), jose.ES256, now)
		require.NoError(t, err)
		_, err = newKeys(db, options).PairwiseSalt(t.Context(), now)
		require.ErrorContains(t, err, "NoOlderInstances", "an older instance could not read the keys beside it")
		options.NoOlderInstances = true
		_, err = newKeys(db, options).PairwiseSalt(t.Context(), now)
		require.NoError(t, err)
	})
}

// A key is published until the second in which it expires.
func TestAKeyIsPublishedUntilItExpires(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &SigningKey{})
	now := time.Unix(1_000_000, 0)
	key, err := newKeys(db, gormstore.SigningKeyOptions{}).SigningKey(t.Context(), jose.ES256, now)
	require.NoError(t, err)
	var row SigningKey
	require.NoError(t, db.Where("key_id = ?", key.KeyID).First(&row).Error)
	for away, published := range map[int64]bool{-1: true, 0: false} {
		public, err := newKeys(db, gormstore.SigningKeyOptions{}).FreshPublicKeys(t.Context(), time.Unix(row.ExpiresAt+away, 0))
		require.NoError(t, err)
		assert.Equal(t, published, len(public.Key(key.KeyID)) == 1, away)
	}
}
