package fetch

import (
	"bytes"
	"context"
	"errors"
)

// InKeySet reports whether a client's key set, which it registered itself (jwks)
// or by its address (jwksURI), has what is looked for. A fetched one that does not
// have it is fetched again: the key may be new. For a nil Fetcher nothing is at an
// address.
func (f *Fetcher) InKeySet(ctx context.Context, jwks []byte, jwksURI string, has func(keySet []byte) bool) (bool, error) {
	if len(jwks) > 0 && string(bytes.TrimSpace(jwks)) != "null" { // a member that is null is left out
		return has(jwks), nil
	}
	if jwksURI == "" || f == nil {
		return false, nil
	}
	for _, get := range []func(context.Context, string) ([]byte, error){f.Get, f.Refresh} {
		keySet, err := get(ctx, jwksURI)
		if errors.Is(err, ErrRefused) {
			return false, nil // the client's own fault
		}
		if err != nil {
			return false, err
		}
		if has(keySet) {
			return true, nil
		}
	}
	return false, nil
}
