// Package history proves that what many clients were told is one story.
//
// A [Recorder] writes down every call with its start, its end and its answer.
// [Recorder.Check] then looks, for each grant, for an order of the calls in
// which each takes effect at one moment between its start and its end, and
// every answer is the one that a server alone in the world would have given.
// Where there is no such order, a credential was spent twice, a token lived
// after its revocation was acknowledged, an acknowledged token is missing, or a
// replay did not end its grant.
//
// A call whose outcome nobody knows (503, or a server that died) may have taken
// effect at any time after its start, or never.
package history
