package grant_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// A client and a thief hold the same refresh token, and both go on with what they get, each
// when it likes. They get the same as long as they ask within the grace; as soon as one asks
// for what the other has replaced longer ago, or went on from, neither has anything.
func TestAThiefWhoFollowsIsFoundOnceTheyAreApart(t *testing.T) {
	const grace = 30 * time.Second
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Public)
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 30))
			start := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
			holds := []string{start, start}    // the client and the thief
			order := map[string]int{start: 0}  // of the generations
			rotated := make(map[int]time.Time) // when each was first replaced
			for step, ended := 0, false; step < 40; step++ {
				who := random.IntN(2)
				p.Now = p.Now.Add([]time.Duration{time.Second, 10 * time.Second, 29 * time.Second, 31 * time.Second, time.Hour}[random.IntN(5)])
				generation := order[holds[who]]
				at, replaced := rotated[generation]
				_, wentOn := rotated[generation+1]
				reuse := replaced && (wentOn || !p.Now.Before(at.Add(grace)))
				a := p.Refresh(client, holds[who], "")
				what := fmt.Sprintf("seed %d, step %d: %s", seed, step, a.Raw)
				if ended || reuse {
					ended = true
					assert.Equal(t, http.StatusBadRequest, a.Status, what)
					assert.Equal(t, "invalid_grant", a.Body["error"], what)
					continue
				}
				if !assert.Equal(t, http.StatusOK, a.Status, what) {
					return
				}
				if !replaced {
					rotated[generation] = p.Now
				}
				next := a.Body["refresh_token"]
				if known, is := order[next]; is {
					assert.Equal(t, generation+1, known, what)
				}
				holds[who], order[next] = next, generation+1
				assert.True(t, p.Valid(a.Body["access_token"]), what)
			}
		}
	})
}
