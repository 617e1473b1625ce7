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
	"github.com/gormoauth/gormoauth/server/fetch"
)

// SelfSignedTLSClientAuth is a client certificate that the client made itself
// and registered in its key set, as "x5c" (RFC 8705 section 2.2). The program's
// TLS settings have to ask for certificates: tls.RequestClientCert.
type SelfSignedTLSClientAuth struct {
	// Fetcher gets the key sets of clients with a jwks_uri; nil refuses such
	// clients.
	Fetcher *fetch.Fetcher
}

// AuthMethod returns "self_signed_tls_client_auth".
func (*SelfSignedTLSClientAuth) AuthMethod() string { return models.SelfSignedTLSClientAuth }

// ImpliedByRegistration makes it a [server.ImplicitAuthMethod].
func (*SelfSignedTLSClientAuth) ImpliedByRegistration() {}

// ClientMetadataMembers returns nothing: key sets are in RFC 7591.
func (*SelfSignedTLSClientAuth) ClientMetadataMembers() []string { return nil }

// CheckClientMetadata refuses a client that could not authenticate.
func (m *SelfSignedTLSClientAuth) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if metadata.TokenEndpointAuthMethod != models.SelfSignedTLSClientAuth || metadata.JWKsURI != "" && m.Fetcher != nil {
		return nil
	}
	if !hasCertificate(metadata.JWKs, func(*x509.Certificate) bool { return true }) {
		return server.InvalidMember("jwks", "", "has no certificate: a client that authenticates by self_signed_tls_client_auth registers its own, as the member x5c of its keys")
	}
	return nil
}

// Presented reports whether the client names itself, and presented a
// certificate.
func (*SelfSignedTLSClientAuth) Presented(req *server.Request) bool {
	return onlyNamesItself(req) && len(req.ClientCertificates()) > 0
}

// AuthenticateClient looks the certificate up in the client's key set.
func (m *SelfSignedTLSClientAuth) AuthenticateClient(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
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
			return errors.New("the key set has another certificate, or none")
		}
		return nil
	})
	if errors.Is(err, fetch.ErrRefused) {
		return nil, &server.NotAuthenticated{Reason: server.NewReason("the certificate is not in the client's key set", slog.String("fault", err.Error()))}
	}
	if err != nil {
		return nil, err
	}
	return client, nil
}

// hasCertificate reports whether the certificate of one of the keys of a key set is
// meant.
func hasCertificate(keySet []byte, meant func(*x509.Certificate) bool) bool {
	keys, err := server.ParseKeySet(keySet)
	return err == nil && slices.ContainsFunc(keys.Keys, func(key jose.JSONWebKey) bool {
		return len(key.Certificates) > 0 && meant(key.Certificates[0])
	})
}
