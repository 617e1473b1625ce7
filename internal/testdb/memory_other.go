//go:build !linux

package testdb

// inMemory returns onDisk: no file system in memory is looked for.
func inMemory() string { return onDisk }
