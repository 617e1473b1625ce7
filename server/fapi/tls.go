package fapi

import "crypto/tls"

// TLSConfig returns the TLS configuration for a server, an API or a client (section 5.2,
// RFC 9325): TLS 1.3, or TLS 1.2 with the four cipher suites of RFC 9325 section 4.2. A
// server adds its certificate and, for mutual TLS, requests client certificates:
//
//	config := fapi.TLSConfig()
//	config.ClientAuth = tls.RequestClientCert
//	server := &http.Server{TLSConfig: config, Handler: mux}
func TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // for TLS 1.2; those of TLS 1.3 cannot be chosen, and are all secure
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		},
	}
}
