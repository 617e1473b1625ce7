package storetest

import (
	"testing"

	"github.com/gormoauth/gormoauth/server"
)

// erase: all of a user's rows are removed, including those of concurrent exchanges, and
// no other user's rows are.
func (k *kit) erase(t *testing.T) {
	all, in := k.racing(t)
	if !in(0).indexed {
		t.Log("the models of tokens and codes have no index on UserID, which gormstore.Erase needs: skipped")
		return
	}
	leaving, c := k.newUser(t, k.handles[0]), k.publicClient(t)
	kept := in(0).grant(t, c, k.user)
	for round := range rounds / 2 {
		first := in(round).grant(t, c, leaving)
		code, late := in(round).code(t, c, leaving), in(round).code(t, c, leaving)
		answers := race(k, 3, func(i int) answer {
			switch i {
			case 0:
				if _, err := in(round).erase(brief(), leaving.GetUserID()); err != nil {
					t.Errorf("the user cannot be erased: %v", err)
				}
				return answer{}
			case 1:
				return in(round+1).redeem(c, code)
			default:
				return in(round+2).refresh(c, first.Refresh)
			}
		})
		// Concurrent exchanges have either been seen by the erasure, or have found nothing to
		// exchange.
		if _, err := in(round).erase(atOnce(), leaving.GetUserID()); err != nil {
			t.Errorf("the user cannot be erased again: %v", err)
		}
		k.dead(t, all, c, first, answers[1], answers[2])
		if a := in(round).redeem(c, late); a.Error != server.InvalidGrant {
			t.Errorf("the code of an erased user is answered with %+v", a)
		}
		if left, err := in(round).erase(atOnce(), leaving.GetUserID()); err != nil || left != 0 {
			t.Errorf("%d rows of the user were left: %v", left, err)
		}
	}
	if !in(0).valid(kept.Access) {
		t.Error("another user's token was removed")
	}
}
