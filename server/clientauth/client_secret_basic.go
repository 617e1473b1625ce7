package clientauth

import (
	"context"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientSecretBasic is HTTP Basic with client id and secret (RFC 6749 section
// 2.3.1).
type ClientSecretBasic struct{}

// AuthMethod returns "client_secret_basic".
func (ClientSecretBasic) AuthMethod() string { return models.ClientSecretBasic }

// Presented reports whether the request has a Basic Authorization header.
func (ClientSecretBasic) Presented(req *server.Request) bool {
	scheme, _, _ := strings.Cut(req.HTTP.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Basic")
}

// AuthenticateClient checks the id and secret of the header. RFC 6749 has them
// form-urlencoded first; many clients send their secret as it is, so that
// spelling of it counts, too.
func (ClientSecretBasic) AuthenticateClient(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
	rawID, rawSecret, ok := req.HTTP.BasicAuth()
	if !ok {
		return nil, nil
	}
	id, secret := decoded(rawID), decoded(rawSecret)
	if !storable(id) {
		return nil, nil
	}
	client, err := query(ctx, id)
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, nil
	}
	good, err := req.CheckClientSecret(ctx, client, secret)
	if err == nil && !good && secret != rawSecret {
		good, err = req.CheckClientSecret(ctx, client, rawSecret)
	}
	if err != nil || !good {
		return nil, err
	}
	return client, nil
}

func decoded(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}
