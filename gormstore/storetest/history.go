package storetest

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/history"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// history: everything that many concurrent clients were told, on many instances, is
// consistent with some sequential order of their calls.
func (k *kit) history(t *testing.T) {
	t.Run("no faults", func(t *testing.T) { k.oneHistory(t, k.instances(t), false) })
	t.Run("grace", func(t *testing.T) { k.oneHistory(t, k.instances(t, withGrace), true) })
	t.Run("faults", func(t *testing.T) {
		var broken []*instance
		for _, db := range k.handles {
			broken = append(broken, k.on(t, faults.DB(db, &faults.Plan{Next: nowAndThen}), withGrace))
		}
		k.oneHistory(t, broken, true)
	})
}

// nowAndThen makes one call in ten fail, in one of the ways in which calls fail.
func nowAndThen(faults.Call) faults.Fault {
	return [30]faults.Fault{{Err: faults.ErrCut}, {Err: faults.ErrCut, After: true}, {Err: faults.ErrSerialization}}[rand.IntN(30)] //nolint:gosec // not a secret
}

func (k *kit) oneHistory(t *testing.T, instances []*instance, grace bool) {
	t.Helper()
	workload := history.Workload{Grants: 60, Clients: 8}
	c := k.publicClient(t)
	service := k.newClient(t, k.handles[0], models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretPost, GrantTypes: []string{tokenExchange}})
	for _, in := range instances {
		workload.Systems = append(workload.Systems, system{in, t, c, service, k.user})
	}
	recorder := history.NewRecorder(grace)
	workload.Run(t.Context(), recorder)
	if err := recorder.Check(time.Minute); err != nil {
		t.Error(err)
	}
	counts := recorder.Count()
	for _, op := range []history.Op{history.Redeem, history.Rotate, history.Validate, history.Exchange} {
		if counts[op][history.Done] == 0 || counts[op][history.Refused] == 0 {
			t.Errorf("the history lacks successful or refused calls, so it proves nothing: %v", counts)
		}
	}
}

// system makes an instance usable by the workload.
type system struct {
	*instance
	t      *testing.T
	client client
	// service is a client that exchanges access tokens of the first client.
	service client
	user    storage.User
}

// Authorize gets a code.
func (s system) Authorize() string {
	_, params := s.authorize(s.client, s.user, nil)
	return params.Get("code")
}

// Redeem exchanges a code.
func (s system) Redeem(code string) history.Answer { return s.told(s.redeem(s.client, code)) }

// Rotate exchanges a refresh token.
func (s system) Rotate(refresh string) history.Answer { return s.told(s.refresh(s.client, refresh)) }

// Revoke revokes a token.
func (s system) Revoke(token string) history.Answer { return s.told(s.revoke(s.client, token)) }

// Validate uses an access token.
func (s system) Validate(access string) history.Answer {
	return s.told(answer{Status: s.call(access)})
}

// Exchange makes the service exchange an access token.
func (s system) Exchange(access string) history.Answer {
	return s.told(s.exchange(s.service, access))
}

// End ends all grants of the client or of the user.
func (s system) End() history.Answer {
	var err error
	more := append([]gormstore.Erasable{s.codes}, s.erasable...) // handles with scopes do not find related stores by themselves
	if rand.IntN(2) == 0 {                                       //nolint:gosec // not a secret
		err = s.tokens.RevokeUser(brief(), s.user.GetUserID(), time.Now(), more...)
	} else {
		err = s.tokens.RevokeClient(brief(), s.client.id, time.Now(), more...)
	}
	switch {
	case errors.Is(err, storage.ErrUnavailable):
		return history.Answer{Outcome: history.Unknown}
	case err != nil:
		s.t.Errorf("ending all grants failed: %v", err)
	}
	return history.Answer{Outcome: history.Done}
}

func (s system) told(a answer) history.Answer {
	switch a.Status {
	case http.StatusOK:
		return history.Answer{Outcome: history.Done, Access: a.Access, Refresh: a.Refresh}
	case http.StatusBadRequest, http.StatusUnauthorized:
		return history.Answer{Outcome: history.Refused}
	case http.StatusServiceUnavailable:
	default:
		s.t.Errorf("a client got %+v", a)
	}
	return history.Answer{Outcome: history.Unknown}
}
