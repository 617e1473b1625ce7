// Package e2e drives the example with a real browser. It is a module of its
// own, so that nobody who uses the library depends on what drives one.
package e2e
