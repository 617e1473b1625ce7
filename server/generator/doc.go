// Package generator makes access tokens of other kinds than the engine's own.
package generator
