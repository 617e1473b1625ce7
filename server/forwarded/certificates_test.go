package forwarded_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server/forwarded"
)

// A certificate of a key that anybody could find proves nothing (RFC 7518 section 3.3).
func TestACertificateOfAShortKeyIsNone(t *testing.T) {
	for bits, want := range map[int]int{1024: 0, 2048: 1} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		require.NoError(t, err)
		certificate := &x509.Certificate{PublicKey: key.Public()}
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		assert.Len(t, forwarded.CertificatesFunc(nil).Of(r), want, "%d bits", bits)
		forwarded := forwarded.CertificatesFunc(func(*http.Request) []*x509.Certificate { return []*x509.Certificate{certificate} })
		assert.Len(t, forwarded.Of(r), want, "%d bits, behind a proxy", bits)
	}
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	assert.Empty(t, forwarded.CertificatesFunc(nil).Of(r), "no TLS")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{PublicKey: oauthtest.NewKey(t).Public()}}}
	assert.Len(t, forwarded.CertificatesFunc(nil).Of(r), 1, "an elliptic key")
}
