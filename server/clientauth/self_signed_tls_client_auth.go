package clientauth

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// SelfSignedTLSClientAuth is authentication by a self-signed client certificate that the
// client registered in its key set, as "x5c" (RFC 8705 section 2.2). The program's TLS
// configuration must request certificates: tls.RequestClientCert.
type SelfSignedTLSClientAuth struct {
	// Fetcher fetches the key sets of clients with a jwks_uri. nil refuses such clients.
	Fetcher *fetch.Fetcher
}

// AuthMethod returns "self_signed_tls_client_auth".
func (*SelfSignedTLSClientAuth) AuthMethod() string { return models.SelfSignedTLSClientAuth }

// ImpliedByRegistration makes SelfSignedTLSClientAuth a [server.ImplicitAuthMethod].
func (*SelfSignedTLSClientAuth) ImpliedByRegistration() {}

// ClientMetadataMembers returns nil: the key set members are those of RFC 7591.
func (*SelfSignedTLSClientAuth) ClientMetadataMembers() []string { return nil }

// CheckClientMetadata refuses a client that could not authenticate by this method.
func (m *SelfSignedTLSClientAuth) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if metadata.TokenEndpointAuthMethod != models.SelfSignedTLSClientAuth || metadata.JWKsURI != "" && m.Fetcher != nil {
		return nil
	}
	if !hasCertificate(metadata.JWKs, func(*x509.Certificate) bool { return true }) {
		return clientmeta.Invalid("jwks", "", "has no certificate: a client that authenticates by self_signed_tls_client_auth must register its own, as the member x5c of its keys")
	}
	return nil
}

// Presented reports whether the request names a client, has no other credentials, and came
// with a client certificate.
func (*SelfSignedTLSClientAuth) Presented(req *server.Request) bool {
	return onlyNamesItself(req) && len(req.ClientCertificates()) > 0
}

// AuthenticateClient checks that the certificate is in the client's key set.
func (m *SelfSignedTLSClientAuth) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	client, err := named(ctx, req, query)
	if err != nil {
		return nil, err
	}
	registered, err := registeredClient(client, models.SelfSignedTLSClientAuth)
	if err != nil {
		return nil, err
	}
	err = m.Fetcher.InKeySet(ctx, registered.ClientMetadata.JWKs, registered.ClientMetadata.JWKsURI, func(keySet []byte) error {
		if !hasCertificate(keySet, req.ClientCertificates()[0].Equal) {
			return errors.New("the key set does not have the certificate")
		}
		return nil
	})
	if errors.Is(err, fetch.ErrRefused) {
		return nil, &server.NotAuthenticated{Reason: reason.New("the certificate is not in the client's key set", slog.String("fault", err.Error()))}
	}
	if err != nil {
		return nil, err
	}
	return client, nil
}

// hasCertificate reports whether meant returns true for the certificate of a key in the key
// set.
func hasCertificate(keySet []byte, meant func(*x509.Certificate) bool) bool {
	keys, err := jwk.ParseSet(keySet)
	return err == nil && slices.ContainsFunc(keys.Keys, func(key jose.JSONWebKey) bool {
		return len(key.Certificates) > 0 && meant(key.Certificates[0])
	})
}
