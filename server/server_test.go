package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestBeforeInitEveryMethodAnswers(t *testing.T) {
	var srv server.Server
	_, err := srv.GetConsentGrant(get("/"), nil)
	assert.ErrorIs(t, err, server.ErrNotInitialized)
	for name, serve := range map[string]func(http.ResponseWriter, *http.Request){
		"CreateAuthorizationResponse": func(w http.ResponseWriter, r *http.Request) { srv.CreateAuthorizationResponse(w, r, nil) },
		"CreateTokenResponse":         srv.CreateTokenResponse,
		"CreateEndpointResponse":      srv.EndpointHandler("revocation"),
		"AuthorizationHandler": srv.AuthorizationHandler(server.AuthorizationPages{
			User:    func(*http.Request) (storage.User, error) { return nil, nil },
			SignIn:  func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {},
			Consent: func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {},
		}),
		"WriteError": func(w http.ResponseWriter, r *http.Request) { srv.WriteError(w, r, errors.New("x")) },
	} {
		w := newRecorder()
		serve(w, get("/"))
		assert.Equal(t, http.StatusInternalServerError, w.Code, name)
		assert.Contains(t, w.Body.String(), "Init has not been called", name)
	}
}

func TestInitChecksWhatWasRegisteredBefore(t *testing.T) {
	var srv server.Server
	require.NoError(t, srv.RegisterGrant(&grant.RefreshToken{}))
	err := srv.Init(server.Config{})
	for _, fault := range []string{"Config.Issuer", "Config.QueryClient", "Config.SaveToken", "Config.ClientAuthMethods", "RefreshToken.QueryToken", "Config.RevokeGrant"} {
		assert.ErrorContains(t, err, fault, "every fault at once")
	}
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var later server.Server
	require.NoError(t, later.RegisterGrant(&grant.ClientCredentials{}))
	config := server.Config{
		Issuer:            oauthtest.Issuer,
		QueryClient:       gormoauth.CreateQueryClientFunc[oauthtest.Client](db),
		SaveToken:         gormoauth.CreateSaveTokenFunc[oauthtest.Token](db),
		ClientAuthMethods: clientauth.Defaults(),
		Logger:            oauthtest.Logger(nil),
	}
	require.NoError(t, later.Init(config))
	assert.ErrorContains(t, later.Init(config), "Init was called before")
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	p.Server = &later
	assert.Equal(t, http.StatusOK, p.Token(client, "grant_type=client_credentials").Status)
}

func TestFaultsOfAConfigurationNameTheirField(t *testing.T) {
	for issuer, fault := range map[string]string{
		"":                        "is missing",
		"id.example":              "is not an absolute URL",
		"http://id.example":       "must be https",
		"https://id.example?x":    "no query",
		"https://id.example#x":    "no fragment",
		"https://u@id.example":    "is not an absolute URL",
		"https://id.example/base": "",
		"http://127.0.0.1:8080":   "",
		"http://[::1]:8080":       "",
		"http://localhost:8080":   "",
	} {
		err := newServer(func(c *server.Config) { c.Issuer = issuer })
		if fault == "" {
			assert.NoError(t, err, issuer)
		} else {
			assert.ErrorContains(t, err, "Config.Issuer", issuer)
			assert.ErrorContains(t, err, fault, issuer)
		}
	}
	for field, change := range map[string]func(*server.Config){
		`TokenExpiresIn["password"]`: func(c *server.Config) { c.TokenExpiresIn = map[string]time.Duration{"password": 0} },
		`ErrorURIs["invalid_grant"]`: func(c *server.Config) { c.ErrorURIs = map[string]string{"invalid_grant": "docs"} },
		"ScopesSupported":            func(c *server.Config) { c.ScopesSupported = []string{"two words"} },
		"TokenPrefix":                func(c *server.Config) { c.TokenPrefix = "With_Underscore" },
		"PKCE":                       func(c *server.Config) { c.PKCE = "sometimes" },
		"MaxRequestBytes":            func(c *server.Config) { c.MaxRequestBytes = -1 },
	} {
		assert.ErrorContains(t, newServer(change), "Config."+field)
	}
	var srv server.Server
	assert.ErrorContains(t, srv.RegisterGrant("no grant"), "neither a TokenGrant nor an AuthorizationGrant")
	assert.ErrorContains(t, srv.RegisterGrant(&grant.ClientCredentials{}, 7), "int implements no hook")
}

func newServer(change func(*server.Config)) error {
	config := server.Config{
		Issuer:            oauthtest.Issuer,
		QueryClient:       func(context.Context, string) (storage.Client, error) { return nil, nil },
		SaveToken:         func(context.Context, storage.Exchange) error { return nil },
		ClientAuthMethods: clientauth.Defaults(),
	}
	change(&config)
	_, err := server.New(config)
	return err
}

// A failure of each storage function: an answer that says so, a log that says
// why, and no token.
func TestAStorageFailureIsNeverASuccess(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	good := oauthtest.New(t, db)
	client := good.NewClient(nil)
	broken := errors.New("the disk is on fire")
	for name, c := range map[string]struct {
		change func(*server.Config)
		ask    func(p *oauthtest.Provider) oauthtest.Answer
	}{
		"QueryClient": {
			func(c *server.Config) {
				c.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, broken }
			},
			func(p *oauthtest.Provider) oauthtest.Answer { return p.Redeem(client, good.Code(client, "")) },
		},
		"QueryClient at authorize": {
			func(c *server.Config) {
				c.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, broken }
			},
			func(p *oauthtest.Provider) oauthtest.Answer { return p.Consent(oauthtest.AuthorizeQuery(client, "")) },
		},
		"SaveToken": {
			func(c *server.Config) {
				c.SaveToken = func(context.Context, storage.Exchange) error { return broken }
			},
			func(p *oauthtest.Provider) oauthtest.Answer { return p.Redeem(client, good.Code(client, "")) },
		},
		"QueryUser": {
			func(c *server.Config) {
				c.QueryUser = func(context.Context, string) (storage.User, error) { return nil, broken }
			},
			func(p *oauthtest.Provider) oauthtest.Answer { return p.Redeem(client, good.Code(client, "")) },
		},
		"RevokeGrant after a replay": {
			func(c *server.Config) {
				c.RevokeGrant = func(context.Context, string, time.Time) error { return broken }
			},
			func(p *oauthtest.Provider) oauthtest.Answer {
				code := good.Code(client, "")
				good.Redeem(client, code)
				return p.Redeem(client, code)
			},
		},
		"SaveAuthorizationCode": {
			func(*server.Config) {},
			func(p *oauthtest.Provider) oauthtest.Answer {
				codes := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
				codes.SaveAuthorizationCode = func(context.Context, *models.AuthorizationCodeMixin, *server.Request) error { return broken }
				require.NoError(t, p.Server.RegisterGrant(codes))
				return p.Grant(oauthtest.AuthorizeQuery(client, ""))
			},
		},
		"QueryAuthorizationCode": {
			func(*server.Config) {},
			func(p *oauthtest.Provider) oauthtest.Answer {
				codes := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
				codes.QueryAuthorizationCode = func(context.Context, string) (*grant.StoredAuthorizationCode, error) { return nil, broken }
				require.NoError(t, p.Server.RegisterGrant(codes))
				return p.Redeem(client, good.Code(client, ""))
			},
		},
		"QueryToken": {
			func(*server.Config) {},
			func(p *oauthtest.Provider) oauthtest.Answer {
				require.NoError(t, p.Server.RegisterGrant(&grant.RefreshToken{
					QueryToken: func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) { return nil, broken },
				}))
				return p.Refresh(client, "x", "")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p := oauthtest.New(t, db, func(config *server.Config) {
				c.change(config)
				config.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			a := c.ask(p)
			assert.Equal(t, "server_error", a.Params()["error"])
			if a.To == "" {
				assert.Equal(t, http.StatusInternalServerError, a.Status)
			} else {
				assert.Equal(t, oauthtest.RedirectURI, a.To, "a redirect has no status: RFC 6749 section 4.1.2.1")
			}
			assert.Empty(t, a.Params()["access_token"]+a.Params()["code"])
			assert.NotContains(t, a.Raw+a.Header.Get("Location"), "fire", "nothing from inside leaks")
			assert.Contains(t, log.String(), "the disk is on fire", "the operator learns of it")
			assert.Contains(t, log.String(), "level=ERROR")
		})
	}
}

func TestRefusalsAreLoggedWithTheirReason(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var log bytes.Buffer
	p := oauthtest.New(t, db, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	client := p.NewClient(nil)
	code := p.Code(client, "")
	tokens := p.Redeem(client, code).Body
	p.Redeem(client, code)
	assert.Contains(t, log.String(), "client_id="+client.ClientID)
	assert.Contains(t, log.String(), `error=invalid_grant error_description="The credential was already used."`)
	assert.Contains(t, log.String(), "level=WARN", "a replay may be an attack")
	for _, secret := range []string{code, tokens["access_token"], tokens["refresh_token"], client.Secret} {
		assert.NotContains(t, log.String(), secret, "and never a credential")
	}
}

// Whoever loses the race for a credential has presented it a second time, even
// if nobody could have known when it was read.
func TestTheLoserOfARaceRevokesTheGrant(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var revoked []string
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.SaveToken = func(context.Context, storage.Exchange) error {
			return fmt.Errorf("wrapped: %w", storage.ErrSpent)
		}
		c.RevokeGrant = func(_ context.Context, grantID string, _ time.Time) error {
			revoked = append(revoked, grantID)
			return nil
		}
	})
	client := p.NewClient(nil)
	code := p.Code(client, "")
	a := p.Redeem(client, code)
	assert.Equal(t, "invalid_grant", a.Body["error"])
	assert.Empty(t, a.Body["access_token"])
	assert.Equal(t, []string{secret.Present(code).GrantID}, revoked)
}

// A storage function that is wrong about what it spent gets an error, not a
// panic.
func TestSpentWithoutACredentialIsAFailure(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.SaveToken = func(context.Context, storage.Exchange) error { return storage.ErrSpent }
	})
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	assert.Equal(t, "server_error", p.Token(client, "grant_type=client_credentials").Body["error"])
}
