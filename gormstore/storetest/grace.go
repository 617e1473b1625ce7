package storetest

import "testing"

// grace: with Config.RefreshTokenGrace, a client that refreshes in parallel, or that
// never received a response, gets the same response again.
func (k *kit) grace(t *testing.T) {
	const tabs = 8
	all := k.instances(t, withGrace)
	in := func(i int) *instance { return all[i%len(all)] }
	c := k.publicClient(t)
	for round := range rounds {
		first := in(round).grant(t, c, k.user)
		answers := race(k, tabs, func(i int) answer { return in(i).refresh(c, first.Refresh) })
		again := in(round+1).refresh(c, first.Refresh)
		for _, a := range append(answers, again) {
			if a != answers[0] || !a.ok() {
				t.Fatalf("two tabs of one client got %+v and %+v", answers[0], a)
			}
		}
		if !in(round).valid(again.Access) {
			t.Error("the access token in the response is not valid")
		}
		next := in(round).refresh(c, again.Refresh)
		if !next.ok() {
			t.Fatalf("the successor is refused: %+v", next)
		}
		if a := in(round+1).refresh(c, first.Refresh); a.ok() {
			t.Error("a refresh token is accepted although its successor was used")
		}
		k.dead(t, all, c, next)
	}
	if rows := k.rows(t, k.tokenModel, c); rows != rounds {
		t.Errorf("%d grants have %d rows", rounds, rows)
	}
}
