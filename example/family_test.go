package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// told is what a program was told.
type told struct {
	status int
	header http.Header
	body   map[string]any
}

func (a told) text(member string) string {
	text, _ := a.body[member].(string)
	return text
}

// ask sends a request; the header is "name", "value", …
func ask(t *testing.T, client *http.Client, method, target, body string, header ...string) (a told) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	a.status, a.header = response.StatusCode, response.Header
	_ = json.Unmarshal(text, &a.body) // not all have one
	return a
}

func basicHeader(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// register has a client register itself.
func register(t *testing.T, address string, metadata map[string]any) told {
	t.Helper()
	text, err := json.Marshal(metadata)
	require.NoError(t, err)
	a := ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/register", string(text), "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, a.status, a.body)
	return a
}

// dpop is a proof of the key for a request that goes with the token.
func dpop(t *testing.T, key *ecdsa.PrivateKey, method, target, token string) string {
	t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": target, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}}, claims)
}

// Every part of the family, as a client meets it.
func TestTheFamily(t *testing.T) {
	address := startProgram(t).address
	b := newBrowser(t, address)
	b.open(address + "/login")
	b.signIn("alice", "wonderland")
	// grant has alice grant what is asked for, and returns the answer.
	grant := func(query url.Values) url.Values {
		b.open(address + "/oauth/authorize?" + query.Encode())
		require.Equal(t, http.StatusOK, b.status, b.page)
		b.submit("confirm", url.Values{"confirm": {"yes"}})
		return b.at.Query()
	}
	verifier := oauth2.GenerateVerifier()
	request := func(clientID string, more ...string) url.Values {
		q := url.Values{"response_type": {"code"}, "client_id": {clientID}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"}}
		for i := 0; i+1 < len(more); i += 2 {
			q.Set(more[i], more[i+1])
		}
		return q
	}
	redeem := func(clientID, code string, header ...string) told {
		form := url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code}, "code_verifier": {verifier}}
		return ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/token", form.Encode(), header...)
	}
	key := oauthtest.NewKey(t)

	t.Run("a client that is known by its document", func(t *testing.T) {
		var clientID string
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"client_id": clientID, "client_name": "Visitor", "redirect_uris": []string{callback}})
		}))
		t.Cleanup(site.Close)
		clientID = site.URL + "/a/rather/long/path/to/the/metadata/document.json"
		b.open(address + "/oauth/authorize?" + request(clientID, "scope", "profile").Encode())
		assert.Contains(t, b.page, "Visitor")
		assert.Contains(t, b.page, "127.0.0.1:8081", "where it leads")
		assert.Contains(t, b.page, clientID, "and who it is")
		b.submit("confirm", url.Values{"confirm": {"yes"}})
		token := redeem(clientID, b.at.Query().Get("code"))
		status, body := me(t, address, token.text("access_token"))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, clientID, body["client_id"])
		b.open(address + "/")
	})
	t.Run("a payment", func(t *testing.T) {
		details := `[{"type":"payment","amount":"12.50","currency":"EUR","creditor":"Hatter & Sons"}]`
		b.open(address + "/oauth/authorize?" + request("demo-spa", "authorization_details", details).Encode())
		assert.Contains(t, b.page, "Pay 12.50 EUR to <bdi>Hatter &amp; Sons</bdi>")
		b.submit("confirm", url.Values{"confirm": {"yes"}})
		text, err := json.Marshal(redeem("demo-spa", b.at.Query().Get("code")).body["authorization_details"])
		require.NoError(t, err)
		assert.JSONEq(t, details, string(text))
		b.open(address + "/oauth/authorize?" + request("demo-spa", "authorization_details", strings.Replace(details, "12.50", "all", 1)).Encode())
		assert.Equal(t, "invalid_authorization_details", b.at.Query().Get("error"))
		codes := ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/device_authorization", url.Values{"client_id": {"demo-device"}, "authorization_details": {details}}.Encode())
		b.open(codes.text("verification_uri_complete"))
		b.submit("user_code", url.Values{"user_code": {codes.text("user_code")}})
		assert.Contains(t, b.page, "Pay 12.50 EUR", "nothing is hidden on a device, either")
	})
	t.Run("a token that is bound to a key", func(t *testing.T) {
		tokenURL, api := address+"/oauth/token", address+"/api/me"
		code := grant(request("demo-spa", "scope", "profile", "dpop_jkt", oauthtest.Thumbprint(t, key))).Get("code")
		token := redeem("demo-spa", code, "DPoP", dpop(t, key, http.MethodPost, tokenURL, ""))
		require.Equal(t, "DPoP", token.text("token_type"), token.body)
		access := token.text("access_token")
		called := ask(t, http.DefaultClient, http.MethodGet, api, "", "Authorization", "DPoP "+access, "DPoP", dpop(t, key, http.MethodGet, api, access))
		assert.Equal(t, "alice", called.text("username"), called.body)
		thief := oauthtest.NewKey(t)
		assert.Equal(t, http.StatusUnauthorized, ask(t, http.DefaultClient, http.MethodGet, api, "", "Authorization", "DPoP "+access, "DPoP", dpop(t, thief, http.MethodGet, api, access)).status)
		status, _ := me(t, address, access)
		assert.Equal(t, http.StatusUnauthorized, status)
	})
	t.Run("a token that is exchanged", func(t *testing.T) {
		subject := redeem("demo-spa", grant(request("demo-spa", "scope", "profile email")).Get("code"))
		gateway := []string{"Authorization", basicHeader("demo-gateway", "demo-gateway-secret")}
		own := ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/token", "grant_type=client_credentials", gateway...)
		form := url.Values{
			"grant_type": {tokenExchangeGrantType}, "subject_token": {subject.text("access_token")}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			"actor_token": {own.text("access_token")}, "actor_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "scope": {"profile"},
		}
		exchanged := ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/token", form.Encode(), gateway...)
		require.Equal(t, http.StatusOK, exchanged.status, exchanged.body)
		status, body := me(t, address, exchanged.text("access_token"))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "alice", body["username"])
		assert.Equal(t, "demo-gateway", body["client_id"])
		introspected := ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/introspect", "token="+exchanged.text("access_token"), gateway...)
		assert.Equal(t, "demo-gateway", introspected.body["act"].(map[string]any)["sub"])
		form.Set("audience", "elsewhere")
		assert.Equal(t, "invalid_target", ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/token", form.Encode(), gateway...).text("error"))
	})
	t.Run("a request that is signed and encrypted", func(t *testing.T) {
		client := register(t, address, map[string]any{
			"token_endpoint_auth_method": "private_key_jwt", "jwks": oauthtest.KeySet(t, key), "redirect_uris": []string{callback}, "require_signed_request_object": true,
		})
		id := client.text("client_id")
		claims := map[string]any{"iss": id, "aud": address, "exp": time.Now().Add(time.Minute).Unix(), "state": "signed", "scope": "profile"}
		for name, values := range request(id) {
			claims[name] = values[0]
		}
		object := oauthtest.SignJWT(t, key, jose.ES256, nil, claims)
		published := ask(t, http.DefaultClient, http.MethodGet, address+"/oauth/jwks", "")
		var keys jose.JSONWebKeySet
		text, err := json.Marshal(published.body)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &keys))
		for _, public := range keys.Keys {
			if public.Use != "enc" {
				continue
			}
			encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.KeyAlgorithm(public.Algorithm), Key: public.Key, KeyID: public.KeyID}, nil)
			require.NoError(t, err)
			encrypted, err := encrypter.Encrypt([]byte(object))
			require.NoError(t, err)
			object, err = encrypted.CompactSerialize()
			require.NoError(t, err)
		}
		assert.Equal(t, 4, strings.Count(object, "."), "it is encrypted")
		back := grant(url.Values{"client_id": {id}, "request": {object}, "state": {"forged"}})
		assert.Equal(t, "signed", back.Get("state"))
		assert.NotEmpty(t, back.Get("code"))
		b.open(address + "/oauth/authorize?" + request(id).Encode())
		assert.Equal(t, http.StatusBadRequest, b.status, "one that is not signed is refused")
		assert.Contains(t, b.page, "Back to 127.0.0.1:8081", "and leads there by a click alone: the client registered itself")
	})
	t.Run("a client that signs with its secret", func(t *testing.T) {
		client := register(t, address, map[string]any{"token_endpoint_auth_method": "client_secret_jwt", "redirect_uris": []string{callback}})
		id := client.text("client_id")
		assertion := oauthtest.SignJWT(t, []byte(client.text("client_secret")), jose.HS256, nil, map[string]any{"iss": id, "sub": id, "aud": address, "exp": time.Now().Unix() + 60, "jti": "1"})
		form := url.Values{
			"grant_type": {"authorization_code"}, "code": {grant(request(id)).Get("code")}, "code_verifier": {verifier},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
		}
		token := ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/token", form.Encode())
		assert.Equal(t, http.StatusOK, token.status, token.body)
	})
	t.Run("the metadata says what there is", func(t *testing.T) {
		metadata := ask(t, http.DefaultClient, http.MethodGet, address+"/.well-known/oauth-authorization-server", "").body
		for _, member := range []string{
			"introspection_endpoint", "revocation_endpoint", "registration_endpoint", "device_authorization_endpoint", "jwks_uri", "pushed_authorization_request_endpoint",
			"authorization_details_types_supported", "dpop_signing_alg_values_supported", "tls_client_certificate_bound_access_tokens",
			"request_object_signing_alg_values_supported", "request_object_encryption_alg_values_supported", "client_id_metadata_document_supported",
			"authorization_signing_alg_values_supported",
		} {
			assert.Contains(t, metadata, member)
		}
		assert.Contains(t, metadata["grant_types_supported"], tokenExchangeGrantType)
		for _, method := range []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "self_signed_tls_client_auth", "none"} {
			assert.Contains(t, metadata["token_endpoint_auth_methods_supported"], method)
		}
		assert.NotContains(t, metadata["token_endpoint_auth_methods_supported"], "tls_client_auth", "no authority was named")
	})
}

// What another issuer says of a user is good for a token of that user.
func TestAnotherIssuerIsTrusted(t *testing.T) {
	key := oauthtest.NewKey(t)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(oauthtest.KeySet(t, key)) }))
	t.Cleanup(keys.Close)
	address := startProgram(t, "-trusted-issuer", "https://other.example", "-trusted-keys", keys.URL).address
	says := func(key *ecdsa.PrivateKey, subject string) string {
		return oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"kid": "1"}, map[string]any{
			"iss": "https://other.example", "sub": subject, "aud": address, "exp": time.Now().Unix() + 60, "jti": rand.Text(), "scope": "profile",
		})
	}
	gateway := []string{"Authorization", basicHeader("demo-gateway", "demo-gateway-secret")}
	token := func(form url.Values) told {
		return ask(t, http.DefaultClient, http.MethodPost, address+"/oauth/token", form.Encode(), gateway...)
	}
	bearer := func(assertion string) told {
		return token(url.Values{"grant_type": {jwtBearerGrantType}, "assertion": {assertion}, "scope": {"profile"}})
	}
	for how, a := range map[string]told{
		"by the JWT bearer grant": bearer(says(key, "alice")),
		"by token exchange": token(url.Values{
			"grant_type": {tokenExchangeGrantType}, "subject_token": {says(key, "alice")}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		}),
	} {
		require.Equal(t, http.StatusOK, a.status, "%s: %v", how, a.body)
		status, body := me(t, address, a.text("access_token"))
		assert.Equal(t, http.StatusOK, status, how)
		assert.Equal(t, "alice", body["username"], how)
	}
	assert.Equal(t, "invalid_grant", bearer(says(key, "nobody")).text("error"))
	assert.Equal(t, "invalid_grant", bearer(says(oauthtest.NewKey(t), "alice")).text("error"))
}

// writePEM writes a certificate of a new key, and the key.
func writePEM(t *testing.T, dir, name string, change func(*x509.Certificate)) (certFile, keyFile string) {
	t.Helper()
	key := oauthtest.NewKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}

// A client that authenticates by its certificate, and whose tokens are bound to
// it.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePEM(t, dir, "server", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	clientCert, clientKey := writePEM(t, dir, "client", func(c *x509.Certificate) { c.DNSNames = []string{"client.example"} })
	address := startProgram(t, "-tls-cert", certFile, "-tls-key", keyFile, "-client-ca", clientCert).address
	require.True(t, strings.HasPrefix(address, "https://"), address)
	roots, err := readCertificates(certFile)
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	require.NoError(t, err)
	with := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	without := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(func() { with.CloseIdleConnections(); without.CloseIdleConnections() })

	token := func(client *http.Client, id string) told {
		return ask(t, client, http.MethodPost, address+"/oauth/token", url.Values{
			"grant_type": {deviceCodeGrantType}, "client_id": {id}, "device_code": {"x"},
		}.Encode())
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: pair.Leaf.PublicKey, Certificates: []*x509.Certificate{pair.Leaf}}}})
	require.NoError(t, err)
	for _, metadata := range []map[string]any{
		{"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "client.example"},
		{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": json.RawMessage(text)},
	} {
		metadata["grant_types"] = []string{deviceCodeGrantType}
		metadata["tls_client_certificate_bound_access_tokens"] = true
		body, err := json.Marshal(metadata)
		require.NoError(t, err)
		client := ask(t, without, http.MethodPost, address+"/oauth/register", string(body), "Content-Type", "application/json")
		require.Equal(t, http.StatusCreated, client.status, client.body)
		assert.Equal(t, "invalid_client", token(without, client.text("client_id")).text("error"))
		assert.Equal(t, "invalid_grant", token(with, client.text("client_id")).text("error"), "the client is who it says, and its code is none")
	}
	metadata := ask(t, without, http.MethodGet, address+"/.well-known/oauth-authorization-server", "").body
	assert.Contains(t, metadata["token_endpoint_auth_methods_supported"], "tls_client_auth")
}
