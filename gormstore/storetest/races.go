package storetest

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	racers = 32
	rounds = 10
)

// race runs f in n goroutines that start at the same time. Until all have ended, the calls of
// the kit's racing instances are slow.
func race[T any](k *kit, n int, f func(i int) T) []T {
	results := make([]T, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			results[i] = f(i)
		})
	}
	k.running.Add(1)
	defer k.running.Add(-1)
	start.Done()
	done.Wait()
	return results
}

// slow keeps racing calls together, so that all have read before the first one writes,
// even if the database is very fast.
func (k *kit) slow(faults.Call) faults.Fault {
	if k.running.Load() > 0 {
		time.Sleep(2 * time.Millisecond)
	}
	return faults.Fault{}
}

// racing returns instances that are slow in a race, and a function that picks one by number.
func (k *kit) racing(t *testing.T) (all []*instance, in func(i int) *instance) {
	t.Helper()
	for _, db := range k.handles {
		all = append(all, k.on(t, faults.DB(db, &faults.Plan{Next: k.slow})))
	}
	return all, func(i int) *instance { return all[i%len(all)] }
}

// races: a credential is spent once, and its second use ends the grant, in any order and
// on any instance.
func (k *kit) races(t *testing.T) {
	all, in := k.racing(t)

	t.Run("one code is redeemed once", func(t *testing.T) {
		c := k.publicClient(t)
		code := in(0).code(t, c, k.user)
		winner := winnerOf(t, race(k, racers, func(i int) answer { return in(i).redeem(c, code) }))
		if rows := k.rows(t, k.tokenModel, c); rows != 1 {
			t.Errorf("one code led to %d rows", rows)
		}
		k.dead(t, all, c, winner)
	})
	t.Run("one refresh token is rotated once", func(t *testing.T) {
		c := k.publicClient(t)
		first := in(0).grant(t, c, k.user)
		winner := winnerOf(t, race(k, racers, func(i int) answer { return in(i).refresh(c, first.Refresh) }))
		if rows := k.rows(t, k.tokenModel, c); rows != 1 {
			t.Errorf("rotation must happen in place, but there are %d rows", rows)
		}
		k.dead(t, all, c, first, winner)
	})
	t.Run("a replay ends the grant, also during a rotation", func(t *testing.T) {
		c := k.publicClient(t)
		for round := range rounds {
			first := in(round).grant(t, c, k.user)
			second := in(round+1).refresh(c, first.Refresh)
			answers := race(k, 2, func(i int) answer {
				return in(round+i).refresh(c, []string{first.Refresh, second.Refresh}[i])
			})
			if answers[0].Error != server.InvalidGrant {
				t.Errorf("the replay is answered with %+v", answers[0])
			}
			k.dead(t, all, c, first, second, answers[1])
		}
	})
	t.Run("a revocation ends the grant, also during a rotation", func(t *testing.T) {
		c := k.publicClient(t)
		for round := range rounds {
			first := in(round).grant(t, c, k.user)
			answers := race(k, 2, func(i int) answer {
				if i == 0 {
					return in(round).revoke(c, first.Refresh)
				}
				return in(round+1).refresh(c, first.Refresh)
			})
			if !answers[0].ok() {
				t.Errorf("the revocation is answered with %+v", answers[0])
			}
			k.dead(t, all, c, first, answers[1])
		}
	})
	t.Run("a revocation ends the tokens of every resource, also while there is one more", func(t *testing.T) {
		c := k.publicClient(t)
		for round := range rounds {
			_, params := in(round).authorize(c, k.user, url.Values{"resource": {resourceA, resourceB}})
			first := in(round).redeem(c, params.Get("code"))
			second := in(round+1).refresh(c, first.Refresh, resourceA)
			if !first.ok() || !second.ok() || !in(round).valid(first.Access) || !in(round).valid(second.Access) {
				t.Fatalf("the tokens of two resources are not both valid: %+v, %+v", first, second)
			}
			answers := race(k, 2, func(i int) answer {
				if i == 0 {
					return in(round).revoke(c, second.Refresh)
				}
				return in(round+1).refresh(c, second.Refresh, resourceB)
			})
			if !answers[0].ok() {
				t.Errorf("the revocation is answered with %+v", answers[0])
			}
			k.dead(t, all, c, first, second, answers[1])
		}
	})
	t.Run("what a token was exchanged for ends with its grant, also while it is exchanged", func(t *testing.T) {
		c := k.publicClient(t)
		service := k.newClient(t, k.handles[0], models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretPost, GrantTypes: []string{tokenExchange}})
		for round := range rounds {
			first := in(round).grant(t, c, k.user)
			before := in(round).exchange(service, first.Access)
			if !before.ok() || !in(round+1).valid(before.Access) {
				t.Fatalf("an exchange is answered with %+v", before)
			}
			answers := race(k, 4, func(i int) answer {
				if i == 0 {
					return in(round).revoke(c, first.Refresh)
				}
				return in(round+i).exchange(service, first.Access)
			})
			if !answers[0].ok() {
				t.Errorf("the revocation is answered with %+v", answers[0])
			}
			for _, a := range answers[1:] {
				if !a.ok() && a.Error != server.InvalidRequest {
					t.Errorf("the exchange is answered with %+v", a)
				}
			}
			k.dead(t, all, c, append(answers[1:], first, before)...)
		}
	})
	t.Run("what was read before a revocation does not help after it", func(t *testing.T) {
		c := k.publicClient(t)
		presented := secret.Present(in(0).grant(t, c, k.user).Refresh)
		found, err := in(0).tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: presented.Digest, GrantID: presented.GrantID})
		check(t, err)
		if found == nil {
			t.Fatal("the grant is not found by its refresh token")
		}
		check(t, in(1).tokens.RevokeGrant(t.Context(), presented.GrantID, time.Now()))
		if err := in(0).tokens.Save(t.Context(), storage.Exchange{
			Kind: storage.ExchangeRotate, Token: &models.TokenMixin{Authorization: models.Authorization{GrantID: presented.GrantID}, AccessToken: c.id}, From: found.Token, Presented: presented.Digest,
		}); err == nil {
			t.Error("a refresh token was rotated after its grant was revoked")
		}
	})
}

// winnerOf returns the only answer with a token. All others must be invalid_grant,
// because they present a spent credential.
func winnerOf(t *testing.T, answers []answer) (winner answer) {
	t.Helper()
	winners := 0
	for _, a := range answers {
		if a.Status == http.StatusOK {
			winner = a
			winners++
		} else if a.Error != server.InvalidGrant {
			t.Errorf("a request that lost the race is answered with %+v", a)
		}
	}
	if winners != 1 {
		t.Fatalf("%d requests got a token for one credential", winners)
	}
	return winner
}

// dead checks on every instance that a grant has ended.
func (k *kit) dead(t *testing.T, all []*instance, c client, answers ...answer) {
	t.Helper()
	for i, in := range all {
		for _, a := range answers {
			if in.valid(a.Access) {
				t.Errorf("an access token of an ended grant is valid on instance %d", i)
			}
			if a.Refresh != "" && in.refresh(c, a.Refresh).ok() {
				t.Errorf("a refresh token of an ended grant is accepted on instance %d", i)
			}
		}
	}
}

// brief returns a context in which ending grants waits only briefly for requests under way: in
// these tests, they exchange something that has ended, and fail.
func brief() context.Context { return underway.Shorten(context.Background(), 100*time.Millisecond) }

// atOnce is brief where no request is under way.
func atOnce() context.Context { return underway.Shorten(context.Background(), 0) }
