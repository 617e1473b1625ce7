// Package e2e drives the example with a real browser, and with clients that
// this project did not write. It is a module of its own, so that nobody who uses
// the library depends on what drives one.
package e2e
