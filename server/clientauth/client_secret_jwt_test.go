package clientauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/secret"
)

func TestClientSecretJWT(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
		require.NoError(t, p.Server.RegisterClientAuthMethod(
			&clientauth.ClientSecretJWT{Key: []byte(strings.Repeat("k", 32)), Replays: replays}, &clientauth.PrivateKeyJWT{Replays: replays}))
		factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
		create := func() (*oauthtest.Client, string) {
			client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
				TokenEndpointAuthMethod: models.ClientSecretJWT, GrantTypes: []string{"client_credentials"},
			}}}
			secret, err := factory.Create(t.Context(), client)
			require.NoError(t, err)
			return client, secret
		}
		client, secret := create()
		other, otherSecret := create()
		next := 0
		sign := func(secret string, more ...any) string {
			next++
			claims := map[string]any{"iss": client.ClientID, "sub": client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": strings.Repeat("j", next)}
			return oauthtest.SignJWT(t, []byte(secret), jose.HS256, nil, oauthtest.Claims(claims, more...))
		}
		ask := func(assertion string) oauthtest.Answer { return p.Token(nil, assertionBody(assertion)) }

		assert.Equal(t, http.StatusOK, ask(sign(secret)).Status)
		var row oauthtest.Client
		require.NoError(t, db.First(&row, client.ID).Error)
		assert.NotContains(t, row.ClientSecret, secret, "the database does not hold it")
		assert.NotEqual(t, secret, otherSecret)

		once := sign(secret)
		assert.Equal(t, http.StatusOK, ask(once).Status)
		for rule, assertion := range map[string]string{
			"a second time":                  once,
			"by another client's secret":     sign(otherSecret),
			"for another client":             sign(secret, "iss", other.ClientID, "sub", other.ClientID),
			"by what the database holds":     sign(row.ClientSecret),
			"by the part that is no scheme":  sign(strings.TrimPrefix(row.ClientSecret, "$derived$") + "padding"),
			"for another server":             sign(secret, "aud", "https://x.example"),
			"expired":                        sign(secret, "exp", p.Now.Unix()-60),
			"without an id":                  sign(secret, "jti", nil),
			"by HS512":                       oauthtest.SignJWT(t, []byte(secret+secret), jose.HS512, nil, map[string]any{"iss": client.ClientID, "sub": client.ClientID}),
			"of a client that has no secret": sign(secret, "iss", "nobody", "sub", "nobody"),
			"not signed":                     strings.Join(append(strings.Split(sign(secret), ".")[:2], ""), "."),
		} {
			a := ask(assertion)
			assert.Equal(t, server.InvalidClient, a.Body["error"], "%s: %s", rule, a.Raw)
			assert.Equal(t, http.StatusUnauthorized, a.Status, rule)
		}
		basicClient := p.NewClient(oauthtest.Grants("client_credentials"))
		assert.Equal(t, server.InvalidClient, ask(sign(basicClient.Secret, "iss", basicClient.ClientID, "sub", basicClient.ClientID)).Body["error"], "a secret that is not derived signs nothing")
		for _, sent := range []string{secret, row.ClientSecret} {
			a := p.Token(nil, "grant_type=client_credentials", basic(client.ClientID, sent)...)
			assert.Equal(t, server.InvalidClient, a.Body["error"], "nor is one sent that signs")
			assert.Equal(t, sent == secret, strings.Contains(a.Body["error_description"], "'client_secret_jwt'"), "whoever has it learns where it belongs")
		}

		t.Run("two secrets live while one takes the other's place", func(t *testing.T) {
			renewed, err := factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{Overlap: time.Hour, ExpiresIn: 2 * time.Hour})
			require.NoError(t, err)
			assert.NotEqual(t, secret, renewed)
			assert.Equal(t, http.StatusOK, ask(sign(secret)).Status)
			assert.Equal(t, http.StatusOK, ask(sign(renewed)).Status)
			p.Now = p.Now.Add(time.Hour)
			assert.Equal(t, server.InvalidClient, ask(sign(secret)).Body["error"])
			assert.Equal(t, http.StatusOK, ask(sign(renewed)).Status)
			p.Now = p.Now.Add(time.Hour)
			assert.Equal(t, server.InvalidClient, ask(sign(renewed)).Body["error"])
		})
		t.Run("by registration", func(t *testing.T) {
			e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
			e.Open, e.GrantTypes = true, []string{"client_credentials"}
			require.NoError(t, p.Server.RegisterEndpoint(e))
			a := p.Register(`{"token_endpoint_auth_method":"client_secret_jwt","grant_types":["client_credentials"]}`)
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			assert.Equal(t, http.StatusOK, ask(sign(a.Body["client_secret"], "iss", a.Body["client_id"], "sub", a.Body["client_id"])).Status)
			assert.Equal(t, server.InvalidClientMetadata, p.Register(`{"token_endpoint_auth_method":"client_secret_jwt","token_endpoint_auth_signing_alg":"RS256"}`).Body["error"])
			update := func(secret string) oauthtest.Answer {
				body := `{"token_endpoint_auth_method":"client_secret_jwt","grant_types":["client_credentials"],"client_id":"` + a.Body["client_id"] + `","client_secret":"` + secret + `"}`
				r := httptest.NewRequestWithContext(oauthtest.Brief(t), http.MethodPut, strings.TrimPrefix(a.Body["registration_client_uri"], oauthtest.Issuer), strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+a.Body["registration_access_token"])
				return p.Serve(r)
			}
			updated := update(a.Body["client_secret"])
			assert.Equal(t, http.StatusOK, updated.Status, updated.Raw)
			assert.NotContains(t, updated.Body, "client_secret", "it stays as it is")
			assert.Equal(t, server.InvalidRequest, update(secret).Body["error"], "that of another client")
			_, err := factory.RotateSecret(t.Context(), a.Body["client_id"], gormstore.SecretRotation{Overlap: time.Hour})
			require.NoError(t, err)
			again := update(a.Body["client_secret"]).Body["client_secret"]
			assert.NotEmpty(t, again, "who knows only the one before gets another one")
			assert.Equal(t, http.StatusOK, ask(sign(again, "iss", a.Body["client_id"], "sub", a.Body["client_id"])).Status)
		})
		assert.Contains(t, p.Get("/.well-known/oauth-authorization-server").Body["token_endpoint_auth_signing_alg_values_supported"], "HS256")
	})
}

func TestClientSecretJWTNeedsItsSettings(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	err := p.Server.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Key: []byte("short")})
	require.ErrorContains(t, err, "Key")
	require.ErrorContains(t, err, "Replays")
	without, err := server.New(p.BareConfig())
	require.NoError(t, err)
	for _, key := range [][]byte{nil, []byte("short")} {
		err := without.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Key: key})
		require.ErrorContains(t, err, "Key must have at least 32 random bytes; or omit it and set Config.Secrets", "both remedies are named")
	}
	_, err = gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server).Create(t.Context(), &oauthtest.Client{ClientMixin: models.ClientMixin{
		ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretJWT, GrantTypes: []string{"client_credentials"}},
	}})
	require.ErrorContains(t, err, "token_endpoint_auth_method", "the server does not have the method")
}

// secretOf is a secret of the server.
func secretOf(letter string) []byte { return []byte(strings.Repeat(letter, 32)) }

// signing is an instance of the server whose clients sign with derived secrets.
type signing struct {
	*oauthtest.Provider
	t       *testing.T
	factory *gormstore.ClientFactory[oauthtest.Client]
	signed  *int
}

func newSigning(t *testing.T, db *gorm.DB, key []byte, secrets secret.Keyring, noOlderInstances bool) signing {
	t.Helper()
	p := oauthtest.New(t, db, func(c *server.Config) { c.Secrets, c.NoOlderInstances = secrets, noOlderInstances })
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Key: key, Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
	return signing{p, t, gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server), new(int)}
}

func (s signing) create() (*oauthtest.Client, string) {
	s.t.Helper()
	client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		TokenEndpointAuthMethod: models.ClientSecretJWT, GrantTypes: []string{"client_credentials"},
	}}}
	secret, err := s.factory.Create(s.t.Context(), client)
	require.NoError(s.t, err)
	return client, secret
}

func (s signing) ask(client *oauthtest.Client, plaintext string) string {
	return s.Token(nil, assertionBody(oauthtest.SignJWT(s.t, []byte(plaintext), jose.HS256, nil, map[string]any{
		"iss": client.ClientID, "sub": client.ClientID, "aud": oauthtest.Issuer, "exp": s.Now.Unix() + 60, "jti": secret.Generate("j", secret.AccessToken),
	}))).Body["error"]
}

// found returns the checks of the doctor that client secrets do not pass, with what it says.
func (s signing) found() (checks []string, said string) {
	findings := gormstore.DiagnoseFor(s.t.Context(), s.Server, s.DB, &oauthtest.Client{})
	for _, finding := range findings {
		if strings.HasSuffix(finding.Check, "_secret") {
			checks, said = append(checks, finding.Check), said+finding.Error()
		}
	}
	return checks, said
}

// A secret that was derived before a rotation of the server's secrets is the client's as
// before, and says by which of them it was derived.
func TestDerivedSecretsOutliveARotation(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		a, b := secretOf("a"), secretOf("b")
		before := newSigning(t, db, nil, secret.Keyring{a}, false)
		client, plaintext := before.create()
		assert.Empty(t, before.ask(client, plaintext))
		assert.Contains(t, client.ClientSecret, secret.Keyring{a}.Newest())
		checks, _ := before.found()
		assert.Empty(t, checks)

		rotated := newSigning(t, db, nil, secret.Keyring{b, a}, false)
		assert.Empty(t, rotated.ask(client, plaintext))
		other, otherSecret := rotated.create()
		assert.Contains(t, other.ClientSecret, secret.Keyring{b}.Newest(), "the newest makes what is new")
		assert.Empty(t, rotated.ask(other, otherSecret))
		assert.Equal(t, server.InvalidClient, rotated.ask(other, plaintext))
		checks, said := rotated.found()
		assert.Equal(t, []string{"older_secret"}, checks)
		assert.Contains(t, said, secret.Keyring{a}.Newest())

		without := newSigning(t, db, nil, secret.Keyring{b}, false)
		assert.Equal(t, server.InvalidClient, without.ask(client, plaintext))
		assert.Empty(t, without.ask(other, otherSecret))
		checks, said = without.found()
		assert.Equal(t, []string{"missing_secret"}, checks, "what is needed still is named")
		assert.Contains(t, said, secret.Keyring{a}.Newest())
		assert.Contains(t, said, client.ClientID)

		renewed, err := without.factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{})
		require.NoError(t, err)
		assert.Empty(t, without.ask(client, renewed))
		checks, _ = without.found()
		assert.Empty(t, checks)
	})
}

// Beside a Key, which an older instance has, secrets are derived by it until no older
// instance runs, and those that it derived are valid for ever.
func TestDerivedSecretsOfAKey(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		key, a := secretOf("k"), secret.Keyring{secretOf("a")}
		older := newSigning(t, db, key, nil, false)
		client, secret := older.create()
		beside := newSigning(t, db, key, a, false)
		meanwhile, meanwhileSecret := beside.create()
		assert.Empty(t, older.ask(meanwhile, meanwhileSecret), "an older instance derives it as well")
		pending := func(s signing) bool {
			findings := s.Server.Diagnose(t.Context())
			oauthtest.KnowFindings(t, findings)
			return len(findings) != len(findings.Without("pending_client_secrets"))
		}
		assert.True(t, pending(beside), "which the doctor says")
		assert.False(t, pending(older))
		last := newSigning(t, db, key, a, true)
		next, nextSecret := last.create()
		assert.Contains(t, next.ClientSecret, a.Newest())
		assert.False(t, pending(last))
		for _, one := range []struct {
			client *oauthtest.Client
			secret string
		}{{client, secret}, {meanwhile, meanwhileSecret}, {next, nextSecret}} {
			assert.Empty(t, last.ask(one.client, one.secret))
		}
		checks, said := newSigning(t, db, nil, a, true).found()
		assert.Equal(t, []string{"missing_secret"}, checks)
		assert.Contains(t, said, "ClientSecretJWT.Key")
	})
}

// strict refuses every registration.
type strict struct{}

func (strict) CheckRegistration(*server.Server) error { return errors.New("not here") }

// A method that another server refused keeps the secrets of the server that has it.
func TestAServerThatRefusesAMethodDoesNotChangeIt(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	method := &clientauth.ClientSecretJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}
	p := oauthtest.New(t, db, func(c *server.Config) { c.Secrets = secret.Keyring{secretOf("a")} })
	require.NoError(t, p.Server.RegisterClientAuthMethod(method))
	s := signing{p, t, gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server), new(int)}
	client, plaintext := s.create()

	config := p.BareConfig()
	config.Secrets = secret.Keyring{secretOf("b")}
	other, early := new(server.Server), new(server.Server)
	require.NoError(t, early.RegisterClientAuthMethod(method))
	require.NoError(t, early.Register(strict{}))
	require.ErrorContains(t, early.Init(config), "not here")
	require.NoError(t, other.Register(new(eventlog.Log)))
	require.NoError(t, other.RegisterClientAuthMethod(method))
	require.ErrorContains(t, other.Init(config), "Log.Logger")
	assert.Empty(t, s.ask(client, plaintext))
}
