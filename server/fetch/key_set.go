package fetch

import (
	"bytes"
	"context"
	"errors"
)

// InKeySet looks into a client's key set, which it registered itself (jwks) or by its
// address (jwksURI). A fetched one for which find returns an error is fetched again: the
// key may be new. For a nil Fetcher nothing is at an address. What is the client's own
// fault, the last error of find included, is an [ErrRefused].
func (f *Fetcher) InKeySet(ctx context.Context, jwks []byte, jwksURI string, find func(keySet []byte) error) error {
	if len(jwks) > 0 && string(bytes.TrimSpace(jwks)) != "null" { // a member that is null is left out
		return notFound(find(jwks))
	}
	switch {
	case jwksURI == "":
		return notFound(errors.New("the client has no key set"))
	case f == nil:
		return notFound(errors.New("the server does not fetch key sets"))
	}
	var missing error
	for _, get := range []func(context.Context, string) ([]byte, error){f.Get, f.Refresh} {
		keySet, err := get(ctx, jwksURI)
		if err != nil {
			return err
		}
		if missing = find(keySet); missing == nil {
			return nil
		}
	}
	return notFound(missing)
}

// notFound is why a key set does not have what was looked for.
func notFound(err error) error {
	if err == nil {
		return nil
	}
	return missingKey{err}
}

type missingKey struct{ error }

// Is makes it an ErrRefused.
func (missingKey) Is(target error) bool { return target == ErrRefused }

// Unwrap returns why.
func (m missingKey) Unwrap() error { return m.error }
