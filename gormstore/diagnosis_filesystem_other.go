//go:build !linux

package gormstore

// onNetwork reports whether a file is known to be on a network file system, which only
// Linux can tell cheaply.
func onNetwork(string) bool { return false }
