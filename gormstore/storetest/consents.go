package storetest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// consentStore is a gormstore.Consents of any models.
type consentStore interface {
	grant.ConsentStorage
	Revoke(ctx context.Context, userID, clientID string, now time.Time) error
}

// Consents tests the model M of consents, with the models T of tokens and C of
// codes.
func Consents[M, T, C any, P gormstore.ConsentModel[M], PT gormstore.TokenModel[T], PC gormstore.AuthorizationCodeModel[C]]() Part {
	return Part{
		name: "consents",
		assemble: func(t testing.TB, in *instance) {
			t.Helper()
			consents := must(gormstore.NewConsents[M, T, C, P, PT, PC](in.db))(t)
			in.consents = consents
			in.keeps(consents)
			check(t, in.server.Register(&grant.RememberedConsent{Storage: in.consents}))
		},
		test: func(k *kit, t *testing.T) { k.consents(t, new(M)) },
	}
}

// consents: everything that is consented to in several tabs at once is remembered, in one
// row, and revoking a consent also ends grants that are being redeemed or refreshed at
// the same time.
func (k *kit) consents(t *testing.T, model any) {
	all, in := k.racing(t)
	scopes := make([]string, 8)
	for i := range scopes {
		scopes[i] = fmt.Sprintf("scope%d", i)
	}
	newClient := func() client {
		return k.newClient(t, k.handles[0], models.ClientMetadata{
			TokenEndpointAuthMethod: models.None, RedirectURIs: []string{redirectURI}, Scope: strings.Join(scopes, " "),
			GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		})
	}
	revoke := func(i int, c client) {
		if err := in(i).consents.Revoke(context.Background(), k.user.GetUserID(), c.id, time.Now()); err != nil {
			t.Errorf("the consent cannot be revoked: %v", err)
		}
	}

	t.Run("columns", func(t *testing.T) {
		stored := &models.ConsentMixin{}
		fill(stored)
		clientID := stored.GetClientID()
		saved, err := in(0).consents.SaveConsent(t.Context(), nil, stored, k.user)
		check(t, err)
		if !saved {
			t.Fatal("a new consent is not saved")
		}
		found, err := in(1).consents.QueryConsent(t.Context(), k.user.GetUserID(), clientID)
		check(t, err)
		if found == nil {
			t.Fatal("the consent is not found")
		}
		stored.ConsentKey = found.ConsentKey
		same(t, stored, found)
		for _, old := range []*models.ConsentMixin{nil, {Revision: found.Revision - 1}} {
			if saved, err = in(0).consents.SaveConsent(t.Context(), old, stored, k.user); err != nil || saved {
				t.Errorf("a consent replaces one that its writer has not seen: saved is %v, error is %v", saved, err)
			}
		}
	})
	t.Run("many tabs consent at once", func(t *testing.T) {
		c := newClient()
		race(k, len(scopes), func(i int) bool {
			_, params := in(i).authorize(c, k.user, url.Values{"scope": {scopes[i]}})
			if params.Get("code") == "" {
				t.Errorf("no code: %v", params)
			}
			return true
		})
		found, err := in(0).consents.QueryConsent(t.Context(), k.user.GetUserID(), c.id)
		check(t, err)
		if found == nil {
			t.Fatal("nothing is remembered")
		}
		words := strings.Fields(found.Scope)
		slices.Sort(words)
		if !slices.Equal(words, scopes) {
			t.Errorf("consented to %v, but only %v is remembered", scopes, words)
		}
		if rows := k.count(t, model, "client_id", models.ClientKey(c.id)); rows != 1 {
			t.Errorf("one consent has %d rows", rows)
		}
	})
	t.Run("a code is not redeemed that was taken back, also meanwhile", func(t *testing.T) {
		c := newClient()
		for round := range rounds {
			code := in(round).code(t, c, k.user)
			answers := race(k, 2, func(i int) answer {
				if i == 0 {
					revoke(round, c)
					return answer{}
				}
				return in(round+1).redeem(c, code)
			})
			k.dead(t, all, c, answers[1])
			if a := in(round).redeem(c, code); a.ok() {
				t.Errorf("the code is redeemed after the consent was revoked: %+v", a)
			}
		}
	})
	t.Run("a grant ends that was taken back, also during a rotation", func(t *testing.T) {
		c, other := newClient(), newClient()
		kept := in(0).grant(t, other, k.user)
		stranger := k.newUser(t, k.handles[0])
		theirs := in(1).grant(t, c, stranger)
		for round := range rounds {
			first := in(round).grant(t, c, k.user)
			answers := race(k, 2, func(i int) answer {
				if i == 0 {
					revoke(round, c)
					return answer{}
				}
				return in(round+1).refresh(c, first.Refresh)
			})
			k.dead(t, all, c, first, answers[1])
		}
		if !in(0).valid(kept.Access) || !in(0).valid(theirs.Access) {
			t.Error("the grant of another client or another user ended as well")
		}
		if found, err := in(0).consents.QueryConsent(t.Context(), k.user.GetUserID(), c.id); err != nil || found != nil {
			t.Errorf("the revoked consent is still remembered: %+v %v", found, err)
		}
		if found, err := in(0).consents.QueryConsent(t.Context(), storage.UserID(stranger.GetUserID()).GetUserID(), c.id); err != nil || found == nil {
			t.Errorf("another user's consent was removed: %v", err)
		}
	})
}
