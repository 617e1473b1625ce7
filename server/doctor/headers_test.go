package doctor_test

import (
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/doctor"
	"github.com/gormoauth/gormoauth/server/finding"
)

// A header that is trusted from one network of strangers, or by one of the names that proxies
// give it, is found.
func TestEveryHeaderOfAProxyIsTried(t *testing.T) {
	strangers := []string{"192.0.2.77:443", "198.51.100.77:443", "203.0.113.77:443", "[2001:db8::77]:443"}
	trusting := func(stranger, header string) func(r *http.Request) bool {
		return func(r *http.Request) bool { return r.RemoteAddr == stranger && r.Header.Get(header) != "" }
	}
	for _, stranger := range strangers {
		for _, header := range []string{
			"X-Forwarded-For", "Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fly-Client-Ip", "X-Envoy-External-Address",
		} {
			trusts := trusting(stranger, header)
			s := newServer(t, func(c *server.Config) {
				c.RemoteAddress = func(r *http.Request) string {
					if trusts(r) {
						return "192.0.2.99"
					}
					return r.RemoteAddr
				}
			})
			assert.Equal(t, []string{"forwarded_address"}, checks(t, doctor.Program{TLS: true}.Diagnose(t.Context(), s)), "%s from %s", header, stranger)
		}
		for _, header := range []string{
			"Client-Cert", "X-Client-Cert", "X-Ssl-Cert", "X-Ssl-Client-Cert", "Ssl-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
			"X-Client-Certificate", "X-Arr-Clientcert",
		} {
			trusts := trusting(stranger, header)
			s := newServer(t, func(c *server.Config) {
				c.ClientCertificates = func(r *http.Request) []*x509.Certificate {
					if trusts(r) {
						return []*x509.Certificate{{}}
					}
					return nil
				}
			})
			assert.Equal(t, []string{"client_certificates"}, checks(t, doctor.Program{TLS: true}.Diagnose(t.Context(), s)), "%s from %s", header, stranger)
		}
	}
}

// naming has a URL of the program's own in the metadata.
type naming struct{ member, address string }

func (n naming) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata[n.member] = n.address
}

// What the metadata names is asked for if it is this program's, whoever serves it.
func TestWhatElseTheMetadataNamesIsServed(t *testing.T) {
	for _, c := range []struct {
		naming

		found []string
	}{
		{naming{"own_endpoint", "https://id.example/own"}, []string{"https://id.example/own"}},
		{naming{"jwks_uri", "https://id.example/keys"}, []string{"https://id.example/keys"}},
		{naming{"own_endpoint", "https://other.example/own"}, nil},
		{naming{"own_page", "https://id.example/own"}, nil},
	} {
		s := newServer(t)
		p := program(s, nil)
		require.NoError(t, s.Register(c.naming))
		var found []string
		for _, one := range p.Diagnose(t.Context(), s) {
			assert.Equal(t, "endpoint_served", one.Check)
			found = append(found, one.Where)
		}
		assert.Equal(t, c.found, found, c.naming)
	}
}

// What is not served is named in the order of the addresses, each once.
func TestWhatIsNotServedIsInOrder(t *testing.T) {
	s := newServer(t)
	p := doctor.Program{Handler: http.NotFoundHandler(), TLS: true}
	var found []string
	for _, one := range p.Diagnose(t.Context(), s) {
		found = append(found, one.Where)
	}
	assert.Greater(t, len(found), 3)
	assert.True(t, slices.IsSorted(found), found)
	assert.Len(t, slices.Compact(found), len(found))
}

// A certificate is found two weeks before its end.
func TestWhenACertificateEndsSoon(t *testing.T) {
	const twoWeeks = 14 * 24 * time.Hour
	o := newOutside(t, nil)
	for left, found := range map[time.Duration]bool{twoWeeks: false, twoWeeks - time.Second: true, time.Hour: true} {
		o.now = o.Certificate().NotAfter.Add(-left)
		ends := func(one finding.Finding) bool {
			return one.Check == "certificate" && strings.Contains(one.Problem, o.Certificate().NotAfter.UTC().Format(time.RFC3339))
		}
		assert.Equal(t, found, slices.ContainsFunc(o.diagnose(t), ends), left)
	}
}
