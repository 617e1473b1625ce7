package clientauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/grant"
)

// withSubject is a client whose certificate is about the subject.
func withSubject(member, value string) func(*oauthtest.Client) {
	return oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		text, _ := json.Marshal(value)
		c.ClientMetadata.TokenEndpointAuthMethod = models.TLSClientAuth
		c.ClientMetadata.Extra = map[string]json.RawMessage{member: text}
	})
}

// withCertificate is a client that registered its own certificates.
func withCertificate(t *testing.T, certificates ...*oauthtest.Certificate) json.RawMessage {
	t.Helper()
	var keys jose.JSONWebKeySet
	for _, c := range certificates {
		keys.Keys = append(keys.Keys, jose.JSONWebKey{Key: c.PublicKey, Certificates: []*x509.Certificate{c.Certificate}})
	}
	text, err := json.Marshal(keys)
	require.NoError(t, err)
	return text
}

func selfSigned(keys json.RawMessage, uri string) func(*oauthtest.Client) {
	return oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs, c.ClientMetadata.JWKsURI = models.SelfSignedTLSClientAuth, keys, uri
	})
}

func itself(client *oauthtest.Client) string {
	return "grant_type=client_credentials&client_id=" + client.ClientID
}

func TestTLSClientAuth(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		root := p.NewCertificate(nil, oauthtest.Authority)
		intermediate := p.NewCertificate(root, oauthtest.Authority)
		method := &clientauth.TLSClientAuth{Roots: x509.NewCertPool()}
		method.Roots.AddCert(root.Certificate)
		require.NoError(t, p.Server.RegisterClientAuthMethod(method, &clientauth.SelfSignedTLSClientAuth{}))
		uri, err := url.Parse("spiffe://example/client")
		require.NoError(t, err)
		named := func(c *x509.Certificate) {
			c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs = []string{"client.example"}, []string{"c@client.example"}, []net.IP{net.ParseIP("2001:db8::1")}, []*url.URL{uri}
		}
		good := p.NewCertificate(root, named)

		t.Run("by each kind of subject", func(t *testing.T) {
			for member, values := range map[string][2]string{
				"tls_client_auth_subject_dn": {"CN=client, O=Example, C=DE", "CN=client,O=Other,C=DE"},
				"tls_client_auth_san_dns":    {"client.example", "example"},
				"tls_client_auth_san_uri":    {"spiffe://example/client", "spiffe://example/other"},
				"tls_client_auth_san_ip":     {"2001:DB8:0::1", "2001:db8::2"},
				"tls_client_auth_san_email":  {"c@client.example", "d@client.example"},
			} {
				assert.Equal(t, http.StatusOK, p.PostTLS("/oauth/token", itself(p.NewClient(withSubject(member, values[0]))), []*oauthtest.Certificate{good}).Status, member)
				assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(p.NewClient(withSubject(member, values[1]))), []*oauthtest.Certificate{good}).Body["error"], member)
			}
		})
		client := p.NewClient(withSubject("tls_client_auth_san_dns", "client.example"))
		t.Run("whose certificates count", func(t *testing.T) {
			stranger := p.NewCertificate(nil, oauthtest.Authority)
			below := p.NewCertificate(intermediate, named)
			for rule, chain := range map[string][]*oauthtest.Certificate{
				"of somebody else's authority": {p.NewCertificate(stranger, named), stranger},
				"of its own":                   {p.NewCertificate(nil, named)},
				"expired":                      {p.NewCertificate(root, func(c *x509.Certificate) { named(c); c.NotAfter = p.Now.Add(-time.Minute) })},
				"not valid yet":                {p.NewCertificate(root, func(c *x509.Certificate) { named(c); c.NotBefore = p.Now.Add(time.Minute) })},
				"for servers": {p.NewCertificate(root, func(c *x509.Certificate) {
					named(c)
					c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
				})},
				"with a gap in the chain":        {below},
				"signed by what is no authority": {p.NewCertificate(good, named), good},
				"none":                           nil,
			} {
				a := p.PostTLS("/oauth/token", itself(client), chain)
				assert.Equal(t, server.InvalidClient, a.Body["error"], rule)
				assert.Equal(t, http.StatusBadRequest, a.Status, rule)
			}
			assert.Equal(t, http.StatusOK, p.PostTLS("/oauth/token", itself(client), []*oauthtest.Certificate{below, intermediate}).Status)
		})
		t.Run("a certificate is not what others authenticate by", func(t *testing.T) {
			chain := []*oauthtest.Certificate{good}
			web, public := p.NewClient(oauthtest.Grants("client_credentials")), p.NewClient(oauthtest.Public)
			assert.Equal(t, http.StatusOK, p.PostTLS("/oauth/token", "grant_type=client_credentials", chain, basic(web.ClientID, web.Secret)...).Status, "it may come with a secret")
			assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(web), chain).Body["error"], "and not in its place")
			assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", "grant_type=client_credentials&client_id=nobody", chain).Body["error"])
			code := p.Code(public, "")
			assert.Equal(t, http.StatusOK, p.PostTLS("/oauth/token", "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code+"&client_id="+public.ClientID, chain).Status, "a public client may have one")
			assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(client), nil).Body["error"], "a client of certificates is not public")
			assert.Equal(t, server.InvalidRequest, p.PostTLS("/oauth/token", "grant_type=client_credentials&client_id="+client.ClientID, chain, basic(web.ClientID, web.Secret)...).Body["error"])
		})
		t.Run("a subject is named exactly once", func(t *testing.T) {
			for rule, extra := range map[string]map[string]json.RawMessage{
				"none":  nil,
				"two":   {"tls_client_auth_san_dns": json.RawMessage(`"client.example"`), "tls_client_auth_san_ip": json.RawMessage(`"2001:db8::1"`)},
				"empty": {"tls_client_auth_san_dns": json.RawMessage(`""`)}, "no text": {"tls_client_auth_san_dns": json.RawMessage(`1`)},
			} {
				metadata := &models.ClientMetadata{TokenEndpointAuthMethod: models.TLSClientAuth, Extra: extra}
				require.Error(t, method.CheckClientMetadata(t.Context(), nil, metadata), rule)
				row := p.StoreClient(func(c *oauthtest.Client) { c.ClientMetadata = *metadata })
				assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(row), []*oauthtest.Certificate{good}).Body["error"], rule)
			}
		})
	})
}

func TestSelfSignedTLSClientAuth(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	one, two, stranger := p.NewCertificate(nil, nil), p.NewCertificate(nil, nil), p.NewCertificate(nil, nil)
	keySet := withCertificate(t, one)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keySet) }))
	t.Cleanup(keys.Close)
	method := &clientauth.SelfSignedTLSClientAuth{Fetcher: fetch.New(fetch.Options{AllowPrivateAddresses: true})}
	require.NoError(t, p.Server.RegisterClientAuthMethod(method))
	for _, client := range []*oauthtest.Client{p.NewClient(selfSigned(withCertificate(t, two, one), "")), p.NewClient(selfSigned(nil, keys.URL))} {
		assert.Equal(t, http.StatusOK, p.PostTLS("/oauth/token", itself(client), []*oauthtest.Certificate{one}).Status)
		assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(client), []*oauthtest.Certificate{stranger}).Body["error"])
		assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(client), []*oauthtest.Certificate{stranger, one}).Body["error"], "the first one counts")
		assert.Equal(t, server.InvalidClient, p.PostTLS("/oauth/token", itself(client), nil).Body["error"])
	}
	for rule, metadata := range map[string]models.ClientMetadata{
		"no keys": {}, "keys without certificates": {JWKs: oauthtest.KeySet(t, one.Key)}, "no key set": {JWKs: json.RawMessage(`[]`)},
	} {
		metadata.TokenEndpointAuthMethod = models.SelfSignedTLSClientAuth
		require.Error(t, method.CheckClientMetadata(t.Context(), nil, &metadata), rule)
	}
}

func TestCertificateBoundTokens(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		bound := &grant.CertificateBoundTokens{EndpointAliases: map[string]string{"token_endpoint": "https://mtls.id.example/oauth/token"}}
		require.NoError(t, p.Server.Register(bound))
		require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.SelfSignedTLSClientAuth{}))
		one, two := p.NewCertificate(nil, nil), p.NewCertificate(nil, nil)
		asks := func(c *oauthtest.Client) {
			c.ClientMetadata.Extra = map[string]json.RawMessage{"tls_client_certificate_bound_access_tokens": json.RawMessage("true")}
		}
		service := p.NewClient(oauthtest.All(selfSigned(withCertificate(t, one, two), ""), asks))
		token := p.PostTLS("/oauth/token", itself(service), []*oauthtest.Certificate{one}).Body["access_token"]
		assert.Equal(t, http.StatusOK, p.CallTLS(token, one).Status)
		assert.Equal(t, http.StatusUnauthorized, p.CallTLS(token, two).Status, "another certificate of the same client")
		assert.Equal(t, http.StatusUnauthorized, p.CallTLS(token).Status)
		assert.False(t, p.Valid(token), "nor without TLS")
		var row oauthtest.Token
		require.NoError(t, db.Last(&row).Error)
		assert.JSONEq(t, cnf.OfCertificate(one.Certificate), row.Confirmation)
		assert.Contains(t, row.Confirmation, "x5t#S256")

		spa := p.NewClient(oauthtest.All(oauthtest.Public, asks))
		redeem := "grant_type=authorization_code&code_verifier=" + oauthtest.Verifier + "&client_id=" + spa.ClientID + "&code="
		assert.Equal(t, server.InvalidRequest, p.PostTLS("/oauth/token", redeem+p.Code(spa, ""), nil).Body["error"], "who asks for bound tokens gets no others")
		refresh := p.PostTLS("/oauth/token", redeem+p.Code(spa, ""), []*oauthtest.Certificate{one}).Body["refresh_token"]
		again := func(chain ...*oauthtest.Certificate) oauthtest.Answer {
			return p.PostTLS("/oauth/token", "grant_type=refresh_token&refresh_token="+refresh+"&client_id="+spa.ClientID, chain)
		}
		assert.Equal(t, server.InvalidGrant, again(two).Body["error"], "a public client's refresh token is bound")
		assert.Equal(t, http.StatusOK, again(one).Status)

		plain := p.NewClient(selfSigned(withCertificate(t, one), ""))
		assert.True(t, p.Valid(p.PostTLS("/oauth/token", itself(plain), []*oauthtest.Certificate{one}).Body["access_token"]), "who does not ask gets a bearer token")
		bound.EveryClient = true
		assert.False(t, p.Valid(p.PostTLS("/oauth/token", itself(plain), []*oauthtest.Certificate{one}).Body["access_token"]))

		web := p.NewClient(nil)
		bearerHeader := basic(web.ClientID, web.Secret)
		first := p.PostTLS("/oauth/token", "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+p.Code(web, ""), []*oauthtest.Certificate{one}, bearerHeader...)
		next := func(chain ...*oauthtest.Certificate) oauthtest.Answer {
			return p.PostTLS("/oauth/token", "grant_type=refresh_token&refresh_token="+first.Body["refresh_token"], chain, bearerHeader...)
		}
		assert.Equal(t, server.InvalidGrant, next().Body["error"], "what is bound stays so")
		assert.Equal(t, http.StatusOK, next(two).Status, "and a confidential client may change its certificate")

		document := p.Get("/.well-known/oauth-authorization-server").Body
		assert.Equal(t, "true", document["tls_client_certificate_bound_access_tokens"])
		assert.JSONEq(t, `{"token_endpoint":"https://mtls.id.example/oauth/token"}`, document["mtls_endpoint_aliases"])
		assert.Contains(t, document["token_endpoint_auth_methods_supported"], "self_signed_tls_client_auth")
	})
}

func TestForwardedCertificates(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	one, two := p.NewCertificate(nil, nil), p.NewCertificate(nil, nil)
	certificates := forwarded.ClientCertificates("Client-Cert", netip.MustParsePrefix("192.0.2.0/24"))
	rfc9440 := func(c *oauthtest.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }
	escaped := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw})))
	for _, row := range []struct {
		rule, from string
		header     http.Header
		certs      int
	}{
		{"RFC 9440", "192.0.2.1:1", http.Header{"Client-Cert": {rfc9440(one)}}, 1},
		{"with a chain", "192.0.2.1:1", http.Header{"Client-Cert": {rfc9440(one)}, "Client-Cert-Chain": {rfc9440(two) + ", " + rfc9440(two)}}, 3},
		{"PEM in URL escapes", "[::ffff:192.0.2.1]:1", http.Header{"Client-Cert": {escaped}}, 1},
		{"from somebody else", "198.51.100.1:1", http.Header{"Client-Cert": {rfc9440(one)}}, 0},
		{"from nobody", "@", http.Header{"Client-Cert": {rfc9440(one)}}, 0},
		{"two", "192.0.2.1:1", http.Header{"Client-Cert": {rfc9440(one), rfc9440(two)}}, 0},
		{"none", "192.0.2.1:1", nil, 0},
		{"nonsense", "192.0.2.1:1", http.Header{"Client-Cert": {":x:"}}, 0},
		{"without its end", "192.0.2.1:1", http.Header{"Client-Cert": {strings.TrimSuffix(rfc9440(one), ":")}}, 0},
		{"with more than it", "192.0.2.1:1", http.Header{"Client-Cert": {rfc9440(one) + ";a=b"}}, 0},
		{"with nonsense in it", "192.0.2.1:1", http.Header{"Client-Cert": {strings.TrimSuffix(rfc9440(one), ":") + "!:"}}, 0},
		{"nonsense in escapes", "192.0.2.1:1", http.Header{"Client-Cert": {"%zz"}}, 0},
		{"nonsense in the chain", "192.0.2.1:1", http.Header{"Client-Cert": {rfc9440(one)}, "Client-Cert-Chain": {"x"}}, 0},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.RemoteAddr, r.Header = row.from, row.header
		found := certificates.Of(r)
		assert.Len(t, found, row.certs, row.rule)
		if row.certs > 0 {
			assert.True(t, found[0].Equal(one.Certificate), row.rule)
		}
	}
	behind := oauthtest.New(t, db, func(c *server.Config) { c.ClientCertificates = certificates })
	require.NoError(t, behind.Server.RegisterClientAuthMethod(&clientauth.SelfSignedTLSClientAuth{}))
	client := behind.NewClient(selfSigned(withCertificate(t, one), ""))
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(itself(client)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Client-Cert", rfc9440(one))
	assert.Equal(t, http.StatusOK, behind.Serve(r).Status)
}

// A real handshake, with the settings that the documentation asks for.
func TestTLSClientAuthOverTLS(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.SelfSignedTLSClientAuth{}))
	one := p.NewCertificate(nil, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "real"} })
	client := p.NewClient(selfSigned(withCertificate(t, one), ""))
	s := httptest.NewUnstartedServer(http.HandlerFunc(p.Server.CreateTokenResponse))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, presented := range []bool{true, false} {
		transport := s.Client().Transport.(*http.Transport).Clone()
		if presented {
			transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{one.Raw}, PrivateKey: one.Key}}
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(itself(client)))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := (&http.Client{Transport: transport}).Do(r)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, answer.Body)
		require.NoError(t, answer.Body.Close())
		transport.CloseIdleConnections()
		assert.Equal(t, presented, answer.StatusCode == http.StatusOK)
	}
}
