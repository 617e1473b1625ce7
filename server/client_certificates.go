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

// ClientCertificatesFunc returns the certificates by which a client made itself
// known (RFC 8705): its own, then those between it and its authority; none when
// it presented none. That it has the key was proved when the connection was
// made. nil takes those of the connection.
type ClientCertificatesFunc func(r *http.Request) []*x509.Certificate

// Of returns the certificates of a request. One whose RSA key has less than 2048 bits
// counts as none.
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

// ClientCertificates returns the certificates by which the client made itself
// known, see [Config].
func (r *Request) ClientCertificates() []*x509.Certificate {
	return r.Server.config.ClientCertificates.Of(r.HTTP)
}

// TrustForwardedClientCertificates is for a program behind a proxy that ends
// TLS: it believes what the proxies, and nobody else, write into a header, be it
// as RFC 9440 has it (Client-Cert, and Client-Cert-Chain beside it) or as a
// PEM block in URL escapes. The proxies have to remove the header from whatever
// comes in.
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

// forwardedCertificate reads one certificate, or returns nil.
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
