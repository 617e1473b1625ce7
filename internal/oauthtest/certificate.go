package oauthtest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// Certificate is a certificate with its key.
type Certificate struct {
	*x509.Certificate
	Key *ecdsa.PrivateKey
}

// NewCertificate returns a certificate that is valid at the provider's time,
// signed by the issuer, or by itself when that is nil.
func (p *Provider) NewCertificate(issuer *Certificate, change func(*x509.Certificate)) *Certificate {
	p.T.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	p.must(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "client", Organization: []string{"Example"}, Country: []string{"DE"}},
		NotBefore: p.Now.Add(-time.Hour), NotAfter: p.Now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	key := NewKey(p.T)
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	p.must(err)
	certificate, err := x509.ParseCertificate(der)
	p.must(err)
	return &Certificate{certificate, key}
}

// Authority makes a certificate one that may sign others.
func Authority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.Subject.CommonName, c.ExtKeyUsage = true, x509.KeyUsageCertSign, "authority", nil
}

// PostTLS posts to a path of the server's routes over a connection to which the
// client presented the certificates.
func (p *Provider) PostTLS(path, body string, chain []*Certificate, header ...string) Answer {
	p.T.Helper()
	r := p.newRequest(http.MethodPost, path, body, header)
	r.TLS = &tls.ConnectionState{}
	for _, c := range chain {
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c.Certificate)
	}
	return p.Serve(r)
}

// CallTLS is Call over such a connection.
func (p *Provider) CallTLS(accessToken string, chain ...*Certificate) Answer {
	p.T.Helper()
	r := httptest.NewRequestWithContext(p.T.Context(), http.MethodGet, "/api", strings.NewReader(""))
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.TLS = &tls.ConnectionState{}
	for _, c := range chain {
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c.Certificate)
	}
	return p.Do(p.Protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), r)
}
