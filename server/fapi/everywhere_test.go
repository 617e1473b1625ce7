package fapi_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// everyKey is a jwk.SigningKeys with one key an algorithm.
type everyKey map[jose.SignatureAlgorithm]jose.JSONWebKey

func (k everyKey) SigningKey(_ context.Context, algorithm jose.SignatureAlgorithm, _ time.Time) (*jose.JSONWebKey, error) {
	key, ok := k[algorithm]
	if !ok {
		return nil, errors.New("no key")
	}
	return &key, nil
}

func (k everyKey) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	set := new(jose.JSONWebKeySet)
	for _, key := range k {
		set.Keys = append(set.Keys, key.Public())
	}
	return set, nil
}

// Whatever is signed is taken by the algorithms of the profile alone, wherever it is
// presented: at the token endpoint, at the page, at registration, at UserInfo and at the
// API. None of these was told an algorithm.
func TestTheProfileHoldsWhereverSomethingIsChecked(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey]())
	keys := make(everyKey)
	for _, algorithm := range jwk.SignatureAlgorithms() {
		keys[algorithm] = jose.JSONWebKey{Key: oauthtest.NewKeyFor(t, algorithm), KeyID: string(algorithm), Algorithm: string(algorithm)}
	}
	const trusted = "https://trusted.example"
	trust := func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error) {
		if issuer != trusted {
			return nil, nil
		}
		return keys.PublicKeys(ctx, time.Time{})
	}
	who := func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return p.User, nil }
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open, registration.SoftwareStatements = true, &endpoint.SoftwareStatements{Keys: trust}
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Keys, exchange.QueryUser = trust, who
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	require.NoError(t, errors.Join(
		p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays}),
		p.Server.Register(&grant.RequestObjects{Replays: replays}),
		p.Server.RegisterEndpoint(registration),
		p.Server.RegisterGrant(&grant.JWTBearer{Keys: trust, QueryUser: who, Replays: replays}),
		p.Server.RegisterGrant(exchange),
	))
	api := p.NewProtector(resource.Config{Profile: fapi.SecurityProfile{}},
		&resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: oauthtest.Issuer, Keys: keys, Clock: func() time.Time { return p.Now }})
	require.NoError(t, api.RegisterTokenValidator(gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, oauthtest.Issuer,
		&resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: oauthtest.Issuer, Keys: keys, Clock: func() time.Time { return p.Now }})))

	proof := func(algorithm jose.SignatureAlgorithm, method, target, token string) string {
		claims := map[string]any{"jti": secret.Generate("j", secret.AccessToken), "htm": method, "htu": target, "iat": p.Now.Unix()}
		if token != "" {
			sum := sha256.Sum256([]byte(token))
			claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
		}
		return oauthtest.SignJWT(t, keys[algorithm].Key, algorithm, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: keys[algorithm].Key.(crypto.Signer).Public()}}, claims)
	}
	thumbprint := func(algorithm jose.SignatureAlgorithm) string {
		sum, err := (&jose.JSONWebKey{Key: keys[algorithm].Key.(crypto.Signer).Public()}).Thumbprint(crypto.SHA256)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(sum)
	}
	// called is the status of a request to an API with a bound token and its proof.
	called := func(handler http.Handler, path, token string, algorithm jose.SignatureAlgorithm) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", proof(algorithm, http.MethodGet, oauthtest.Issuer+path, token))
		w := p.Record(handler, r)
		return w.Code
	}
	open := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	sign := func(algorithm jose.SignatureAlgorithm, typ string, claims map[string]any) string {
		return oauthtest.SignJWT(t, keys[algorithm].Key, algorithm, map[jose.HeaderKey]any{"typ": typ, "kid": string(algorithm)}, claims)
	}
	// row is a token that is bound to the key of the algorithm.
	row := func(algorithm jose.SignatureAlgorithm) string {
		text := secret.Generate("goa", secret.AccessToken)
		require.NoError(t, db.Create(&oauthtest.Token{UserID: &p.User.ID, TokenMixin: models.TokenMixin{
			Authorization: models.Authorization{ClientID: p.client.ClientID, Confirmation: cnf.New(cnf.JWKThumbprint, thumbprint(algorithm))},
			AccessToken:   secret.Digest(text), TokenType: "DPoP", Scope: "openid", IssuedAt: p.Now.Unix(), ExpiresIn: 3600,
		}}).Error)
		return text
	}
	assertion := func(algorithm jose.SignatureAlgorithm, more ...any) string {
		return sign(algorithm, "JWT", oauthtest.Claims(map[string]any{
			"iss": trusted, "sub": "alice", "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": secret.Generate("j", secret.AccessToken),
		}, more...))
	}
	p.client = p.NewClient(func(c *oauthtest.Client) {
		p.withKey(c)
		var all []crypto.Signer
		for _, key := range keys {
			all = append(all, key.Key.(crypto.Signer))
		}
		c.ClientMetadata.JWKs = oauthtest.KeySetOf(t, append(all, p.signs)...)
		c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange")
	})
	statuses := map[string]func(algorithm jose.SignatureAlgorithm) int{
		"a client assertion": func(algorithm jose.SignatureAlgorithm) int {
			good := assertion(algorithm, "iss", p.client.ClientID, "sub", p.client.ClientID)
			form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {good}}
			return p.post("/oauth/token", form.Encode(), p.proof(tokenEndpoint)...).Status
		},
		"a proof at the token endpoint": func(algorithm jose.SignatureAlgorithm) int {
			return p.post("/oauth/token", "grant_type=client_credentials&"+p.authentication(), "DPoP", proof(algorithm, http.MethodPost, tokenEndpoint, "")).Status
		},
		"a proof of a pushed request": func(algorithm jose.SignatureAlgorithm) int {
			return p.post("/oauth/par", p.request("")+"&"+p.authentication(), "DPoP", proof(algorithm, http.MethodPost, parEndpoint, "")).Status
		},
		"a proof at an API with opaque tokens": func(algorithm jose.SignatureAlgorithm) int {
			return called(p.Protector.Require()(open), "/api", row(algorithm), algorithm)
		},
		"a proof at UserInfo": func(algorithm jose.SignatureAlgorithm) int {
			return called(p.Server.EndpointHandler("userinfo"), "/oauth/userinfo", row(algorithm), algorithm)
		},
		"an access token": func(algorithm jose.SignatureAlgorithm) int {
			token := sign(algorithm, "at+jwt", map[string]any{
				"iss": oauthtest.Issuer, "aud": oauthtest.Issuer, "sub": "1", "client_id": "c", "iat": p.Now.Unix(), "exp": p.Now.Unix() + 60, "jti": "j",
				"cnf": map[string]string{"jkt": thumbprint(jose.ES256)},
			})
			return called(api.Require()(open), "/api", token, jose.ES256)
		},
		"a proof at an API with signed tokens": func(algorithm jose.SignatureAlgorithm) int {
			token := sign(jose.ES256, "at+jwt", map[string]any{
				"iss": oauthtest.Issuer, "aud": oauthtest.Issuer, "sub": "1", "client_id": "c", "iat": p.Now.Unix(), "exp": p.Now.Unix() + 60, "jti": "j",
				"cnf": map[string]string{"jkt": thumbprint(algorithm)},
			})
			return called(api.Require()(open), "/api", token, algorithm)
		},
		"a request object": func(algorithm jose.SignatureAlgorithm) int {
			parameters, err := url.ParseQuery(p.request(""))
			require.NoError(t, err)
			claims := map[string]any{"iss": p.client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "nbf": p.Now.Unix(), "jti": secret.Generate("j", secret.AccessToken)}
			for name := range parameters {
				claims[name] = parameters.Get(name)
			}
			object := oauthtest.SignJWT(t, keys[algorithm].Key, algorithm, map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"}, claims)
			return p.post("/oauth/par", url.Values{"client_id": {p.client.ClientID}, "request": {object}}.Encode()+"&"+p.authentication()).Status
		},
		"another issuer's assertion": func(algorithm jose.SignatureAlgorithm) int {
			form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion(algorithm)}}
			return p.post("/oauth/token", form.Encode()+"&"+p.authentication(), p.proof(tokenEndpoint)...).Status
		},
		"another issuer's token that is exchanged": func(algorithm jose.SignatureAlgorithm) int {
			form := url.Values{
				"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
				"subject_token": {assertion(algorithm, "scope", "profile")},
			}
			return p.post("/oauth/token", form.Encode()+"&"+p.authentication(), p.proof(tokenEndpoint)...).Status
		},
		"a software statement": func(algorithm jose.SignatureAlgorithm) int {
			statement := sign(algorithm, "JWT", map[string]any{"iss": trusted, "software_id": "x"})
			return p.Register(`{"token_endpoint_auth_method":"private_key_jwt","jwks":` + string(oauthtest.KeySet(t, p.signs)) +
				`,"redirect_uris":["https://app.example/cb"],"software_statement":"` + statement + `"}`).Status
		},
	}
	for what, status := range statuses {
		for _, algorithm := range jwk.SignatureAlgorithms() {
			got := status(algorithm)
			assert.Less(t, got, http.StatusInternalServerError, what)
			assert.Equal(t, slices.Contains(fapi.Algorithms(), algorithm), got < http.StatusMultipleChoices, "%s by %s: %d", what, algorithm, got)
		}
	}

	t.Run("the challenge names the profile's", func(t *testing.T) {
		w := p.Record(p.Protector.Require()(open), httptest.NewRequest(http.MethodGet, "/api", http.NoBody))
		assert.Contains(t, w.Header().Values("WWW-Authenticate"), `DPoP realm="api", algs="PS256 ES256 EdDSA"`)
	})
	t.Run("and so does all that the server says of itself", func(t *testing.T) {
		for member, values := range p.Server.Metadata() {
			if strings.HasSuffix(member, "_signing_alg_values_supported") {
				assert.Subset(t, []string{"PS256", "ES256", "EdDSA"}, values, member)
			}
		}
	})
	t.Run("a validator that was there before stays as it was", func(t *testing.T) {
		shared := &resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Keys: keys}
		_, err := resource.NewProtector(resource.Config{Profile: fapi.SecurityProfile{}}, shared)
		require.NoError(t, err)
		assert.Nil(t, shared.Algorithms)
	})
}

// TLS 1.2 has the four cipher suites of RFC 9325 section 4.2 alone, and TLS 1.3 is as it
// is.
func TestTLSConfig(t *testing.T) {
	p := &oauthtest.Provider{T: t, Now: time.Unix(1_800_000_000, 0)}
	certificate := p.NewCertificate(nil, nil)
	config := fapi.TLSConfig()
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: certificate.Key}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, connection) }()
		}
	}()
	connects := func(version, suite uint16) bool {
		client := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
		if suite != 0 {
			client.CipherSuites = []uint16{suite}
		}
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: client}
		connection, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			return false
		}
		return connection.Close() == nil
	}
	assert.True(t, connects(tls.VersionTLS13, 0))
	assert.True(t, connects(tls.VersionTLS12, 0))
	for version, name := range map[uint16]string{tls.VersionTLS10: "1.0", tls.VersionTLS11: "1.1"} {
		assert.False(t, connects(version, 0), name)
	}
	good := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384} // of its certificate's kind
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			assert.Equal(t, slices.Contains(good, suite.ID), connects(tls.VersionTLS12, suite.ID), suite.Name)
		}
	}
}
