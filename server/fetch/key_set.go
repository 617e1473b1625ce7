package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// InKeySet calls find with a client's key set, which is registered by value (jwks) or by
// URL (jwksURI). If find returns an error for a fetched key set, the key may be new, so it
// is fetched again; if that fails, the earlier key set is used, see [Fetcher.KeySet]. A nil
// Fetcher fetches nothing. An error that is the client's fault, including the last error of
// find, is an [ErrRefused].
func (f *Fetcher) InKeySet(ctx context.Context, jwks []byte, jwksURI string, find func(keySet []byte) error) error {
	if len(jwks) > 0 && string(bytes.TrimSpace(jwks)) != "null" { // a member that is null counts as omitted
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

// KeySet returns the key set (RFC 7517 section 5) at a URL. If there is none now, it
// returns the last one that was there, for up to [Options.KeepKeySetsFor]. Its errors are
// those of [Fetcher.Get].
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

// isKeySet reports whether a document is a JWK Set, without looking at the keys.
func isKeySet(document []byte) bool {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	return strictjson.Unmarshal(document, &set) == nil && set.Keys != nil
}

// notFound makes an error of find an ErrRefused.
func notFound(err error) error {
	if err == nil {
		return nil
	}
	return missingKey{err}
}

type missingKey struct{ error }

// Is reports whether target is ErrRefused.
func (missingKey) Is(target error) bool { return target == ErrRefused }

// Unwrap returns the reason.
func (m missingKey) Unwrap() error { return m.error }
