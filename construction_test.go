package gormoauth_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/uuid"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Models with a mistake each.
type (
	uuidUser struct{ ID uuid.UUID }

	nameUser struct {
		Name string `gorm:"primaryKey"`
	}

	otherIDUser struct {
		ID    uint
		Email string
	}

	prefixedToken struct {
		ID                uint
		UserID            *uint
		models.TokenMixin `gorm:"embedded;embeddedPrefix:oauth_"`
	}

	pointerClient struct {
		ID uint
		*models.ClientMixin
	}

	pointerReplay struct {
		ID uint
		*models.ReplayMixin
	}

	userlessCode struct {
		ID uint
		models.AuthorizationCodeMixin
	}

	twoFaults struct {
		ID    uint
		Scope string
		models.TokenMixin
	}
)

func (u *uuidUser) GetUserID() string    { return u.ID.String() }
func (u *nameUser) GetUserID() string    { return u.Name }
func (u *otherIDUser) GetUserID() string { return u.Email }

// An engine that there are no statements for.
type otherEngine struct{ gorm.Dialector }

func (otherEngine) Name() string { return "sqlserver" }

func saveNothing(context.Context, storage.Exchange) error { return nil }

func TestEveryFaultAtOnce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	sqlserver, err := gorm.Open(otherEngine{db.Dialector}, &gorm.Config{})
	require.NoError(t, err)
	good := server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}
	clients, tokens, codes := gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode]()
	users := gormoauth.Users[oauthtest.User]()
	var nobody *ratelimit.InProcess
	tx := db.Begin()
	t.Cleanup(func() { tx.Rollback() })
	for rule, c := range map[string]struct {
		db     *gorm.DB
		config server.Config
		parts  []gormoauth.Part
		faults []string
	}{
		"a whole server": {db, good, []gormoauth.Part{clients, tokens, codes, users}, nil},
		"nothing at all": {nil, server.Config{}, nil, []string{
			"Config.Issuer: is missing", "where are clients found? Write gormoauth.Clients[Client]()", "where are tokens kept? Write gormoauth.Tokens[Token]()",
			"who may still be served? Write gormoauth.Users[User]()"}},
		"a database alone": {db, good, nil, []string{
			"where are clients found? Write gormoauth.Clients[Client](), or set Config.QueryClient",
			"where are tokens kept? Write gormoauth.Tokens[Token](), or set Config.SaveToken and Config.RevokeGrant",
			"who may still be served? Write gormoauth.Users[User](), or set Config.QueryUser"}},
		"a transaction": {tx, good, []gormoauth.Part{clients, tokens, codes, users}, []string{
			"the *gorm.DB is a transaction, which cannot be used after it has ended; pass what gorm.Open returned"}},
		"a statement": {db.Raw("SELECT 1"), good, []gormoauth.Part{clients, tokens, codes, users}, []string{"the *gorm.DB has a statement (Raw)"}},
		"tokens of the program's own that cannot be revoked": {db, server.Config{Issuer: oauthtest.Issuer, SaveToken: saveNothing}, []gormoauth.Part{clients, codes, users}, []string{
			"where are tokens kept? Write gormoauth.Tokens[Token](), or set Config.SaveToken and Config.RevokeGrant"}},
		"no database": {nil, good, []gormoauth.Part{clients, tokens, codes, users}, []string{"the *gorm.DB is nil or not open; pass what gorm.Open returned"}},
		"a database that is not open": {&gorm.DB{}, server.Config{}, []gormoauth.Part{clients, tokens, codes, users}, []string{
			"the *gorm.DB is nil or not open", "Config.Issuer: is missing"}},
		"an engine that is not supported": {sqlserver, good, []gormoauth.Part{clients, tokens, codes, users}, []string{
			`the *gorm.DB uses the dialector "sqlserver", which is not supported; use one of sqlite, postgres, mysql`}},
		"each model, the condition, and the configuration": {db, server.Config{Issuer: "http://id.example", TokenPrefix: "A_B", RefreshTokenKey: []byte("short"), Secrets: secret.Keyring{[]byte("short")}}, []gormoauth.Part{
			gormoauth.Clients[pointerClient](), gormoauth.Tokens[prefixedToken](), gormoauth.AuthorizationCodes[userlessCode](), gormoauth.Users[oauthtest.User](&oauthtest.User{}),
			gormoauth.Registration[pointerClient, prefixedToken](), gormoauth.FAPI2SecurityProfile[PushedRequest, Replay](), gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey](),
		}, []string{
			"pointerClient embeds *models.ClientMixin; embed models.ClientMixin, without the star",
			`prefixedToken has the column "client_id" of models.TokenMixin as "oauth_client_id"; remove embeddedPrefix`,
			"userlessCode has no field UserID; add UserID *uint",
			"oauthtest.User was given an empty condition",
			`Config.Issuer: "http://id.example" must be https`, "Config.TokenPrefix must be", "Config.RefreshTokenKey must have at least 32 random bytes",
			"Config.Secrets[0] has 5 bytes and needs at least 32 random ones"}},
		"keys that everybody could read": {db, server.Config{Issuer: oauthtest.Issuer}, []gormoauth.Part{clients, tokens, codes, users, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey]()}, []string{
			"so that the keys are encrypted there; or add the part gormoauth.KeysReadableInDatabase() if everybody who can read the database may sign as the server"}},
		"keys that everybody may read": {db, server.Config{Issuer: oauthtest.Issuer}, []gormoauth.Part{
			clients, tokens, codes, users, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey](), gormoauth.KeysReadableInDatabase(),
		}, nil},
		"two faults of one model": {db, good, []gormoauth.Part{clients, users, gormoauth.Tokens[twoFaults]()}, []string{
			"declares a field Scope that hides the column", "has no field UserID"}},
		"ids of users that are none of tokens": {db, good, []gormoauth.Part{clients, tokens, codes, gormoauth.Users[uuidUser]()}, []string{
			"oauthtest.Token has a UserID of type *uint, which cannot hold the ids of gormoauth_test.uuidUser, whose ID is a uuid.UUID; write UserID *uuid.UUID",
			"oauthtest.AuthorizationCode has a UserID of type uint, which cannot hold the ids of gormoauth_test.uuidUser, whose ID is a uuid.UUID; write UserID uuid.UUID"}},
		"names that are no numbers": {db, good, []gormoauth.Part{clients, tokens, codes, gormoauth.Users[nameUser]()}, []string{
			"oauthtest.Token has a UserID of type *uint, which cannot hold the ids of gormoauth_test.nameUser, whose Name is a string",
			"oauthtest.AuthorizationCode has a UserID of type uint"}},
		"users who say another id than they are found by": {db, good, []gormoauth.Part{clients, tokens, codes, gormoauth.Users[otherIDUser]()}, []string{
			`otherIDUser returns "" from GetUserID for the primary key "1"`}},
		"no users":                          {db, good, []gormoauth.Part{clients, tokens, codes}, []string{"who may still be served? Write gormoauth.Users[User]()"}},
		"no users, of a server of machines": {db, good, []gormoauth.Part{clients, tokens}, []string{"who may still be served? Write gormoauth.Users[User](), or set Config.QueryUser"}},
		"users whom the program looks up": {db, server.Config{Issuer: oauthtest.Issuer, QueryUser: func(context.Context, string) (storage.User, error) { return nil, nil }},
			[]gormoauth.Part{clients, tokens, codes}, nil},
		"no tokens": {db, good, []gormoauth.Part{clients, codes, users, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey]()}, []string{
			"OpenID needs gormoauth.Tokens[Token](): add it to the parts"}},
		"a profile that what is given breaks, by models that have none": {db, server.Config{
			Issuer: "https://id.example/a%20b", ClientAuthMethods: clientauth.Defaults(),
		}, []gormoauth.Part{clients, tokens, users, gormoauth.FAPI2SecurityProfile[PushedRequest, pointerReplay]()}, []string{
			"pointerReplay embeds *models.ReplayMixin", `Config.Issuer: "https://id.example/a%20b" has a path with a character that routers interpret differently`,
			"clients may authenticate by a secret, or not at all", "FAPI2SecurityProfile needs gormoauth.AuthorizationCodes[AuthorizationCode](): add it to the parts"}},
		"a part twice, and one that is nil": {db, good, []gormoauth.Part{clients, tokens, nil, gormoauth.Tokens[oauthtest.Token](), codes, users}, []string{
			"the part Tokens is given twice; leave one out", "a part is nil; leave it out"}},
		"what is nil behind an interface": {db, server.Config{Issuer: "x", FailedAuthentications: nobody, ClientAuthMethods: []server.ClientAuthMethod{nil}},
			[]gormoauth.Part{clients, tokens, codes, users}, []string{
				"server.Config.FailedAuthentications is a nil *ratelimit.InProcess; look at the error of its constructor",
				"a nil <nil> was given", `Config.Issuer: "x" is not an absolute URL`}},
	} {
		t.Run(rule, func(t *testing.T) {
			srv, err := gormoauth.New(c.db, c.config, c.parts...)
			if c.faults == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Nil(t, srv)
			for _, fault := range c.faults {
				assert.Equal(t, 1, strings.Count(err.Error(), fault), "%q in:\n%v", fault, err)
			}
			assert.Len(t, strings.Split(err.Error(), "\n"), len(c.faults), "and nothing else:\n%v", err)
		})
	}
}

func TestEveryFaultOfMCPAtOnce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	clients, tokens, codes, users := gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]()
	good := gormoauth.MCPConfig{Server: server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}, Resource: oauthtest.Issuer + "/mcp"}
	for rule, c := range map[string]struct {
		config gormoauth.MCPConfig
		parts  []gormoauth.Part
		faults []string
	}{
		"a whole server": {good, []gormoauth.Part{clients, tokens, codes, users}, nil},
		"no codes, so that nobody signs in": {good, []gormoauth.Part{clients, tokens, users}, []string{
			"MCP needs gormoauth.AuthorizationCodes[AuthorizationCode](): add it to the parts"}},
		"no parts": {good, nil, []string{
			"MCP needs gormoauth.Clients[Client]()", "MCP needs gormoauth.Tokens[Token]()", "MCP needs gormoauth.AuthorizationCodes[AuthorizationCode]()",
			"who may still be served? Write gormoauth.Users[User]()"}},
		"what two need": {good, []gormoauth.Part{clients, codes, users, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey]()}, []string{
			"OpenID, and MCP needs gormoauth.Tokens[Token]()"}},
		"models, an address in three places, and no issuer": {
			gormoauth.MCPConfig{Resource: "http://mcp.example", Scopes: []string{"two words"}, API: "mcp"},
			[]gormoauth.Part{gormoauth.Clients[pointerClient](), tokens, gormoauth.AuthorizationCodes[userlessCode](), users},
			[]string{"pointerClient embeds *models.ClientMixin", "userlessCode has no field UserID", "Config.Issuer: is missing",
				`MCPConfig.Resource: "http://mcp.example" must be https`, `Config.ScopesSupported: "two words" is not one scope`}},
		"an address that routers read in several ways": {
			gormoauth.MCPConfig{Server: good.Server, Resource: "https://mcp.example/%7Bx%7D"}, []gormoauth.Part{clients, tokens, codes, users},
			[]string{`MCPConfig.Resource: "https://mcp.example/%7Bx%7D" has a path with a character that routers interpret differently`}},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := gormoauth.MCP(db, c.config, c.parts...)
			if c.faults == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, fault := range c.faults {
				assert.Equal(t, 1, strings.Count(err.Error(), fault), "%q in:\n%v", fault, err)
			}
			assert.Len(t, strings.Split(err.Error(), "\n"), len(c.faults), "and nothing else:\n%v", err)
		})
	}
}

// Whatever a server is made of, a router takes all of its paths: what no router would
// take as it is is refused, wherever it is said.
func TestRoutersTakeThePathsOfAServer(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	parts := []gormoauth.Part{
		gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User](),
	}
	for path, taken := range map[string]bool{
		"": true, "/": true, "/a": true, "/a/": true, "/a/b-c._~": true, "/tenant:1": true, "/a@b,c;d=e+f!$&'()": true,
		"/a%20b": false, "/%7Bx%7D": false, "/%2f": false, "/a%2Fb": false, "//": false, "/a//b": false, "/a/../b": false, "/./a": false, "/a/..": false, "/*": false, "/a/*x": false,
	} {
		for what, config := range map[string]gormoauth.MCPConfig{
			"issuer":   {Server: server.Config{Issuer: "https://id.example" + path}, Resource: "https://id.example/mcp"},
			"resource": {Server: server.Config{Issuer: "https://id.example"}, Resource: "https://id.example" + path},
			"endpoint": {Server: server.Config{Issuer: "https://id.example", EndpointPaths: map[string]string{"token": "/x" + path}}, Resource: "https://id.example/mcp"},
		} {
			mcp, err := gormoauth.MCP(db, config, parts...)
			if !taken {
				assert.ErrorContains(t, err, path, what)
				continue
			}
			require.NoError(t, err, what+path)
			assert.NotPanics(t, func() {
				mux := http.NewServeMux()
				for path, handler := range mcp.Routes() {
					mux.Handle(path, handler)
				}
			}, what+path)
		}
	}
}

// pathEndpoint is one of a program's own.
type pathEndpoint struct{ path string }

func (pathEndpoint) EndpointName() string   { return "own" }
func (e pathEndpoint) EndpointPath() string { return e.path }
func (pathEndpoint) CreateResponse(context.Context, *server.Request) (*server.Response, error) {
	return nil, nil
}

func TestRoutersTakeThePathsOfAnEndpoint(t *testing.T) {
	srv := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)).Server
	require.NoError(t, srv.RegisterEndpoint(pathEndpoint{"/own"}))
	require.NoError(t, srv.RegisterEndpoint(pathEndpoint{""}), "one that is served nowhere")
	for _, path := range []string{"own", "/{own}", "/a b", "/a//b"} {
		assert.ErrorContains(t, srv.RegisterEndpoint(pathEndpoint{path}), "EndpointPath returns", path)
	}
}

// The condition of users is not that of the tokens, which are asked for on the same
// handle.
func TestTheConditionOfUsersIsTheirsAlone(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	chained := db.Where("1 = 1") // a handle that GORM goes on with, where the program does
	srv, err := gormoauth.New(chained, server.Config{Issuer: oauthtest.Issuer, Logger: oauthtest.Logger(nil)}, gormoauth.Users[oauthtest.User]("disabled = ?", false),
		gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode]())
	require.NoError(t, err)
	chained.Where("nothing = ?", "that there is")
	p := oauthtest.New(t, db)
	p.Server = srv
	client := p.NewClient(oauthtest.Public)
	answer := p.Redeem(client, p.Code(client, "scope=profile"))
	assert.NotEmpty(t, answer.Body["access_token"], answer.Raw)
}

func TestAGrantThatIsNotCompleteIsRefusedWithItsExtensions(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	srv := oauthtest.New(t, db).Server
	err := srv.RegisterGrant(&grant.AuthorizationCode{}, &grant.RememberedConsent{}, &grant.RequestObjects{})
	for _, fault := range []string{"AuthorizationCode.SaveAuthorizationCode is missing", "RememberedConsent.Storage is missing", "RequestObjects.Replays is missing"} {
		assert.ErrorContains(t, err, fault)
	}
	var consents *grant.RememberedConsent
	assert.ErrorContains(t, srv.Register(consents), "a nil *grant.RememberedConsent was given")
}
