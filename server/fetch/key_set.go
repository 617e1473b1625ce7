package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// InKeySet looks into a client's key set, which it registered itself (jwks) or by its
// address (jwksURI). A fetched one for which find returns an error is fetched again: the
// key may be new; what then fails takes nothing away, see [Fetcher.KeySet]. For a nil Fetcher nothing is at an address. What is the client's own
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
	for _, request := range []Request{{}, f.again()} {
		keySet, err := f.keySet(ctx, jwksURI, request)
		if err != nil {
			return err
		}
		if missing = find(keySet); missing == nil {
			return nil
		}
	}
	return notFound(missing)
}

// KeySet returns the key set (RFC 7517 section 5) at an address: where the address has none
// now, the last one that it had, for [Options.KeepKeySetsFor]. Its errors are those of
// [Fetcher.Get].
func (f *Fetcher) KeySet(ctx context.Context, address string) ([]byte, error) {
	return f.keySet(ctx, address, Request{})
}

func (f *Fetcher) keySet(ctx context.Context, address string, request Request) ([]byte, error) {
	found, err := f.find(ctx, address, request)
	if err != nil {
		return nil, err
	}
	if found.keySet != nil && f.options.Clock().Sub(found.keySetAt) <= f.options.KeepKeySetsFor {
		return found.keySet, nil
	}
	return found.document.Body, found.err
}

// isKeySet reports whether a document is a JWK Set, whatever the keys are.
func isKeySet(document []byte) bool {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	return strictjson.Unmarshal(document, &set) == nil && set.Keys != nil
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
