package storetest

import (
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
)

// pruning: expired rows are removed, by many instances at once, and nothing else is:
// neither rows in use, nor, for 30 days, the rows that detect a replay.
func (k *kit) pruning(t *testing.T) {
	const grants, batch = 20, 7
	now := k.instances(t)
	long := 2 * refreshTokenLife
	before := k.instances(t, at(func() time.Time { return time.Now().Add(-long) }))
	past := k.on(t, k.handles[0], at(func() time.Time { return time.Now().Add(-32 * 24 * time.Hour) }))
	c, gone := k.publicClient(t), k.publicClient(t)
	for range grants {
		past.grant(t, gone, k.user)
		past.code(t, gone, k.user) // is never redeemed
	}
	alive := now[0].grant(t, c, k.user)
	unused := now[0].code(t, c, k.user)
	// A grant whose code has expired, and that has been refreshed since.
	code := before[0].code(t, c, k.user)
	refreshed := before[0].redeem(c, code)
	for _, ago := range []time.Duration{refreshTokenLife + time.Hour, 2 * time.Hour, 0} {
		then := k.on(t, k.handles[0], at(func() time.Time { return time.Now().Add(-ago) }))
		refreshed = then.refresh(c, refreshed.Refresh)
	}
	if !refreshed.ok() {
		t.Fatalf("the old grant is refused: %+v", refreshed)
	}

	var progress gormstore.PruneProgress
	errs := race(k, max(2, len(now)), func(i int) error {
		options := gormstore.PruneOptions{BatchSize: batch}
		if i == 0 {
			options.Report = func(p gormstore.PruneProgress) {
				if p.Removed < progress.Removed || p.Removed-progress.Removed > batch {
					t.Errorf("a batch of %d rows changed the progress from %+v to %+v", batch, progress, p)
				}
				progress = p
			}
		}
		return now[i%len(now)].prune(t.Context(), options)
	})
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if rows := k.rows(t, k.tokenModel, gone) + k.rows(t, k.codeModel, gone); rows != 0 {
		t.Errorf("%d expired rows are left", rows)
	}
	if !now[0].valid(alive.Access) || !now[0].redeem(c, unused).ok() {
		t.Error("rows in use were removed")
	}
	if a := now[0].redeem(c, code); a.ok() {
		t.Error("a code was redeemed twice")
	}
	if now[0].valid(refreshed.Access) {
		t.Error("after pruning, the replay of a code no longer ends its grant")
	}
}
