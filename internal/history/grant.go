package history

import (
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// grant is the state of one grant: what a server that serves one call after
// another knows.
type grant struct {
	redeemed bool
	revoked  bool
	// marked is whether it is to end: what exchanges something in it is refused from then on,
	// unless it was under way, and a token that is only looked at counts until its row is
	// reached.
	marked bool
	// access and refresh are the current tokens. They are unheard where the
	// call that made them was not answered.
	access, refresh string
	withdrawn       bool // access was revoked
	// rotated is the refresh token that became refresh, as long as the same
	// answer may be given again.
	rotated string
	// exchanged are the access tokens of others, each behind a space.
	exchanged string
}

const unheard = "?"

// model is the sequential specification. With grace, a refresh token whose
// successor was not used yet may be presented again for the same answer.
func model(grace bool) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{grant{}} },
		Step: func(state, input, output any) []any {
			return step(state.(grant), input.(Call), output.(Answer), grace)
		},
		DescribeOperation: describe,
	}
	return m.ToModel()
}

// step returns the states in which the call can leave the grant, none when the
// answer is wrong.
func step(g grant, call Call, answer Answer, grace bool) []any {
	if answer.Outcome != Unknown {
		var states []any
		if next, ok := g.after(call, answer, grace); ok {
			states = append(states, next)
		}
		if g.marked && answer.Outcome == Refused && (call.Op == Redeem || call.Op == Rotate || call.Op == Exchange) {
			states = append(states, g) // it saw the mark, and looked at nothing else
		}
		return states
	}
	states := []any{g}
	for _, outcome := range []Outcome{Done, Refused} {
		heard := Answer{Outcome: outcome, Access: unheard, Refresh: unheard}
		if next, ok := g.after(call, heard, grace); ok && next != g {
			states = append(states, next)
		}
	}
	return states
}

// after returns the state after a call with this answer, and whether it can be
// the answer.
func (g grant) after(call Call, answer Answer, grace bool) (grant, bool) {
	done := answer.Outcome == Done
	switch call.Op {
	case Redeem:
		if done {
			return grant{redeemed: true, marked: g.marked, access: answer.Access, refresh: answer.Refresh}, !g.redeemed && !g.revoked
		}
		return g.replayed(), g.redeemed || g.revoked
	case Rotate:
		return g.rotate(call.Token, answer, grace)
	case Revoke, End:
		g.revoked = true
		return g, done
	case Mark:
		g.marked = true
		return g, done
	case Exchange:
		if answer.Access != "" && answer.Access != unheard {
			g.exchanged += " " + answer.Access
		}
		return g, done == g.valid(call.Token)
	case Withdraw:
		g.withdrawn = g.withdrawn || g.access == call.Token
		return g, done
	case Validate:
		return g, done == (g.valid(call.Token) || g.holds(call.Token))
	default:
		panic("history: unknown call " + call.Op)
	}
}

// valid reports whether an access token of the grant's own client is.
func (g grant) valid(access string) bool {
	return g.redeemed && !g.revoked && !g.withdrawn && g.access == access
}

// holds reports whether an access token of another client is valid.
func (g grant) holds(access string) bool {
	return !g.revoked && slices.Contains(strings.Fields(g.exchanged), access)
}

func (g grant) rotate(token string, answer Answer, grace bool) (grant, bool) {
	current := g.redeemed && !g.revoked && g.refresh == token
	repeat := grace && g.redeemed && !g.revoked && g.rotated == token
	switch {
	case answer.Outcome == Refused:
		return g.replayed(), !current && !repeat
	case current:
		g.access, g.refresh, g.withdrawn, g.rotated = answer.Access, answer.Refresh, false, token
		return g, true
	case repeat:
		if g.access == unheard {
			g.access, g.refresh = answer.Access, answer.Refresh
		}
		return g, answer.Access == unheard || answer.Access == g.access && answer.Refresh == g.refresh
	default:
		return g, false
	}
}

// replayed is the grant after one of its spent credentials was presented.
func (g grant) replayed() grant {
	g.revoked = true
	return g
}
