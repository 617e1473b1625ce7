package gormstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// Keys come and go by schedule while several instances sign without a pause, and a
// relying party that asks for them twice a day, and never because it met a key that it
// does not know, verifies every token from its first second to its last.
func TestRotationThatNobodyNotices(t *testing.T) {
	const (
		day       = 24 * time.Hour
		tokenLife = 36 * time.Hour
		instances = 3
	)
	for _, engine := range testdb.Engines() {
		t.Run(engine, func(t *testing.T) {
			options := gormstore.SigningKeyOptions{RotateEvery: 10 * day, AnnounceFor: day, KeepFor: 2 * day}
			var keys []*gormstore.SigningKeys
			handles := testdb.OpenInstances(t, engine, oauthtest.Models()...)
			for i := range instances {
				k, err := gormstore.NewSigningKeys[oauthtest.SigningKey](handles[i%len(handles)], options)
				require.NoError(t, err)
				keys = append(keys, k)
			}
			type token struct {
				text string
				ends time.Time
			}
			var living []token
			var known []byte // by the relying party
			var askedAt time.Time
			kids := make(map[string]bool)
			for now := time.Unix(1_800_000_000, 0); now.Before(time.Unix(1_800_000_000, 0).Add(45 * day)); now = now.Add(time.Hour) {
				if now.Sub(askedAt) >= 12*time.Hour {
					set, err := keys[len(living)%instances].PublicKeys(t.Context(), now)
					require.NoError(t, err)
					known, err = json.Marshal(set)
					require.NoError(t, err)
					askedAt = now
				}
				signed := make([]string, instances)
				var load sync.WaitGroup
				for i := range instances {
					load.Go(func() {
						claims := map[string]any{"iss": "x", "exp": now.Add(tokenLife).Unix()}
						text, err := jwk.SignJWT(context.Background(), keys[i], jose.ES256, now, "JWT", claims)
						if assert.NoError(t, err, "a request is lost") {
							signed[i] = text
						}
						if now.Hour() == i { // and each instance tidies up now and then
							assert.NoError(t, keys[i].MaintainOnce(context.Background(), now))
						}
					})
				}
				load.Wait()
				for _, text := range signed {
					living = append(living, token{text, now.Add(tokenLife)})
				}
				ended := 0
				for i, one := range living {
					if i >= len(living)-instances || !now.Before(one.ends.Add(-time.Hour)) { // the youngest and the oldest
						parsed, err := assertion.Parse(one.text, nil)
						require.NoError(t, err)
						require.NotNil(t, parsed)
						require.NoError(t, parsed.VerifyBy(known), "%s: a token that ends at %s is not verified", now, one.ends)
						kids[parsed.KeyID()] = true
					}
					if !now.Before(one.ends) {
						ended = i + 1
					}
				}
				living = living[ended:]
			}
			assert.GreaterOrEqual(t, len(kids), 4, "some came and went: %v", fmt.Sprint(len(kids)))
			var rows int64
			require.NoError(t, handles[0].Model(&oauthtest.SigningKey{}).Count(&rows).Error)
			assert.LessOrEqual(t, rows, int64(3), "and those that nobody needs are deleted")
		})
	}
}

// Maintain runs until it is told to end, and needs no request to make keys.
func TestMaintain(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	keys, err := gormstore.NewSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		keys.Maintain(ctx, nil)
	}()
	assert.Eventually(t, func() bool {
		var rows int64
		return db.Model(&oauthtest.SigningKey{}).Count(&rows).Error == nil && rows == 1
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}
