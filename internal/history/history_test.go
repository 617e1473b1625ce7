package history

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
)

// at is a call in a history of the test: from, to, what, answer.
func at(from, to int64, op Op, token string, outcome Outcome, tokens ...string) porcupine.Operation {
	answer := Answer{Outcome: outcome}
	if len(tokens) == 2 {
		answer.Access, answer.Refresh = tokens[0], tokens[1]
	}
	if outcome == Unknown {
		to = 1 << 62
	}
	return porcupine.Operation{ClientId: int(from), Input: Call{Op: op, Token: token}, Output: answer, Call: from, Return: to}
}

func TestOnlyHistoriesThatAServerAloneCouldHaveMadePass(t *testing.T) {
	redeemed := at(0, 1, Redeem, "", Done, "a1", "r1")
	rotated := at(2, 3, Rotate, "r1", Done, "a2", "r2")
	for name, c := range map[string]struct {
		calls []porcupine.Operation
		grace bool
		legal bool
	}{
		"a token that was issued is valid":              {[]porcupine.Operation{redeemed, at(2, 3, Validate, "a1", Done)}, false, true},
		"an acknowledged token is missing":              {[]porcupine.Operation{redeemed, at(2, 3, Validate, "a1", Refused)}, false, false},
		"a code is redeemed twice":                      {[]porcupine.Operation{redeemed, at(0, 1, Redeem, "", Done, "a2", "r2")}, false, false},
		"the second is refused, and ends the grant":     {[]porcupine.Operation{redeemed, at(0, 3, Redeem, "", Refused), at(4, 5, Validate, "a1", Refused)}, false, true},
		"a replay that leaves the token alive":          {[]porcupine.Operation{redeemed, at(2, 3, Redeem, "", Refused), at(4, 5, Validate, "a1", Done)}, false, false},
		"valid while the replay is under way":           {[]porcupine.Operation{redeemed, at(2, 6, Redeem, "", Refused), at(3, 5, Validate, "a1", Done)}, false, true},
		"a refresh token is spent twice":                {[]porcupine.Operation{redeemed, rotated, at(2, 3, Rotate, "r1", Done, "a3", "r3")}, false, false},
		"the successor lives after a replay":            {[]porcupine.Operation{redeemed, rotated, at(4, 5, Rotate, "r1", Refused), at(6, 7, Validate, "a2", Done)}, false, false},
		"the successor rotates after a replay":          {[]porcupine.Operation{redeemed, rotated, at(4, 5, Rotate, "r1", Refused), at(6, 7, Rotate, "r2", Done, "a3", "r3")}, false, false},
		"the predecessor is dead":                       {[]porcupine.Operation{redeemed, rotated, at(4, 5, Validate, "a1", Refused)}, false, true},
		"a token lives after its revocation":            {[]porcupine.Operation{redeemed, at(2, 3, Revoke, "r1", Done), at(4, 5, Validate, "a1", Done)}, false, false},
		"a token lives after it was withdrawn":          {[]porcupine.Operation{redeemed, at(2, 3, Withdraw, "a1", Done), at(4, 5, Validate, "a1", Done)}, false, false},
		"its refresh token does":                        {[]porcupine.Operation{redeemed, at(2, 3, Withdraw, "a1", Done), at(4, 5, Rotate, "r1", Done, "a2", "r2"), at(6, 7, Validate, "a2", Done)}, false, true},
		"a grant is revived by a rotation":              {[]porcupine.Operation{redeemed, at(2, 5, Rotate, "r1", Done, "a2", "r2"), at(2, 4, Revoke, "r1", Done), at(6, 7, Validate, "a2", Done)}, false, false},
		"an honest client is refused":                   {[]porcupine.Operation{redeemed, at(2, 3, Rotate, "r1", Refused)}, false, false},
		"a lost answer may have been a rotation":        {[]porcupine.Operation{redeemed, at(2, 0, Rotate, "r1", Unknown), at(4, 5, Rotate, "r1", Refused)}, false, true},
		"or nothing":                                    {[]porcupine.Operation{redeemed, at(2, 0, Rotate, "r1", Unknown), at(4, 5, Rotate, "r1", Done, "a2", "r2"), at(6, 7, Validate, "a2", Done)}, false, true},
		"or one that takes effect late":                 {[]porcupine.Operation{redeemed, at(2, 0, Rotate, "r1", Unknown), at(4, 5, Validate, "a1", Done), at(6, 7, Validate, "a1", Refused)}, false, true},
		"but not one that is undone":                    {[]porcupine.Operation{redeemed, at(2, 0, Rotate, "r1", Unknown), at(4, 5, Validate, "a1", Refused), at(6, 7, Validate, "a1", Done)}, false, false},
		"a lost redemption does not kill what is told":  {[]porcupine.Operation{at(0, 0, Redeem, "", Unknown), at(2, 3, Redeem, "", Done, "a1", "r1"), at(4, 5, Validate, "a1", Done)}, false, true},
		"what was exchanged is valid":                   {[]porcupine.Operation{redeemed, at(2, 3, Exchange, "a1", Done, "x1", ""), at(4, 5, Validate, "x1", Done)}, false, true},
		"it outlives a rotation":                        {[]porcupine.Operation{redeemed, at(2, 3, Exchange, "a1", Done, "x1", ""), at(4, 5, Rotate, "r1", Done, "a2", "r2"), at(6, 7, Validate, "x1", Done)}, false, true},
		"and not the end of its grant":                  {[]porcupine.Operation{redeemed, at(2, 3, Exchange, "a1", Done, "x1", ""), at(4, 5, Revoke, "r1", Done), at(6, 7, Validate, "x1", Done)}, false, false},
		"nor the end of its client":                     {[]porcupine.Operation{redeemed, at(2, 6, Exchange, "a1", Done, "x1", ""), at(4, 5, End, "", Done), at(7, 8, Validate, "x1", Done)}, false, false},
		"an exchange beside the end is refused":         {[]porcupine.Operation{redeemed, at(2, 6, Exchange, "a1", Refused), at(4, 5, End, "", Done)}, false, true},
		"or not":                                        {[]porcupine.Operation{redeemed, at(2, 6, Exchange, "a1", Done, "x1", ""), at(4, 5, End, "", Done), at(7, 8, Validate, "x1", Refused)}, false, true},
		"a token is looked at while its grant ends":     {[]porcupine.Operation{redeemed, at(2, 9, Mark, "", Done), at(2, 9, End, "", Done), at(3, 4, Rotate, "r1", Refused), at(5, 6, Validate, "a1", Done)}, false, true},
		"also one whose code was being redeemed":        {[]porcupine.Operation{at(0, 9, Mark, "", Done), at(0, 9, End, "", Done), at(1, 2, Redeem, "", Refused), at(1, 4, Redeem, "", Done, "a1", "r1"), at(5, 6, Rotate, "r1", Refused), at(7, 8, Validate, "a1", Done)}, false, true},
		"or had been read before it was redeemed":       {[]porcupine.Operation{at(0, 3, Redeem, "", Done, "a1", "r1"), at(1, 6, Redeem, "", Refused), at(4, 9, Mark, "", Done), at(4, 9, End, "", Done), at(7, 8, Validate, "a1", Done)}, false, true},
		"which a refusal without an end does not allow": {[]porcupine.Operation{redeemed, at(3, 4, Rotate, "r1", Refused), at(5, 6, Validate, "a1", Done)}, false, false},
		"nor one after it":                              {[]porcupine.Operation{redeemed, at(2, 4, Mark, "", Done), at(2, 4, End, "", Done), at(5, 6, Validate, "a1", Done)}, false, false},
		"after the end a code is void":                  {[]porcupine.Operation{at(0, 1, End, "", Done), at(2, 3, Redeem, "", Done, "a1", "r1")}, false, false},
		"what was withdrawn is not exchanged":           {[]porcupine.Operation{redeemed, at(2, 3, Withdraw, "a1", Done), at(4, 5, Exchange, "a1", Done, "x1", "")}, false, false},
		"with grace, the same answer again":             {[]porcupine.Operation{redeemed, rotated, at(4, 5, Rotate, "r1", Done, "a2", "r2"), at(6, 7, Validate, "a2", Done)}, true, true},
		"with grace, another answer":                    {[]porcupine.Operation{redeemed, rotated, at(4, 5, Rotate, "r1", Done, "a3", "r3")}, true, false},
		"with grace, after the successor was used":      {[]porcupine.Operation{redeemed, rotated, at(4, 5, Rotate, "r2", Done, "a3", "r3"), at(6, 7, Rotate, "r1", Done, "a2", "r2")}, true, false},
		"with grace, the lost answer":                   {[]porcupine.Operation{redeemed, at(2, 0, Rotate, "r1", Unknown), at(4, 5, Rotate, "r1", Done, "a2", "r2"), at(6, 7, Validate, "a2", Done)}, true, true},
		"with grace, no honest client is refused":       {[]porcupine.Operation{redeemed, at(2, 0, Rotate, "r1", Unknown), at(4, 5, Rotate, "r1", Refused)}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRecorder(c.grace)
			r.operations = c.calls
			err := r.Check(time.Minute)
			if c.legal {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "no order explains")
			}
		})
	}
}

func TestGrantsAreCheckedByThemselves(t *testing.T) {
	r := NewRecorder(false)
	for grant := range 2 {
		r.Do(0, Call{grant, Redeem, ""}, func() Answer { return Answer{Done, "a", "r"} })
	}
	assert.NoError(t, r.Check(time.Minute))
	r.Do(0, Call{1, Validate, "a"}, func() Answer { return Answer{Outcome: Refused} })
	assert.ErrorContains(t, r.Check(time.Minute), "grant 1:")
	assert.Equal(t, map[Outcome]int{Done: 2}, r.Count()[Redeem])
}

// A server that shows a change before it is durable may lose it in a crash, and make it again. Only
// what was read of such a change before the crash does not count.
func TestWhatACrashTookBack(t *testing.T) {
	redeemed, rotated := at(0, 1, Redeem, "", Done, "a1", "r1"), at(2, 20, Rotate, "r1", Done, "a2", "r2")
	early, again := at(3, 4, Validate, "a1", Refused), at(14, 15, Validate, "a1", Done)
	for name, c := range map[string]struct {
		calls   []porcupine.Operation
		crashes []crash
		legal   bool
	}{
		"no crash":                         {[]porcupine.Operation{redeemed, rotated, early, again}, nil, false},
		"a crash between the two reads":    {[]porcupine.Operation{redeemed, rotated, early, again}, []crash{{8, 10}}, true},
		"a crash before the change":        {[]porcupine.Operation{redeemed, rotated, early, again}, []crash{{1, 2}}, false},
		"a crash after the change":         {[]porcupine.Operation{redeemed, rotated, early, again}, []crash{{21, 22}}, false},
		"what is read afterwards counts":   {[]porcupine.Operation{redeemed, rotated, at(11, 12, Validate, "a1", Refused), again}, []crash{{8, 10}}, false},
		"what was acknowledged is durable": {[]porcupine.Operation{redeemed, at(2, 5, Rotate, "r1", Done, "a2", "r2"), again}, []crash{{8, 10}}, false},
		"of another change than that":      {[]porcupine.Operation{redeemed, at(5, 20, Rotate, "r1", Done, "a2", "r2"), early, again}, []crash{{8, 10}}, false},
	} {
		r := NewRecorder(false)
		r.operations, r.crashes = c.calls, c.crashes
		if err := r.Check(time.Minute); c.legal {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, "no order explains", name)
		}
	}
	r := NewRecorder(false)
	crashed := false
	r.Crash(func() { crashed = true })
	assert.True(t, crashed)
	assert.Len(t, r.crashes, 1)
}
