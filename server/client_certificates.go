package server

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
)

// ClientCertificatesFunc returns the certificates that a client presented (RFC 8705): its own
// first, followed by the intermediate certificates. It returns none if the client presented none.
// Possession of the private key was proved when the connection was made. A nil
// ClientCertificatesFunc uses the certificates of the connection.
type ClientCertificatesFunc func(r *http.Request) []*x509.Certificate

// Of returns the certificates of a request. It returns none if the client's RSA key is shorter
// than 2048 bits.
func (f ClientCertificatesFunc) Of(r *http.Request) []*x509.Certificate {
	var all []*x509.Certificate
	switch {
	case f != nil:
		all = f(r)
	case r.TLS != nil:
		all = r.TLS.PeerCertificates
	}
	if len(all) > 0 {
		if key, ok := all[0].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSABits {
			return nil
		}
	}
	return all
}

// ClientCertificates returns the certificates that the client presented, see
// Config.ClientCertificates.
func (r *Request) ClientCertificates() []*x509.Certificate {
	return r.Server.config.ClientCertificates.Of(r.HTTP)
}

// TrustForwardedClientCertificates is for a program behind a proxy that terminates TLS. It
// returns a function that reads the certificates from a header, and only trusts the header if the
// request comes from one of the proxies. The header is either that of RFC 9440 (Client-Cert, with
// Client-Cert-Chain) or a URL-encoded PEM block. The proxies must remove the header from incoming
// requests.
func TrustForwardedClientCertificates(header string, proxies ...netip.Prefix) ClientCertificatesFunc {
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
		inner, _ = strings.CutSuffix(inner, ":")
		der, _ = base64.StdEncoding.DecodeString(inner)
	} else if text, err := url.PathUnescape(text); err == nil {
		if block, _ := pem.Decode([]byte(text)); block != nil {
			der = block.Bytes
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return certificate
}
