package clientauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// metadataOf returns what a client registered.
func metadataOf(client server.Client, method string) (*models.ClientMetadata, error) {
	registered, ok := client.(server.RegisteredClient)
	if !ok {
		return nil, fmt.Errorf("clientauth: %s needs what the client registered, which a %T does not tell: it must embed models.ClientMixin", method, client)
	}
	return &registered.AsClientMixin().ClientMetadata, nil
}

// inKeySet reports whether the client's key set has what is looked for. One that
// does not have it is fetched again: the key may be new.
func inKeySet(ctx context.Context, fetcher *fetch.Fetcher, metadata *models.ClientMetadata, has func(keySet []byte) bool) (bool, error) {
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
