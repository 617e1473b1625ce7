package history

import "fmt"

// Op is what a client asks for.
type Op string

// The calls of one grant.
const (
	Redeem   Op = "redeem"   // exchange the grant's code
	Rotate   Op = "rotate"   // exchange a refresh token
	Revoke   Op = "revoke"   // end the grant, by any of its refresh tokens
	Withdraw Op = "withdraw" // revoke one access token
	Validate Op = "validate" // use an access token
	Exchange Op = "exchange" // have another client exchange an access token (RFC 8693)
	Mark     Op = "mark"     // the first step of End: what is exchanged in the grant may be refused from then on
	End      Op = "end"      // end the grant with all that came of it, by its user, its client or a consent
)

// Outcome is what the client learned.
type Outcome string

// The outcomes. What is not done is refused, and says so.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	Unknown Outcome = "unknown"
)

// Call is a question about one grant. Token is the refresh token of Rotate and
// Revoke, the access token of Withdraw, Validate and Exchange.
type Call struct {
	Grant int
	Op    Op
	Token string
}

// Answer is what came back. Redeem and Rotate that are done bring tokens.
type Answer struct {
	Outcome         Outcome
	Access, Refresh string
}

func describe(input, output any) string {
	call, answer := input.(Call), output.(Answer)
	text := fmt.Sprintf("%s(%s) = %s", call.Op, short(call.Token), answer.Outcome)
	if answer.Access != "" {
		text += fmt.Sprintf(" access %s refresh %s", short(answer.Access), short(answer.Refresh))
	}
	return text
}

// short keeps enough of a token to tell it from others.
func short(token string) string {
	const start, length = 7, 6 // behind the prefix
	if len(token) < start+length {
		return token
	}
	return token[start : start+length]
}
