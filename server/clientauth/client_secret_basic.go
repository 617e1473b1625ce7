package clientauth

import (
	"context"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientSecretBasic is HTTP Basic authentication with the client id and secret (RFC 6749
// section 2.3.1).
type ClientSecretBasic struct{}

// AuthMethod returns "client_secret_basic".
func (ClientSecretBasic) AuthMethod() string { return models.ClientSecretBasic }

// Presented reports whether the request has a Basic Authorization header with a secret. A
// header without a secret is that of a public client; see [None].
func (ClientSecretBasic) Presented(req *server.Request) bool {
	scheme, _, _ := strings.Cut(req.HTTP.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Basic") && !hasEmptyBasic(req)
}

// hasEmptyBasic reports whether the request has a Basic header with a client id but no
// secret.
func hasEmptyBasic(req *server.Request) bool {
	_, secrets, ok := req.BasicCredentials()
	return ok && secrets == nil
}

// ClientMetadataMembers returns the member by which a client allows no other method than
// its registered one.
func (ClientSecretBasic) ClientMetadataMembers() []string {
	return []string{clientmeta.RequireAuthMethod}
}

// CheckClientMetadata checks that the member is a boolean.
func (ClientSecretBasic) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return clientmeta.CheckBool(metadata, clientmeta.RequireAuthMethod)
}

// AuthenticateClient checks the id and secret of the header. RFC 6749 requires them to be
// form-urlencoded first, but many clients send their secret unencoded, so both spellings
// are accepted.
func (ClientSecretBasic) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	clientID, secrets, ok := req.BasicCredentials()
	if !ok {
		return nil, &server.NotAuthenticated{Reason: reason.New("the Basic header is malformed")}
	}
	client, err := query(ctx, clientID)
	if err != nil {
		return nil, err
	}
	if err := req.CheckClientSecret(ctx, client, secrets...); err != nil {
		return nil, err
	}
	return client, nil
}
