package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The same program keeps to the FAPI 2.0 Security Profile. A client of the profile goes
// through it in e2e/node/fapi.js.
func TestFAPI(t *testing.T) {
	b := startProgram(t, "-fapi").visit(t)
	b.get("/login").want(t, http.StatusOK, "Sign in")
	b.get("/.well-known/openid-configuration").want(t, http.StatusOK, `"require_pushed_authorization_requests":true`, `"response_types_supported":["code"]`)
	b.tokenRequest(demoService.id, demoService.secret, form("grant_type", "client_credentials")).want(t, http.StatusUnauthorized, "invalid_client")
	// A client with a secret is none of the profile, and is not made.
	b.get(authorizePath("demo-web")).want(t, http.StatusBadRequest, "invalid_client")
}

// The profile holds at the API and in TLS as well as at the token endpoint: TLS 1.2 has
// no suite with CBC, and proofs by RS256 open nothing.
func TestFAPIHoldsAtTheAPIAndInTLS(t *testing.T) {
	certFile, keyFile := writePEM(t, t.TempDir(), "server", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	roots, err := readCertificates(certFile)
	require.NoError(t, err)
	with := func(args []string, suites ...uint16) (told, error) {
		address := startProgram(t, append(args, "-tls-cert", certFile, "-tls-key", keyFile)...).address
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: suites}}}
		t.Cleanup(client.CloseIdleConnections)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/healthz", http.NoBody)
		require.NoError(t, err)
		answer, err := client.Do(request)
		if err != nil {
			return told{}, err
		}
		_ = answer.Body.Close()
		return ask(t, client, http.MethodGet, address+"/api/me", ""), nil
	}
	_, err = with([]string{"-fapi"}, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA)
	require.Error(t, err, "CBC")
	_, err = with(nil, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA)
	require.NoError(t, err, "without the profile everything that Go takes")
	refused, err := with([]string{"-fapi"}, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
	require.NoError(t, err)
	assert.Equal(t, http.StatusUnauthorized, refused.status)
	assert.Contains(t, strings.Join(refused.header.Values("WWW-Authenticate"), "\n"), `algs="PS256 ES256 EdDSA"`)
}
