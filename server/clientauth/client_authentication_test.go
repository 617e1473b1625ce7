package clientauth_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/storage"
)

func basic(id, secret string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}
}

func TestClientAuthentication(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		grants := oauthtest.Grants("client_credentials", "refresh_token")
		web, public := p.NewClient(grants), p.NewClient(oauthtest.Public)
		post := p.NewClient(oauthtest.All(grants, func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = "client_secret_post" }))
		odd := p.NewClient(oauthtest.All(grants, func(c *oauthtest.Client) { c.ClientID = "id:%+ \\1" }))
		oddSecret := "s:%41+ é"
		setSecret(t, db, odd, models.HashClientSecret(oddSecret))

		percent := p.NewClient(grants)
		setSecret(t, db, percent, models.HashClientSecret("100%+a"))

		const body = "grant_type=client_credentials"
		inBody := func(id, secret string) string { return body + "&client_id=" + id + "&client_secret=" + secret }
		for _, row := range []struct {
			rule   string
			body   string
			header []string
			status int
			code   string
		}{
			{"basic", body, basic(web.ClientID, web.Secret), 200, ""},
			{"the scheme is case-insensitive", body, []string{"Authorization", "bAsIc " + strings.TrimPrefix(basic(web.ClientID, web.Secret)[1], "Basic ")}, 200, ""},
			{"with form-encoding, as RFC 6749 has it", body, basic(url.QueryEscape(odd.ClientID), url.QueryEscape(oddSecret)), 200, ""},
			{"with the id alone encoded, and the secret as it is", body, basic(url.QueryEscape(odd.ClientID), oddSecret), 200, ""},
			{"with a secret that no decoding leaves as it is", body, basic(percent.ClientID, "100%+a"), 200, ""},
			{"or its encoding", body, basic(percent.ClientID, url.QueryEscape("100%+a")), 200, ""},
			{"post", inBody(post.ClientID, post.Secret), nil, 200, ""},
			{"basic for a client of post", body, basic(post.ClientID, post.Secret), 200, ""},
			{"post for a client of basic", inBody(web.ClientID, web.Secret), nil, 200, ""},
			{"the same credentials in both places", inBody(post.ClientID, post.Secret), basic(post.ClientID, post.Secret), 200, ""},
			{"the same, encoded in the header", inBody(url.QueryEscape(odd.ClientID), url.QueryEscape(oddSecret)), basic(url.QueryEscape(odd.ClientID), url.QueryEscape(oddSecret)), 200, ""},
			{"a secret in the body, and its client in the header as well", inBody(post.ClientID, post.Secret), basic(post.ClientID, ""), 200, ""},
			{"the client_id may be repeated in the body", body + "&client_id=" + web.ClientID, basic(web.ClientID, web.Secret), 200, ""},

			{"nothing", body, nil, 401, "invalid_client"},
			{"a wrong secret", body, basic(web.ClientID, "wrong"), 401, "invalid_client"},
			{"an unknown client", body, basic("nobody", "wrong"), 401, "invalid_client"},
			{"an empty secret", body, basic(web.ClientID, ""), 401, "invalid_client"},
			{"the stored digest is no secret", body, basic(web.ClientID, models.HashClientSecret(web.Secret)), 401, "invalid_client"},
			{"a grant that no public client may use, by basic", body, basic(public.ClientID, ""), 401, "invalid_client"},
			{"a header that is no base64", body, []string{"Authorization", "Basic %%%"}, 401, "invalid_client"},
			{"a header without a colon", body, []string{"Authorization", "Basic YWJj"}, 401, "invalid_client"},
			{"a header with a NUL", body, basic("a\x00b", "x"), 401, "invalid_client"},
			{"a header that is no UTF-8", body, basic("a\xffb", "x"), 401, "invalid_client"},
			{"another scheme", body, []string{"Authorization", "Bearer x"}, 401, "invalid_client"},
			{"a wrong secret in the body", inBody(post.ClientID, "wrong"), nil, 400, "invalid_client"},
			{"an unknown client in the body", inBody("nobody", "wrong"), nil, 400, "invalid_client"},
			{"an unknown client without a secret", body + "&client_id=nobody", nil, 400, "invalid_client"},
			{"a confidential client without its secret", body + "&client_id=" + web.ClientID, nil, 400, "invalid_client"},
			{"a secret without an id", body + "&client_secret=x", nil, 401, "invalid_client"},
			{"a header with a secret without an id", body, basic("", web.Secret), 401, "invalid_client"},
			{"the secret of a public client, which has none", inBody(public.ClientID, "x"), nil, 400, "invalid_client"},

			{"two secrets", inBody(post.ClientID, "wrong"), basic(post.ClientID, post.Secret), 400, "invalid_request"},
			{"two clients", inBody(post.ClientID, post.Secret), basic(web.ClientID, web.Secret), 400, "invalid_request"},
			{"a header without a secret, of another client", inBody(post.ClientID, post.Secret), basic(web.ClientID, ""), 400, "invalid_request"},
			{"another client_id in the body", body + "&client_id=" + post.ClientID, basic(web.ClientID, web.Secret), 400, "invalid_request"},
			{"two headers", body, append(basic(web.ClientID, web.Secret), basic(web.ClientID, web.Secret)...), 400, "invalid_request"},
			{"a very long header", body, basic(web.ClientID, strings.Repeat("x", 9000)), 400, "invalid_request"},
		} {
			a := p.Token(nil, row.body, row.header...)
			assert.Equal(t, row.status, a.Status, "%s: %s", row.rule, a.Raw)
			assert.Equal(t, row.code, a.Body["error"], row.rule)
			if row.status == http.StatusUnauthorized {
				assert.Equal(t, `Basic realm="https://id.example", charset="UTF-8"`, a.Header.Get("WWW-Authenticate"), row.rule)
			} else {
				assert.Empty(t, a.Header.Get("WWW-Authenticate"), row.rule)
			}
		}
		unknown, wrong := p.Token(nil, body, basic("nobody", "x")...), p.Token(nil, body, basic(web.ClientID, "x")...)
		assert.Equal(t, wrong.Raw, unknown.Raw, "nobody learns which clients there are")
		assert.Equal(t, wrong.Header, unknown.Header)
		unknown, wrong = p.Token(nil, inBody("nobody", "x")), p.Token(nil, inBody(post.ClientID, "x"))
		assert.Equal(t, wrong.Raw, unknown.Raw, "nor from a body")
		unknown, wrong = p.Token(nil, body+"&client_id=nobody"), p.Token(nil, body+"&client_id="+web.ClientID)
		assert.Equal(t, wrong.Raw, unknown.Raw, "nor without a secret")
	})
}

// Of client_secret_basic and client_secret_post the registered one alone is taken where
// server or client insists. A client that proved itself learns which that is.
func TestAClientIsHeldToItsMethod(t *testing.T) {
	const body = "grant_type=client_credentials"
	grants := oauthtest.Grants("client_credentials")
	bySecret := func(c *oauthtest.Client) (inHeader, inBody []string) {
		return append([]string{body}, basic(c.ClientID, c.Secret)...), []string{body + "&client_id=" + c.ClientID + "&client_secret=" + c.Secret}
	}
	for name, strict := range map[string]bool{"the server insists": true, "the client insists": false} {
		t.Run(name, func(t *testing.T) {
			db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
			p := oauthtest.New(t, db, func(c *server.Config) { c.StrictClientSecretMethod = strict })
			insist := insists
			if strict {
				insist = func(*oauthtest.Client) {}
			}
			web, post := p.NewClient(oauthtest.All(grants, insist)), p.NewClient(oauthtest.All(grants, insist, byPost))
			ask := func(request []string) oauthtest.Answer { return p.Token(nil, request[0], request[1:]...) }
			inHeader, inBody := bySecret(web)
			assert.Equal(t, http.StatusOK, ask(inHeader).Status)
			a := ask(inBody)
			assert.Equal(t, server.InvalidClient, a.Body["error"])
			assert.Equal(t, "The client is registered for the authentication method 'client_secret_basic', not 'client_secret_post'.", a.Body["error_description"])
			both := ask(append(inBody, inHeader[1:]...))
			assert.Equal(t, !strict, both.Status == http.StatusOK, both.Raw)

			inHeader, inBody = bySecret(post)
			assert.Equal(t, http.StatusOK, ask(inBody).Status)
			a = ask(inHeader)
			assert.Equal(t, http.StatusUnauthorized, a.Status)
			assert.Equal(t, "The client is registered for the authentication method 'client_secret_post', not 'client_secret_basic'.", a.Body["error_description"])
			post.Secret = "wrong"
			inHeader, _ = bySecret(post)
			assert.Equal(t, "The client authentication failed.", ask(inHeader).Body["error_description"], "nobody else learns it")
		})
	}
}

func TestAClientInsistsWhenItRegisters(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open, registration.GrantTypes = true, []string{"authorization_code", "client_credentials"}
	require.NoError(t, p.Server.RegisterEndpoint(registration))
	metadata := func(value string) string {
		return `{"redirect_uris":["` + oauthtest.RedirectURI + `"],"grant_types":["authorization_code","client_credentials"],"require_token_endpoint_auth_method":` + value + `}`
	}
	a := p.Register(metadata("true"))
	require.Equal(t, http.StatusCreated, a.Status, a.Raw)
	assert.Equal(t, "true", a.Body["require_token_endpoint_auth_method"])
	const body = "grant_type=client_credentials"
	assert.Equal(t, http.StatusOK, p.Token(nil, body, basic(a.Body["client_id"], a.Body["client_secret"])...).Status)
	assert.Equal(t, server.InvalidClient, p.Token(nil, body+"&client_id="+a.Body["client_id"]+"&client_secret="+a.Body["client_secret"]).Body["error"])
	assert.Equal(t, server.InvalidClientMetadata, p.Register(metadata(`"yes"`)).Body["error"])
}

// A client that is registered for no secret never enters by one, whatever its row holds.
func TestNobodyEntersByASecretThatIsNotRegisteredForIt(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
		require.NoError(t, p.Server.RegisterClientAuthMethod(
			&clientauth.PrivateKeyJWT{Replays: replays}, &clientauth.SelfSignedTLSClientAuth{}, &clientauth.TLSClientAuth{Roots: x509.NewCertPool()},
			&clientauth.ClientSecretJWT{Key: []byte(strings.Repeat("k", 32)), Replays: replays}))
		const body, secret = "grant_type=refresh_token&refresh_token=x", "an old secret"
		for _, method := range []string{models.None, models.PrivateKeyJWT, models.TLSClientAuth, models.SelfSignedTLSClientAuth, models.ClientSecretJWT, "by_name"} {
			client := p.NewClient(nil)
			client.ClientMetadata.TokenEndpointAuthMethod, client.ClientSecret = method, models.HashClientSecret(secret)
			require.NoError(t, db.Save(client).Error)
			for place, a := range map[string]oauthtest.Answer{
				"header": p.Token(nil, body, basic(client.ClientID, secret)...),
				"body":   p.Token(nil, body+"&client_id="+client.ClientID+"&client_secret="+secret),
			} {
				assert.Equal(t, server.InvalidClient, a.Body["error"], "%s in the %s: %s", method, place, a.Raw)
				if method != "by_name" {
					assert.Contains(t, a.Body["error_description"], "registered for the authentication method '"+method+"'", "it is the client's secret")
				}
			}
			wrong := p.Token(nil, body, basic(client.ClientID, "wrong")...)
			assert.Equal(t, p.Token(nil, body, basic("nobody", "wrong")...).Raw, wrong.Raw, "%s: a stranger learns nothing", method)
		}
	})
}

func setSecret(t *testing.T, db *gorm.DB, client *oauthtest.Client, stored string) {
	t.Helper()
	require.NoError(t, db.Model(client).UpdateColumn("client_secret", stored).Error)
}

func TestStoredSecrets(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		require.NoError(t, err)
		argon, err := argon2id.CreateHash("secret", &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
		require.NoError(t, err)
		for scheme, stored := range map[string]string{
			"bcrypt": string(hash), "argon2id": argon, "sha256": models.HashClientSecret("secret"), "plaintext": "secret",
		} {
			client := p.NewClient(oauthtest.Grants("client_credentials"))
			setSecret(t, db, client, stored)
			client.Secret = "wrong"
			assert.Equal(t, http.StatusUnauthorized, p.Token(client, "grant_type=client_credentials").Status, scheme)
			client.Secret = "secret"
			for range 2 {
				assert.Equal(t, http.StatusOK, p.Token(client, "grant_type=client_credentials").Status, scheme)
			}
			var row oauthtest.Client
			require.NoError(t, db.First(&row, client.ID).Error)
			assert.Equal(t, stored, row.ClientSecret, "%s: a look-up rewrites nothing", scheme)
		}
	})
}

// foreignSecrets are secrets as other programs store them. Who reads the table must not have a
// secret by that.
var foreignSecrets = []string{
	"pbkdf2_sha256$600000$salt$aGFzaA==", "scrypt:32768:8:1$salt$deadbeef", "$argon2i$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA", "{bcrypt}$2a$10$abc", "{noop}secret", "sha1$x$y", "$2b$10$short", "$sha1$da39",
	strings.Repeat("a1", 16), strings.Repeat("a1", 20), strings.Repeat("a1", 32), strings.Repeat("A1", 48),
}

// A stored secret in a form that nobody knows, or that does not say what it is, is not the
// secret itself, and is not overwritten by anything.
func TestAForeignDigestIsNotASecret(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, func(c *server.Config) {
			c.QueryClient = gormoauth.CreateQueryClientFunc[oauthtest.Client](db, gormstore.ClientOptions{RewritePlaintext: true})
		})
		clients, err := gormstore.NewClients[oauthtest.Client](db, gormstore.ClientOptions{RewritePlaintext: true})
		require.NoError(t, err)
		require.NoError(t, p.Server.Register(clients))
		for _, stored := range append([]string{models.DerivedClientSecret("nonce")}, foreignSecrets...) {
			client := p.NewClient(oauthtest.Grants("client_credentials"))
			setSecret(t, db, client, stored)
			for _, presented := range []string{stored, "secret"} {
				client.Secret = presented
				assert.Equal(t, http.StatusUnauthorized, p.Token(client, "grant_type=client_credentials").Status, stored)
			}
			for {
				n, err := clients.DigestPlaintext(t.Context(), 10)
				require.NoError(t, err)
				if n == 0 {
					break
				}
			}
			var row oauthtest.Client
			require.NoError(t, db.First(&row, client.ID).Error)
			assert.Equal(t, stored, row.ClientSecret)
		}
	})
}

// What hexadecimal digits are, the program says once for its table.
func TestHexadecimalSecrets(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		secret := strings.Repeat("0f", 32)
		sum := sha256.Sum256([]byte("secret"))
		for _, row := range []struct {
			kind              gormstore.HexadecimalSecrets
			stored, presented string
			status            int
		}{
			{0, secret, secret, http.StatusUnauthorized},
			{gormstore.HexadecimalPlaintext, secret, secret, http.StatusOK},
			{gormstore.HexadecimalPlaintext, hex.EncodeToString(sum[:]), "secret", http.StatusUnauthorized},
			{gormstore.HexadecimalSHA256, hex.EncodeToString(sum[:]), "secret", http.StatusOK},
			{gormstore.HexadecimalSHA256, strings.ToUpper(hex.EncodeToString(sum[:])), "secret", http.StatusOK},
			{gormstore.HexadecimalSHA256, secret, secret, http.StatusUnauthorized},
			{gormstore.HexadecimalSHA256, strings.Repeat("0f", 20), strings.Repeat("0f", 20), http.StatusUnauthorized},
		} {
			options := gormstore.ClientOptions{HexadecimalSecrets: row.kind}
			p := oauthtest.New(t, db, func(c *server.Config) { c.QueryClient = gormoauth.CreateQueryClientFunc[oauthtest.Client](db, options) })
			client := p.NewClient(oauthtest.Grants("client_credentials"))
			setSecret(t, db, client, row.stored)
			client.Secret = row.presented
			assert.Equal(t, row.status, p.Token(client, "grant_type=client_credentials").Status, "%v %s", row.kind, row.stored)
			if row.kind == 0 {
				continue
			}
			clients, err := gormstore.NewClients[oauthtest.Client](db, options)
			require.NoError(t, err)
			_, err = clients.DigestPlaintext(t.Context(), 10)
			require.NoError(t, err)
			plain := oauthtest.New(t, db)
			assert.Equal(t, row.status, plain.Token(client, "grant_type=client_credentials").Status, "converted, it says what it is: %v %s", row.kind, row.stored)
		}
	})
}

// A plaintext secret is rewritten once its client has authenticated with it, and not before;
// nor where it was renewed meanwhile.
func TestAPlaintextSecretIsRewrittenAfterItHasVerified(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		clients, err := gormstore.NewClients[oauthtest.Client](db, gormstore.ClientOptions{RewritePlaintext: true})
		require.NoError(t, err)
		var renewed string
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Grants("client_credentials"))
		require.NoError(t, p.Server.Register(on.ClientAuthenticated(func(context.Context, *server.Request) {
			if renewed != "" {
				setSecret(t, db, client, renewed)
			}
		}), clients))
		stored := func() string {
			var row oauthtest.Client
			require.NoError(t, db.First(&row, client.ID).Error)
			return row.ClientSecret
		}
		setSecret(t, db, client, "old secret")
		client.Secret = "wrong"
		assert.Equal(t, http.StatusUnauthorized, p.Token(client, "grant_type=client_credentials").Status)
		assert.Equal(t, "old secret", stored())
		client.Secret, renewed = "old secret", models.HashClientSecret("new")
		assert.Equal(t, http.StatusOK, p.Token(client, "grant_type=client_credentials").Status)
		assert.Equal(t, renewed, stored(), "the new one stays")
		renewed = ""
		setSecret(t, db, client, "old secret")
		assert.Equal(t, http.StatusOK, p.Token(client, "grant_type=client_credentials").Status)
		assert.Equal(t, models.HashClientSecret("old secret"), stored())
	})
}

func TestASecretExpires(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	for after, status := range map[int64]int{1: http.StatusOK, 0: http.StatusUnauthorized} {
		require.NoError(t, db.Model(client).UpdateColumn("client_secret_expires_at", p.Now.Unix()+after).Error)
		assert.Equal(t, status, p.Token(client, "grant_type=client_credentials").Status)
	}
}

// The same secret is one at every endpoint.
func TestAnExpiredOrWrongSecretIsRefusedAtTheRevocationEndpoint(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	tokens := p.Redeem(client, p.Code(client, "")).Body
	wrong := *client
	wrong.Secret = "wrong"
	assert.Equal(t, http.StatusUnauthorized, p.Revoke(&wrong, "token="+tokens["access_token"]).Status)
	require.NoError(t, db.Model(client).UpdateColumn("client_secret_expires_at", p.Now.Unix()).Error)
	assert.Equal(t, http.StatusUnauthorized, p.Revoke(client, "token="+tokens["access_token"]).Status)
	assert.True(t, p.Valid(tokens["access_token"]))
}

// digestMethod is a way of the program's own to authenticate.
type digestMethod struct{}

func (digestMethod) AuthMethod() string { return "by_name" }

func (digestMethod) Presented(req *server.Request) bool { return req.HTTP.Header.Get("X-Client") != "" }

func (digestMethod) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	return query(ctx, req.HTTP.Header.Get("X-Client"))
}

func TestAMethodOfTheProgramsOwn(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterClientAuthMethod(digestMethod{}))
	own := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = "by_name" }))
	web := p.NewClient(oauthtest.Grants("client_credentials"))
	const body = "grant_type=client_credentials"
	assert.Equal(t, http.StatusOK, p.Token(nil, body, "X-Client", own.ClientID).Status)
	assert.Equal(t, "invalid_client", p.Token(nil, body, "X-Client", web.ClientID).Body["error"], "not for a client that is registered for another")
	assert.Equal(t, "invalid_client", p.Token(nil, body, "X-Client", "nobody").Body["error"])
	assert.Equal(t, "invalid_request", p.Token(nil, body, append(basic(web.ClientID, web.Secret), "X-Client", web.ClientID)...).Body["error"], "nor beside another")
}

func byPost(c *oauthtest.Client) {
	c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretPost
}
