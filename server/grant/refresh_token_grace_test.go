package grant_test

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

func withGrace(c *server.Config) {
	c.RefreshTokenGrace = time.Minute
	c.RefreshTokenKey = bytes.Repeat([]byte("k"), 32)
}

// A client that never saw the answer to its refresh asks again.
func TestALostAnswerSignsNobodyOut(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, withGrace)
		client, thief := p.NewClient(nil), p.NewClient(nil)
		start := func() string { return p.Redeem(client, p.Code(client, "scope=profile+email")).Body["refresh_token"] }

		token := start()
		lost := p.Refresh(client, token, "&scope=profile")
		p.Now = p.Now.Add(59 * time.Second)
		again := p.Refresh(client, token, "&scope=profile")
		assert.Equal(t, http.StatusOK, again.Status, again.Raw)
		assert.Equal(t, lost.Raw, again.Raw, "the very same answer")
		assert.True(t, p.Valid(again.Body["access_token"]))
		var rows int64
		require.NoError(t, db.Model(&oauthtest.Token{}).Count(&rows).Error)
		assert.EqualValues(t, 1, rows, "and no second row")
		assert.Equal(t, "invalid_grant", p.Refresh(thief, token, "").Body["error"], "not for another client")
		assert.True(t, p.Valid(again.Body["access_token"]))

		next := p.Refresh(client, again.Body["refresh_token"], "")
		require.Equal(t, http.StatusOK, next.Status)
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "once the successor was used it is reuse")
		assert.False(t, p.Valid(next.Body["access_token"]))

		token = start()
		late := p.Refresh(client, token, "")
		p.Now = p.Now.Add(time.Minute)
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "after the period it is reuse")
		assert.False(t, p.Valid(late.Body["access_token"]))

		token = start()
		revoked := p.Refresh(client, token, "")
		p.Revoke(client, "token="+revoked.Body["refresh_token"])
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "a revoked grant answers nobody")

		token = start()
		p.Refresh(client, token, "")
		require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
		assert.Equal(t, "invalid_grant", p.Refresh(client, token, "").Body["error"], "nor does that of a disabled user")
	})
}

func TestTabsThatRefreshTogetherGetTheSameAnswer(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, withGrace)
		client := p.NewClient(oauthtest.Public)
		for _, tabs := range []int{2, 8} {
			token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
			answers := make([]oauthtest.Answer, tabs)
			var group sync.WaitGroup
			for i := range tabs {
				group.Go(func() { answers[i] = p.Refresh(client, token, "") })
			}
			group.Wait()
			for _, a := range answers {
				assert.Equal(t, http.StatusOK, a.Status, a.Raw)
				assert.Equal(t, answers[0].Raw, a.Raw)
			}
			assert.True(t, p.Valid(answers[0].Body["access_token"]))
			assert.Equal(t, http.StatusOK, p.Refresh(client, answers[0].Body["refresh_token"], "").Status)
		}
	})
}

func TestSuccessorsCannotBeGuessedWithoutTheKey(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, withGrace)
	other := oauthtest.New(t, db, withGrace, func(c *server.Config) { c.RefreshTokenKey = bytes.Repeat([]byte("l"), 32) })
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
	assert.Equal(t, http.StatusOK, p.Refresh(client, token, "").Status)
	assert.Equal(t, "invalid_grant", other.Refresh(client, token, "").Body["error"], "another key knows no successor")
}

func TestGraceNeedsItsKeyAndTheBuiltInGenerators(t *testing.T) {
	config := minimalConfig()
	config.RefreshTokenGrace = time.Minute
	_, err := server.New(config)
	assert.ErrorContains(t, err, "Config.RefreshTokenKey must have at least 32 random bytes")
	withGrace(&config)
	_, err = server.New(config)
	require.NoError(t, err)
	config.RefreshTokenGenerator = ownGenerator
	_, err = server.New(config)
	assert.ErrorContains(t, err, "Config.RefreshTokenGrace needs the built-in generators")
	config.RefreshTokenGrace = -1
	_, err = server.New(config)
	assert.ErrorContains(t, err, "Config.RefreshTokenGrace must not be negative")
}
