package clientauth

import (
	"context"
	"slices"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientSecretPost is authentication by the client id and secret in the body (RFC 6749
// section 2.3.1).
type ClientSecretPost struct{}

// AuthMethod returns "client_secret_post".
func (ClientSecretPost) AuthMethod() string { return models.ClientSecretPost }

// Presented reports whether the body has a client_secret. If it repeats the secret of the
// Basic header, it does not count as a second authentication, since several client
// libraries send both, unless server.Config.StrictClientSecretMethod is set.
func (ClientSecretPost) Presented(req *server.Request) bool {
	return req.Params.Has("client_secret") && (req.Server.GivenConfig().StrictClientSecretMethod || !repeatsHeader(req))
}

// repeatsHeader reports whether the body has the same credentials as the Basic header.
func repeatsHeader(req *server.Request) bool {
	clientID, secrets, ok := req.BasicCredentials()
	return ok && req.Params.Get("client_id") == clientID && slices.Contains(secrets, req.Params.Get("client_secret"))
}

// ClientMetadataMembers returns the member by which a client allows no other method than
// its registered one.
func (ClientSecretPost) ClientMetadataMembers() []string {
	return []string{clientmeta.RequireAuthMethod}
}

// CheckClientMetadata checks that the member is a boolean.
func (ClientSecretPost) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return clientmeta.CheckBool(metadata, clientmeta.RequireAuthMethod)
}

// AuthenticateClient checks the id and secret of the body.
func (ClientSecretPost) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	client, err := query(ctx, req.Params.Get("client_id"))
	if err != nil {
		return nil, err
	}
	if err := req.CheckClientSecret(ctx, client, req.Params.Get("client_secret")); err != nil {
		return nil, err
	}
	return client, nil
}
