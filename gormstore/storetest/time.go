package storetest

import (
	"testing"
	"time"
)

// time: a token is valid for exactly its lifetime, whatever the time zone of the clock,
// also after 2038.
func (k *kit) time(t *testing.T) {
	const accessTokenLife = time.Hour
	zones := map[string]*time.Location{
		"UTC": time.UTC, "far east": time.FixedZone("", 14*3600), "far west": time.FixedZone("", -12*3600),
	}
	for name, zone := range zones {
		for _, year := range []int{2026, 2039, 2107} {
			start := time.Date(year, 10, 31, 23, 59, 59, 0, zone)
			now := start
			in := k.on(t, k.handles[0], at(func() time.Time { return now }))
			c := k.publicClient(t)
			first := in.grant(t, c, k.user)
			for _, moment := range []struct {
				after time.Duration
				valid bool
			}{{0, true}, {accessTokenLife - time.Second, true}, {accessTokenLife, false}, {refreshTokenLife - time.Second, false}} {
				now = start.Add(moment.after)
				if in.valid(first.Access) != moment.valid {
					t.Errorf("%s, %d: after %v, the validity of an access token of one hour is %v", name, year, moment.after, !moment.valid)
				}
			}
			second := in.refresh(c, first.Refresh)
			if !second.ok() {
				t.Errorf("%s, %d: a refresh token is refused a second before it expires: %s", name, year, second.Description)
			}
			now = now.Add(refreshTokenLife)
			if a := in.refresh(c, second.Refresh); a.ok() {
				t.Errorf("%s, %d: a refresh token is accepted when it expires", name, year)
			}
		}
	}
}
