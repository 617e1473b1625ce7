package clientauth

import (
	"context"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// None is the method of public clients, which send their client_id and no proof (RFC 6749
// section 2.1).
type None struct{}

// AuthMethod returns "none".
func (None) AuthMethod() string { return models.None }

// ImpliedByRegistration makes None a [server.ImplicitAuthMethod].
func (None) ImpliedByRegistration() {}

// Presented reports whether the request names a client, by client_id or by a Basic header
// without a secret, and has no credentials.
func (None) Presented(req *server.Request) bool { return onlyNamesItself(req) }

func onlyNamesItself(req *server.Request) bool {
	if req.Params.Has("client_secret") || req.Params.Has("client_assertion") {
		return false
	}
	if req.HTTP.Header.Get("Authorization") != "" {
		return hasEmptyBasic(req)
	}
	return req.Params.Has("client_id")
}

// AuthenticateClient returns the client that the request names.
func (None) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	return named(ctx, req, query)
}

// named returns the client that a request names, without any proof.
func named(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	client, err := query(ctx, req.ClaimedClientID())
	if err == nil && client == nil {
		err = &server.NotAuthenticated{Reason: req.WhyNoClient(reason.New("the client is unknown"))}
	}
	return client, err
}
