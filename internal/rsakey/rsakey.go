// Package rsakey makes RSA keys, for which tests may have others made before: each takes about half a
// second.
package rsakey

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
)

type key struct{}

// From returns a context in which keys come from a function.
func From(ctx context.Context, keys func(bits int) (*rsa.PrivateKey, error)) context.Context {
	return context.WithValue(ctx, key{}, keys)
}

// New returns a key of so many bits, from the function of [From] if the context has one.
func New(ctx context.Context, bits int) (*rsa.PrivateKey, error) {
	if keys, ok := ctx.Value(key{}).(func(bits int) (*rsa.PrivateKey, error)); ok {
		return keys(bits)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}
