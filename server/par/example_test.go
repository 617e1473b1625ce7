package par_test

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/server/par"
	"github.com/gormoauth/gormoauth/server/secret"
)

// Each pushed request is used once.
func ExampleStorage() {
	use := func(ctx context.Context, storage par.Storage, requestURI string) (bool, error) {
		return storage.UsePushedRequest(ctx, secret.Digest(requestURI), time.Now())
	}
	_ = use
}
