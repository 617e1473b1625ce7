package storetest

import (
	"net/url"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// DeviceCodes tests the model D of device authorizations.
func DeviceCodes[D any, P gormstore.DeviceCodeModel[D]]() Part {
	return Part{
		name: "device codes",
		assemble: func(t testing.TB, in *instance) {
			t.Helper()
			codes := must(gormstore.NewDeviceCodes[D, P](in.db))(t)
			in.keeps(codes)
			in.devices = &endpoint.DeviceAuthorization{Storage: codes, Attempts: ratelimit.Unlimited{}, PublicRequests: ratelimit.Unlimited{}}
			check(t, in.server.RegisterEndpoint(in.devices))
			check(t, in.server.RegisterGrant(&grant.DeviceCode{Storage: codes}))
		},
		test: func(k *kit, t *testing.T) { k.deviceCodes(t, new(D)) },
	}
}

func (k *kit) television(t testing.TB) client {
	t.Helper()
	return k.newClient(t, k.handles[0], models.ClientMetadata{
		TokenEndpointAuthMethod: models.None, GrantTypes: []string{deviceGrant, "refresh_token"},
	})
}

func (in *instance) device(t testing.TB, c client) answer {
	t.Helper()
	a := in.post(in.server.EndpointHandler("device_authorization"), url.Values{}, c)
	if !a.ok() {
		t.Fatalf("no device code: %+v", a)
	}
	return a
}

func (in *instance) poll(c client, deviceCode string) answer {
	return in.post(in.server.CreateTokenResponse, url.Values{"grant_type": {deviceGrant}, "device_code": {deviceCode}}, c)
}

func (in *instance) decide(userCode string, user storage.User, approved bool) error {
	values := url.Values{"user_code": {userCode}}
	consent, err := in.devices.GetConsentGrant(in.server, form(values), user)
	if err != nil {
		return err
	}
	values.Set(server.DecisionField, string(consent.Decision))
	return in.devices.Decide(in.server, form(values), user, approved)
}

// deviceCodes: every column is read back, a device gets one token, one decision counts,
// and expired rows are pruned.
func (k *kit) deviceCodes(t *testing.T, model any) {
	all, in := k.racing(t)
	c := k.television(t)

	t.Run("columns", func(t *testing.T) {
		stored := &models.DeviceCodeMixin{}
		fill(stored)
		storage := in(0).devices.Storage
		check(t, storage.SaveDeviceCode(t.Context(), stored, &server.Request{}))
		for _, query := range []device.Query{{DeviceCode: stored.DeviceCode}, {UserCode: stored.UserCode}} {
			found, err := storage.QueryDeviceCode(t.Context(), query)
			check(t, err)
			if found == nil {
				t.Fatalf("the device code is not found by %+v", query)
			}
			same(t, stored, found.DeviceCode.(interface {
				AsDeviceCodeMixin() *models.DeviceCodeMixin
			}).AsDeviceCodeMixin())
			if found.UserID != "" {
				t.Errorf("a device that no user has approved has the user %q", found.UserID)
			}
		}
	})
	t.Run("a device gets one token", func(t *testing.T) {
		codes := in(0).device(t, c)
		if a := in(1).poll(c, codes.DeviceCode); a.Error != server.AuthorizationPending {
			t.Fatalf("before the user has decided: %+v", a)
		}
		check(t, in(1).decide(codes.UserCode, k.user, true))
		winner := winnerOf(t, race(k, racers, func(i int) answer { return in(i).poll(c, codes.DeviceCode) }))
		k.dead(t, all, c, winner)
	})
	t.Run("one decision counts", func(t *testing.T) {
		for round := range rounds {
			codes := in(round).device(t, c)
			decisions := race(k, 4, func(i int) error { return in(round+i).decide(codes.UserCode, k.user, i%2 == 0) })
			var approved, denied int
			for i, err := range decisions {
				switch {
				case err == nil && i%2 == 0:
					approved++
				case err == nil:
					denied++
				case server.AsError(err).Code != server.InvalidGrant:
					t.Errorf("a second decision returned: %v", err)
				}
			}
			a := in(round).poll(c, codes.DeviceCode)
			if approved+denied != 1 || a.ok() != (approved == 1) {
				t.Fatalf("%d approvals and %d denials counted, and the device got %+v", approved, denied, a)
			}
		}
	})
	t.Run("two polls at once are one, and of two that come too soon one is counted", func(t *testing.T) {
		now := time.Now()
		var timed []*instance
		for _, db := range k.handles {
			timed = append(timed, k.on(t, db, at(func() time.Time { return now })))
		}
		for round := range rounds {
			codes := in(round).device(t, c)
			twice := func() []answer {
				return race(k, 2, func(i int) answer { return timed[(round+i)%len(timed)].poll(c, codes.DeviceCode) })
			}
			answers := twice()
			if answers[0].Error != server.AuthorizationPending || answers[1].Error != server.AuthorizationPending {
				t.Errorf("the two polls got %+v and %+v", answers[0], answers[1])
			}
			now = now.Add(4 * time.Second)
			answers = twice()
			if slowed := (answers[0].Error == server.SlowDown) != (answers[1].Error == server.SlowDown); !slowed || answers[0].ok() || answers[1].ok() {
				t.Errorf("the two polls got %+v and %+v", answers[0], answers[1])
			}
		}
	})
	t.Run("pruning", func(t *testing.T) {
		before := k.on(t, k.handles[0], at(func() time.Time { return time.Now().Add(-time.Hour) }))
		gone := k.television(t)
		k.on(t, k.handles[0], at(func() time.Time { return time.Now().Add(-32 * 24 * time.Hour) })).device(t, gone)
		codes, waits := before.device(t, c), in(0).device(t, c)
		check(t, before.decide(codes.UserCode, k.user, true))
		tokens := before.poll(c, codes.DeviceCode)
		refreshed := in(0).refresh(c, tokens.Refresh)
		check(t, in(0).prune(t.Context(), gormstore.PruneOptions{}))
		if rows := k.rows(t, model, gone); rows != 0 {
			t.Errorf("%d expired device codes are left", rows)
		}
		if a := in(0).poll(c, waits.DeviceCode); a.Error != server.AuthorizationPending {
			t.Errorf("a device that is waiting got %+v", a)
		}
		if a := in(0).poll(c, codes.DeviceCode); !refreshed.ok() || a.ok() || in(0).valid(refreshed.Access) {
			t.Error("after pruning, the replay of a device code no longer ends its grant")
		}
	})
}
