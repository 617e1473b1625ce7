package gormstore_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// The row of a code that was redeemed stays for a replay, which it tells with its digest, its
// grant and whose it is. What else it said is gone at once.
func TestASpentRowKeepsWhatAReplayNeeds(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		code := p.code("profile")
		var before, after AuthorizationCode
		require.NoError(t, db.First(&before).Error)
		require.NotEmpty(t, before.Scope)
		tokens := p.redeem(code)
		require.True(t, p.valid(tokens.AccessToken))
		require.NoError(t, db.First(&after).Error)
		want := before
		want.RedeemedAt = after.RedeemedAt
		want.AuthorizationCodeMixin = models.AuthorizationCodeMixin{
			Authorization: models.Authorization{
				ClientID: before.ClientID, LongClientID: before.LongClientID, GrantID: before.GrantID, SessionID: before.SessionID, Issuer: before.Issuer,
			},
			AuthTime: before.AuthTime, Code: before.Code, IssuedAt: before.IssuedAt, ExpiresAt: before.ExpiresAt, RedeemedAt: after.RedeemedAt,
		}
		assert.NotZero(t, after.RedeemedAt)
		assert.Equal(t, want, after)
		assert.Equal(t, http.StatusBadRequest, p.redeem(code).Status)
		assert.False(t, p.valid(tokens.AccessToken), "the replay revokes the grant all the same")
	})
}
