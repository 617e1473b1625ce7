package clientauth

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// TLSClientAuth is authentication by a client certificate that a certificate authority
// issued, and whose subject the client registered (RFC 8705 section 2.1). The program's TLS
// configuration must request certificates: tls.RequestClientCert. They are verified here.
type TLSClientAuth struct {
	// Roots are the certificate authorities whose certificates are trusted.
	Roots *x509.CertPool
}

// subjectMembers are the members of client metadata that name the subject of the client's
// certificate (RFC 8705 section 2.1.2), each with a function that reports whether a
// certificate has that subject.
var subjectMembers = map[string]func(certificate *x509.Certificate, value string) bool{
	"tls_client_auth_subject_dn": func(c *x509.Certificate, value string) bool {
		var name pkix.RDNSequence
		rest, err := asn1.Unmarshal(c.RawSubject, &name)
		return err == nil && len(rest) == 0 && len(name) > 0 && name.String() == strings.ReplaceAll(value, ", ", ",")
	},
	"tls_client_auth_san_dns": func(c *x509.Certificate, value string) bool {
		return slices.ContainsFunc(c.DNSNames, func(name string) bool { return strings.EqualFold(name, value) })
	},
	"tls_client_auth_san_uri": func(c *x509.Certificate, value string) bool {
		return slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == value })
	},
	"tls_client_auth_san_ip": func(c *x509.Certificate, value string) bool {
		ip := net.ParseIP(value)
		return ip != nil && slices.ContainsFunc(c.IPAddresses, ip.Equal)
	},
	"tls_client_auth_san_email": func(c *x509.Certificate, value string) bool { return slices.Contains(c.EmailAddresses, value) },
}

// AuthMethod returns "tls_client_auth".
func (*TLSClientAuth) AuthMethod() string { return models.TLSClientAuth }

// ImpliedByRegistration makes TLSClientAuth a [server.ImplicitAuthMethod].
func (*TLSClientAuth) ImpliedByRegistration() {}

// CheckConfig returns an error if Roots is missing.
func (m *TLSClientAuth) CheckConfig(*server.Config) error {
	if m.Roots == nil {
		return errors.New("clientauth: TLSClientAuth.Roots is missing: give the authorities whose certificates are trusted")
	}
	return nil
}

// ClientMetadataMembers returns the members that name the subject. A client has exactly one
// of them.
func (*TLSClientAuth) ClientMetadataMembers() (members []string) {
	for member := range subjectMembers {
		members = append(members, member)
	}
	return members
}

// CheckClientMetadata refuses a client that could not authenticate by this method.
func (*TLSClientAuth) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if metadata.TokenEndpointAuthMethod != models.TLSClientAuth {
		return nil
	}
	if _, _, ok := registeredSubject(metadata); !ok {
		return clientmeta.Invalid("tls_client_auth_subject_dn", string(metadata.Extra["tls_client_auth_subject_dn"]), "or another member of RFC 8705 section 2.1.2 must name the subject of the certificate; register exactly one of them, a string")
	}
	return nil
}

// registeredSubject returns the member by which the client names its subject. ok is false
// unless there is exactly one.
func registeredSubject(metadata *models.ClientMetadata) (member, value string, ok bool) {
	found := 0
	for name := range subjectMembers {
		if raw, given := metadata.Extra[name]; given {
			found++
			member = name
			if strictjson.Unmarshal(raw, &value) != nil || value == "" {
				return "", "", false
			}
		}
	}
	return member, value, found == 1
}

// Presented reports whether the request names a client, has no other credentials, and came
// with a client certificate.
func (*TLSClientAuth) Presented(req *server.Request) bool {
	return onlyNamesItself(req) && len(req.ClientCertificates()) > 0
}

// AuthenticateClient verifies the certificate.
func (m *TLSClientAuth) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	client, err := named(ctx, req, query)
	if err != nil {
		return nil, err
	}
	registered, err := registeredClient(client, models.TLSClientAuth)
	if err != nil {
		return nil, err
	}
	chain := req.ClientCertificates()
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{
		Roots: m.Roots, Intermediates: intermediates, CurrentTime: req.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return nil, &server.NotAuthenticated{Reason: reason.New("the certificate is not trusted", slog.String("fault", err.Error()))}
	}
	member, value, ok := registeredSubject(&registered.ClientMetadata)
	if !ok || !subjectMembers[member](chain[0], value) {
		return nil, &server.NotAuthenticated{Reason: reason.New("the subject of the certificate is not the one that the client registered",
			slog.String("subject", chain[0].Subject.String()), slog.String("registered_as", member), slog.String("registered_subject", value))}
	}
	return client, nil
}
