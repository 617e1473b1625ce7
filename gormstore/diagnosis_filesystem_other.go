//go:build !linux

package gormstore

// onNetwork reports whether a file is known to be on another machine, which only
// Linux tells cheaply.
func onNetwork(string) bool { return false }
