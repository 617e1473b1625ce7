package gormstore_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

const racers = 64

// race runs f on many goroutines that start as one.
func race[T any](n int, f func(i int) T) []T {
	results := make([]T, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			results[i] = f(i)
		})
	}
	start.Done()
	done.Wait()
	return results
}

// winnerOf returns the one answer that is a token. All others must be
// invalid_grant, since whoever comes second presents what is spent.
func winnerOf(t *testing.T, answers []answer) answer {
	t.Helper()
	var winner *answer
	for _, a := range answers {
		switch {
		case a.Status != http.StatusOK:
			assert.Equal(t, "invalid_grant", a.Error, "%+v", a)
		case winner != nil:
			t.Fatal("two requests got a token for one credential")
		default:
			winner = &a
		}
	}
	require.NotNil(t, winner, "nobody got a token")
	return *winner
}

func TestOneCodeIsRedeemedOnce(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		code := p.code("profile")
		winner := winnerOf(t, race(racers, func(int) answer { return p.redeem(code) }))

		var tokens []Token
		require.NoError(t, db.Find(&tokens).Error)
		require.Len(t, tokens, 1, "one code, one row")
		assert.NotZero(t, tokens[0].RefreshTokenRevokedAt, "a replay ends the grant")
		assert.False(t, p.valid(winner.AccessToken))
		assert.Equal(t, "invalid_grant", p.refresh(winner.RefreshToken).Error)
		var codes []AuthorizationCode
		require.NoError(t, db.Find(&codes).Error)
		require.Len(t, codes, 1)
		assert.NotZero(t, codes[0].RedeemedAt)
	})
}

func TestOneRefreshTokenIsRotatedOnce(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		first := p.redeem(p.code("profile"))
		require.Equal(t, http.StatusOK, first.Status, first.Description)
		winner := winnerOf(t, race(racers, func(int) answer { return p.refresh(first.RefreshToken) }))

		var tokens []Token
		require.NoError(t, db.Find(&tokens).Error)
		require.Len(t, tokens, 1, "rotation happens in place")
		assert.NotZero(t, tokens[0].RefreshTokenRevokedAt, "a replay ends the grant")
		assert.False(t, p.valid(first.AccessToken))
		assert.False(t, p.valid(winner.AccessToken))
	})
}

// A replay that runs beside a rotation must not leave the successor alive,
// whichever of the two comes first.
func TestAReplayEndsTheGrantAlsoDuringARotation(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		for range 20 {
			first := p.redeem(p.code("profile"))
			second := p.refresh(first.RefreshToken)
			require.Equal(t, http.StatusOK, second.Status, second.Description)
			answers := race(2, func(i int) answer {
				return p.refresh([]string{first.RefreshToken, second.RefreshToken}[i])
			})
			assert.Equal(t, "invalid_grant", answers[0].Error, "the replay")
			for _, a := range []answer{first, second, answers[1]} {
				assert.False(t, p.valid(a.AccessToken), "no token of the grant is alive")
			}
			if answers[1].Status == http.StatusOK {
				assert.Equal(t, "invalid_grant", p.refresh(answers[1].RefreshToken).Error)
			}
		}
	})
}

func TestARevocationEndsTheGrantAlsoDuringARotation(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		for range 20 {
			first := p.redeem(p.code("profile"))
			grantID := server.Present(first.RefreshToken).GrantID
			answers := race(2, func(i int) answer {
				if i == 0 {
					assert.NoError(t, tokens.RevokeGrant(t.Context(), grantID, time.Now()))
					return answer{}
				}
				return p.refresh(first.RefreshToken)
			})
			assert.False(t, p.valid(first.AccessToken))
			assert.False(t, p.valid(answers[1].AccessToken))
		}
	})
}

// The same, one after the other: what was read before the revocation does not
// help after it.
func TestARotationAfterARevocationIsRefused(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		presented := server.Present(p.redeem(p.code("profile")).RefreshToken)
		found, err := tokens.Query(t.Context(), server.TokenQuery{RefreshToken: presented.Digest, GrantID: presented.GrantID})
		require.NoError(t, err)
		require.NoError(t, tokens.RevokeGrant(t.Context(), presented.GrantID, time.Now()))

		req := &server.Request{Credential: &server.Credential{Record: found.Token, Presented: presented}}
		err = tokens.Save(t.Context(), &models.TokenMixin{AccessToken: "a", GrantID: presented.GrantID}, req)
		require.ErrorIs(t, err, server.ErrSpent)
		row, err := tokens.Query(t.Context(), server.TokenQuery{AccessToken: "a"})
		require.NoError(t, err)
		assert.Nil(t, row, "nothing was written")
	})
}
