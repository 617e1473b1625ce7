package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

// A program that runs requests in transactions of its own, and rolls those back that fail,
// loses nothing that has to stay.
func TestWhatStaysWhenTheProgramRollsBack(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		var last *server.Error
		require.NoError(t, p.Server.Register(observed(func(o server.Observation) { last = o.Error })))
		var ctx context.Context
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tx := p.DB.Begin()
			ctx = gormstore.WithTransaction(r.Context(), tx)
			last = nil
			p.Server.CreateTokenResponse(w, r.WithContext(ctx))
			if last != nil {
				assert.NoError(t, tx.Rollback().Error)
				return
			}
			assert.NoError(t, tx.Commit().Error)
		})
		send := func(body string) oauthtest.Answer {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return p.Do(handler, r)
		}
		post := func(body string) oauthtest.Answer { return send(body + p.clientAssertion(p.signs)) }
		redeem := func(code string) string {
			return "grant_type=authorization_code&code_verifier=" + oauthtest.Verifier + "&code=" + code
		}

		for name, after := range map[string]func(){
			"by AfterRollback": func() { require.NoError(t, gormstore.AfterRollback(ctx)) },
			"by the error": func() {
				var reuse *server.ReuseError
				require.ErrorAs(t, last, &reuse)
				assert.Equal(t, p.Now, reuse.Time)
				revoke := gormoauth.CreateRevokeGrantFunc[oauthtest.Token](p.DB)
				require.NoError(t, revoke(t.Context(), reuse.GrantID, reuse.Time))
			},
		} {
			code := p.Code(p.client, "")
			token := post(redeem(code)).Body["access_token"]
			require.True(t, p.Valid(token), name)
			require.NoError(t, gormstore.AfterRollback(ctx))
			assert.True(t, p.Valid(token), "there was nothing to stay")
			assert.Equal(t, server.InvalidGrant, post(redeem(code)).Body["error"])
			assert.True(t, p.Valid(token), "what revoked it was rolled back")
			after()
			assert.False(t, p.Valid(token), name)
		}

		body := "grant_type=authorization_code&code=x" + p.clientAssertion(p.signs)
		assert.Equal(t, server.InvalidGrant, send(body).Body["error"])
		require.NoError(t, gormstore.AfterRollback(ctx))
		assert.Equal(t, server.InvalidClient, send(body).Body["error"], "it was spent")
		var reuse *server.ReuseError
		assert.NotErrorAs(t, last, &reuse)
		assert.NoError(t, gormstore.AfterRollback(t.Context()))
	})
}

// observed is told of every request.
type observed func(server.Observation)

func (o observed) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	return ctx, o
}
