// Package attack has the example, a process of its own, serve honest clients at a
// steady rate and at random times, first alone and then beside attackers at other
// addresses of this machine: wrong secrets and passwords, guesses, replays,
// forgeries, floods, what is too large, and clients that are slow. It proves that
// every honest answer is right, that no attacker gets anything, and that the program
// comes back to what it was.
//
// The tests do it for a few seconds. The long form, which also compares how long
// honest clients wait with and without the attack, is
//
//	go test ./internal/attack -v -timeout 40m -for 10m
package attack
