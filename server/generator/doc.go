// Package generator makes access tokens of kinds other than the default opaque ones.
package generator
