package gormstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/secret"
)

// Keys are maintained several times while one is announced, every hour at least, and not all of the time.
func TestHowOftenKeysAreMaintained(t *testing.T) {
	for announced, every := range map[time.Duration]time.Duration{
		0: time.Hour, 24 * time.Hour: time.Hour, 4 * time.Hour: time.Hour, 2 * time.Hour: 30 * time.Minute,
		8 * time.Second: 2 * time.Second, 4 * time.Second: time.Second, 2 * time.Second: time.Second,
	} {
		options, err := SigningKeyOptions{AnnounceFor: announced, CacheFor: time.Second, RotateEvery: 90 * 24 * time.Hour}.withDefaults()
		require.NoError(t, err)
		assert.Equal(t, every, options.maintainEvery(), announced)
	}
}

// The least that the options may be, and what is less.
func TestTheTimesOfSigningKeys(t *testing.T) {
	least := SigningKeyOptions{RotateEvery: 40 * time.Second, AnnounceFor: 20 * time.Second, CacheFor: 10 * time.Second, KeepFor: time.Second}
	for name, c := range map[string]struct {
		change func(*SigningKeyOptions)
		fault  string
	}{
		"the least":              {func(*SigningKeyOptions) {}, ""},
		"rotates too soon":       {func(o *SigningKeyOptions) { o.RotateEvery-- }, "RotateEvery must be at least twice"},
		"announced too briefly":  {func(o *SigningKeyOptions) { o.AnnounceFor-- }, "AnnounceFor at least twice"},
		"kept too briefly":       {func(o *SigningKeyOptions) { o.KeepFor-- }, "KeepFor at least one second"},
		"cached for less than 0": {func(o *SigningKeyOptions) { o.CacheFor = -1 }, "AnnounceFor at least twice CacheFor"},
		"a key of 31 bytes":      {func(o *SigningKeyOptions) { o.EncryptionKey = make([]byte, 31) }, "must have 32 bytes"},
		"a key of 33 bytes":      {func(o *SigningKeyOptions) { o.EncryptionKey = make([]byte, 33) }, "must have 32 bytes"},
		"a key of 32 bytes":      {func(o *SigningKeyOptions) { o.EncryptionKey = make([]byte, 32) }, ""},
		"a salt of one byte":     {func(o *SigningKeyOptions) { o.PairwiseSalt = make([]byte, 1) }, "at least 32 random bytes"},
		"a salt of 31 bytes":     {func(o *SigningKeyOptions) { o.PairwiseSalt = make([]byte, saltBytes-1) }, "at least 32 random bytes"},
		"a short secret":         {func(o *SigningKeyOptions) { o.Secrets = secret.Keyring{make([]byte, 31)} }, "needs at least 32 random ones"},
		"a salt of 32 bytes":     {func(o *SigningKeyOptions) { o.PairwiseSalt = make([]byte, saltBytes) }, ""},
	} {
		options := least
		c.change(&options)
		_, err := options.withDefaults()
		if c.fault == "" {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, c.fault, name)
		}
	}
}
