package forwarded

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server/jwk"
)

// CertificatesFunc returns the certificates that a client presented (RFC 8705): its own
// first, followed by the intermediate certificates. It returns none if the client presented none.
// Possession of the private key was proved when the connection was made. A nil
// CertificatesFunc uses the certificates of the connection.
type CertificatesFunc func(r *http.Request) []*x509.Certificate

// Of returns the certificates of a request. It returns none if the client's RSA key is shorter
// than 2048 bits.
func (f CertificatesFunc) Of(r *http.Request) []*x509.Certificate {
	var all []*x509.Certificate
	switch {
	case f != nil:
		all = f(r)
	case r.TLS != nil:
		all = r.TLS.PeerCertificates
	}
	if len(all) > 0 {
		if key, ok := all[0].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < jwk.MinRSABits {
			return nil
		}
	}
	return all
}

// ClientCertificates is for a program behind a proxy that terminates TLS. It
// returns a function that reads the certificates from a header, and only trusts the header if the
// request comes from one of the proxies. The header is either that of RFC 9440 (Client-Cert, with
// Client-Cert-Chain) or a URL-encoded PEM block. The proxies must remove the header from incoming
// requests.
func ClientCertificates(header string, proxies ...netip.Prefix) CertificatesFunc {
	return func(r *http.Request) []*x509.Certificate {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(from.Addr().Unmap()) }) {
			return nil
		}
		own := r.Header.Values(header)
		if len(own) != 1 {
			return nil
		}
		all := []*x509.Certificate{forwardedCertificate(own[0])}
		for _, line := range r.Header.Values(header + "-Chain") {
			for text := range strings.SplitSeq(line, ",") {
				all = append(all, forwardedCertificate(text))
			}
		}
		if slices.Contains(all, nil) {
			return nil
		}
		return all
	}
}

// forwardedCertificate parses one certificate, or returns nil.
func forwardedCertificate(text string) *x509.Certificate {
	text = strings.TrimSpace(text)
	var der []byte
	if inner, ok := strings.CutPrefix(text, ":"); ok { // a byte sequence (RFC 9440 section 2.1)
		inner, ended := strings.CutSuffix(inner, ":")
		decoded, err := base64.StdEncoding.DecodeString(inner)
		if err != nil || !ended {
			return nil
		}
		der = decoded
	} else if text, err := url.PathUnescape(text); err == nil {
		if block, _ := pem.Decode([]byte(text)); block != nil {
			der = block.Bytes
		}
	}
	certificate, _ := x509.ParseCertificate(der) // nil if it is none
	return certificate
}
