// Package soak has whole programs, each a process of its own, serve many clients
// while processes, databases, disks and clocks fail under them, and proves by
// their history that no credential was spent twice, nothing that was
// acknowledged was lost, and no token outlived its revocation.
//
// The tests run each scenario for a few seconds. The long form is
//
//	go test ./internal/engines/soak -v -timeout 30m -for 1m
package soak
