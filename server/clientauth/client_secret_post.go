package clientauth

import (
	"context"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientSecretPost is client id and secret in the body (RFC 6749 section
// 2.3.1).
type ClientSecretPost struct{}

// AuthMethod returns "client_secret_post".
func (ClientSecretPost) AuthMethod() string { return models.ClientSecretPost }

// Presented reports whether the body has a client_secret.
func (ClientSecretPost) Presented(req *server.Request) bool { return req.Params.Has("client_secret") }

// AuthenticateClient checks the id and secret of the body.
func (ClientSecretPost) AuthenticateClient(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
	client, err := query(ctx, req.Params.Get("client_id"))
	if err != nil || client == nil {
		return nil, err
	}
	good, err := req.CheckClientSecret(ctx, client, req.Params.Get("client_secret"))
	if err != nil || !good {
		return nil, err
	}
	return client, nil
}
