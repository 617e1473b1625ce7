package server

import (
	"context"
	"errors"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// InKeySet reports whether a client's key set, which it registered as jwks or as
// jwks_uri, has what is looked for. A fetched one that does not have it is fetched
// again: the key may be new. Without a fetcher a jwks_uri has nothing.
func InKeySet(ctx context.Context, fetcher *fetch.Fetcher, metadata *models.ClientMetadata, has func(keySet []byte) bool) (bool, error) {
	if len(metadata.JWKs) > 0 {
		return has(metadata.JWKs), nil
	}
	if metadata.JWKsURI == "" || fetcher == nil {
		return false, nil
	}
	for _, get := range []func(context.Context, string) ([]byte, error){fetcher.Get, fetcher.Refresh} {
		keySet, err := get(ctx, metadata.JWKsURI)
		if errors.Is(err, fetch.ErrRefused) {
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
