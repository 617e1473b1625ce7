package server

import (
	"crypto/x509"
)

// ClientCertificates returns the certificates that the client presented, see
// Config.ClientCertificates.
func (r *Request) ClientCertificates() []*x509.Certificate {
	return r.Server.config.ClientCertificates.Of(r.HTTP)
}
