package gormoauth_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// complete is a value with everything that it needs.
type complete struct {
	value any // a pointer to a struct
	// needs are the fields that it needs, and what the error calls them if not by their name.
	needs map[string]string
	// register gives the value to the constructor, or to what registers it.
	register func(value any) error
}

func fields(names ...string) map[string]string {
	all := make(map[string]string)
	for _, name := range names {
		all[name] = name
	}
	return all
}

// Whatever is left out of what a server or an API is made of, or is nil, is refused where
// it is registered, by its name.
func TestWhatIsMissingIsRefusedByName(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var p *oauthtest.Provider // a new one for each value
	asGrant := func(value any) error { return p.Server.RegisterGrant(value) }
	asEndpoint := func(value any) error { return p.Server.RegisterEndpoint(value.(server.Endpoint)) }
	asHook := func(value any) error { return p.Server.Register(value) }
	asMethod := func(value any) error {
		return p.Server.RegisterClientAuthMethod(value.(server.ClientAuthMethod))
	}
	asValidator := func(value any) error { return p.Protector.RegisterTokenValidator(value.(resource.TokenValidator)) }
	publicKeys := func(context.Context, string) (*jose.JSONWebKeySet, error) { return nil, nil }
	findUser := func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return nil, nil }
	check := func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.RS256}})
	bearer := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	sessions := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](db)
	codes := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	exchange.Keys, exchange.QueryUser = publicKeys, findUser
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open = true
	config := oauthtest.New(t, db).BareConfig()
	exchanging := config
	exchanging.RevokeGrant = gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db)
	mcp := gormoauth.MCPConfig{Server: config, Resource: oauthtest.Issuer + "/mcp"}

	var said strings.Builder
	for _, c := range []complete{
		{&config, map[string]string{
			"Issuer": "Config.Issuer: is missing", "QueryClient": "Config.QueryClient is missing", "SaveToken": "Config.SaveToken is missing", "ClientAuthMethods": "Config.ClientAuthMethods is missing",
		}, func(value any) error { return new(server.Server).Init(*value.(*server.Config)) }},
		{&exchanging, map[string]string{"RevokeGrant": "AuthorizationCode needs server.Config.RevokeGrant"}, func(value any) error {
			var srv server.Server
			return errors.Join(srv.RegisterGrant(codes), srv.Init(*value.(*server.Config)))
		}},
		{&mcp, map[string]string{"Resource": "MCPConfig.Resource", "Server": "Config.Issuer: is missing"}, func(value any) error {
			_, err := gormoauth.MCP(db, *value.(*gormoauth.MCPConfig), gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](),
				gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]())
			return err
		}},

		{codes, fields("SaveAuthorizationCode", "QueryAuthorizationCode"), asGrant},
		{gormoauth.CreateRefreshTokenGrant[oauthtest.Token](db), fields("QueryToken"), asGrant},
		{gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db), fields("Storage"), asGrant},
		{&grant.Password{AuthenticateUser: func(context.Context, *server.Request, string, string) (storage.User, error) { return nil, nil }}, fields("AuthenticateUser"), asGrant},
		{exchange, map[string]string{"QueryToken": "QueryToken", "Policy": "Policy", "Keys": "Keys and QueryUser go together", "QueryUser": "Keys and QueryUser go together"}, asGrant},
		{&grant.JWTBearer{Keys: publicKeys, QueryUser: findUser, Replays: replays}, fields("Keys", "QueryUser", "Replays"), asGrant},
		{&oidc.Hybrid{Provider: &oidc.Provider{Keys: keys}, Code: codes}, fields("Provider", "Code"), asGrant},
		{&oidc.Implicit{Provider: &oidc.Provider{Keys: keys}}, fields("Provider"), asGrant},

		{gormoauth.CreateRevocationEndpoint[oauthtest.Token](db), map[string]string{"QueryToken": "a nil function", "RevokeToken": "a nil function", "RevokeGrant": "a nil function"}, asEndpoint},
		{gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db), fields("QueryToken"), asEndpoint},
		{gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db), fields("Storage"), asEndpoint},
		{gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db), fields("Storage"), asEndpoint},
		{registration, map[string]string{"Storage": "Storage", "Open": "set either CheckInitialAccessToken, or Open"}, asEndpoint},
		{&endpoint.SoftwareStatements{Keys: publicKeys}, fields("Keys"), func(value any) error {
			return asEndpoint(&endpoint.Registration{Storage: registration.Storage, Open: true, SoftwareStatements: value.(*endpoint.SoftwareStatements)})
		}},
		{&endpoint.JWKS{Keys: keys}, fields("Keys"), asEndpoint},

		{gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{})), map[string]string{"Storage": "Storage or Fetcher", "Fetcher": "Storage or Fetcher"}, asHook},
		{&grant.RequestObjects{Replays: replays}, fields("Replays"), asHook},
		{&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)}, fields("Storage"), asHook},
		{&grant.JARM{Keys: keys}, fields("Keys"), asHook},
		{&dpop.Proofs{Replays: replays}, fields("Replays"), func(value any) error { return asHook(&grant.DPoP{Proofs: *value.(*dpop.Proofs)}) }},
		{&grant.AuthorizationDetailType{Check: check}, map[string]string{"Check": `AuthorizationDetails.Types["payment"].Check is missing`}, func(value any) error {
			return asHook(&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"payment": *value.(*grant.AuthorizationDetailType)}})
		}},
		{&eventlog.Log{Logger: slog.Default()}, fields("Logger"), asHook},

		{&clientauth.PrivateKeyJWT{Replays: replays}, fields("Replays"), asMethod},
		{&clientauth.ClientSecretJWT{Replays: replays}, fields("Replays"), asMethod},
		{&clientauth.TLSClientAuth{Roots: x509.NewCertPool()}, fields("Roots"), asMethod},

		{&oidc.Provider{Keys: keys, Sessions: sessions, Logouts: sessions, Fetcher: fetch.New(fetch.Options{})},
			map[string]string{"Keys": "Keys is missing", "Sessions": "Logouts needs Sessions", "Fetcher": "Logouts needs Sessions"},
			func(value any) error { return value.(*oidc.Provider).Register(p.Server, p.Protector) }},

		{bearer, fields("QueryToken"), asValidator},
		{&resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Keys: keys}, fields("Issuer", "Keys"), asValidator},
		{gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, oauthtest.Issuer, bearer), fields("Tokens", "BaseURL"), asValidator},
		{&resource.Metadata{Resource: "https://api.example", AuthorizationServers: []string{oauthtest.Issuer}}, fields("Resource", "AuthorizationServers"), func(value any) error {
			_, err := resource.NewProtector(resource.Config{Metadata: value.(*resource.Metadata)}, bearer)
			return err
		}},
	} {
		original := reflect.ValueOf(c.value).Elem()
		what := strings.TrimPrefix(original.Type().String(), "*")
		without := func(field string) any {
			copied := reflect.New(original.Type())
			copied.Elem().Set(original)
			if field != "" {
				copied.Elem().FieldByName(field).SetZero()
			}
			return copied.Interface()
		}
		p = oauthtest.New(t, db)
		require.NoError(t, c.register(without("")), "%s is whole", what)
		for field, named := range c.needs {
			p = oauthtest.New(t, db)
			err := c.register(without(field))
			if !assert.Error(t, err, "%s without %s", what, field) {
				continue
			}
			said.WriteString(err.Error() + "\n")
			assert.Contains(t, err.Error(), named, what)
			if named == field {
				assert.Contains(t, err.Error(), original.Type().Name()+".", what)
			}
			assert.NotContains(t, err.Error(), "\n", "%s without %s: one fault, and nothing else", what, field)
		}
	}
	p = oauthtest.New(t, db)
	err := (&oidc.Provider{Keys: keys}).Register(p.Server, nil)
	require.ErrorContains(t, err, "Protector of UserInfo is missing")
	said.WriteString(err.Error())
	_, err = resource.NewProtector(resource.Config{})
	require.ErrorContains(t, err, "NewProtector needs at least one validator")
	everyFaultIsInTheTable(t, said.String())
}

// atRequests are the faults that no constructor can see.
var atRequests = []string{
	"oidc: Provider.Logouts",         // of a program that calls DeliverLogouts
	"generator: JWTAccessToken.Keys", // a generator is a function
	"server: Config.RevokeGrant",     // of a grant that is registered while the server runs
}

// everyFaultIsInTheTable looks for what the library says is missing, in its source.
func everyFaultIsInTheTable(t *testing.T, said string) {
	t.Helper()
	missing, found := regexp.MustCompile(`^(.*?) is missing(?:: | *$|,)`), 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal") || strings.HasPrefix(path, "example") ||
			strings.HasPrefix(path, "bench") || strings.HasPrefix(path, "e2e") || strings.HasPrefix(path, "gormstore") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 || !slices.Contains([]string{"errors.New", "fmt.Errorf", "fault"}, nameOf(call.Fun)) {
				return true
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(literal.Value)
			match := missing.FindStringSubmatch(text)
			if match == nil {
				return true
			}
			found++
			for _, later := range atRequests {
				if strings.HasSuffix(later, match[1]) {
					return true
				}
			}
			pattern := strings.ReplaceAll(regexp.QuoteMeta(match[1]), "%q", ".*") + " is missing"
			assert.Regexp(t, pattern, said, "%s: the fault needs a row", path)
			return true
		})
		return nil
	})
	require.NoError(t, err)
	assert.Greater(t, found, 30, "the faults are not found in the source")
}

// nameOf is the name of a function that is called.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	default:
		return "?"
	}
}

// Every constructor that takes a database refuses none, when the program starts.
func TestConstructorsNeedADatabase(t *testing.T) {
	srv := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)).Server
	constructors := map[string]func(db *gorm.DB){
		"CreateQueryClientFunc":            func(db *gorm.DB) { gormoauth.CreateQueryClientFunc[oauthtest.Client](db) },
		"CreateMetadataDocuments":          func(db *gorm.DB) { gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{})) },
		"CreateClientFactory":              func(db *gorm.DB) { gormoauth.CreateClientFactory[oauthtest.Client](db, srv) },
		"CreateQueryUserFunc":              func(db *gorm.DB) { gormoauth.CreateQueryUserFunc[oauthtest.User](db) },
		"CreateSaveTokenFunc":              func(db *gorm.DB) { gormoauth.CreateSaveTokenFunc[oauthtest.Token](db) },
		"CreateQueryTokenFunc":             func(db *gorm.DB) { gormoauth.CreateQueryTokenFunc[oauthtest.Token](db) },
		"CreateRevokeTokenFunc":            func(db *gorm.DB) { gormoauth.CreateRevokeTokenFunc[oauthtest.Token](db) },
		"CreateRevokeGrantFunc":            func(db *gorm.DB) { gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db) },
		"CreateRevokeClientFunc":           func(db *gorm.DB) { gormoauth.CreateRevokeClientFunc[oauthtest.Token](db) },
		"CreateRevokeUserFunc":             func(db *gorm.DB) { gormoauth.CreateRevokeUserFunc[oauthtest.Token](db) },
		"CreateSaveAuthorizationCodeFunc":  func(db *gorm.DB) { gormoauth.CreateSaveAuthorizationCodeFunc[oauthtest.AuthorizationCode](db) },
		"CreateQueryAuthorizationCodeFunc": func(db *gorm.DB) { gormoauth.CreateQueryAuthorizationCodeFunc[oauthtest.AuthorizationCode](db) },
		"CreateAuthorizationCodeGrant":     func(db *gorm.DB) { gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db) },
		"CreateRefreshTokenGrant":          func(db *gorm.DB) { gormoauth.CreateRefreshTokenGrant[oauthtest.Token](db) },
		"CreateTokenExchangeGrant":         func(db *gorm.DB) { gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db) },
		"CreateRegistrationEndpoint":       func(db *gorm.DB) { gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db) },
		"CreateClientRegistrationStorage":  func(db *gorm.DB) { gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](db) },
		"CreatePushedAuthorizationRequestEndpoint": func(db *gorm.DB) {
			gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)
		},
		"CreatePushedRequestStorage": func(db *gorm.DB) { gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](db) },
		"CreateSigningKeys": func(db *gorm.DB) {
			gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
		},
		"CreateConsentStorage": func(db *gorm.DB) {
			gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
		},
		"CreateSessionStorage": func(db *gorm.DB) {
			gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](db)
		},
		"CreateReplayStorage":               func(db *gorm.DB) { gormoauth.CreateReplayStorage[oauthtest.Replay](db) },
		"CreateAuditStorage":                func(db *gorm.DB) { gormoauth.CreateAuditStorage[oauthtest.Audit](db, gormstore.AuditOptions{}) },
		"CreateDeviceAuthorizationEndpoint": func(db *gorm.DB) { gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db) },
		"CreateDeviceCodeGrant":             func(db *gorm.DB) { gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db) },
		"CreateDeviceCodeStorage":           func(db *gorm.DB) { gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db) },
		"CreateRevocationEndpoint":          func(db *gorm.DB) { gormoauth.CreateRevocationEndpoint[oauthtest.Token](db) },
		"CreateIntrospectionEndpoint":       func(db *gorm.DB) { gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db) },
		"CreateBearerTokenValidator":        func(db *gorm.DB) { gormoauth.CreateBearerTokenValidator[oauthtest.Token](db) },
		"CreateDPoP":                        func(db *gorm.DB) { gormoauth.CreateDPoP[oauthtest.Replay](db) },
		"CreateDPoPTokenValidator": func(db *gorm.DB) {
			gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, oauthtest.Issuer, &resource.BearerTokenValidator{})
		},
		"CreateDigestPlaintextFunc": func(db *gorm.DB) { gormoauth.CreateDigestPlaintextFunc[oauthtest.Token](db) },
		"CreatePruneFunc":           func(db *gorm.DB) { gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db) },
		"CreateEraseFunc":           func(db *gorm.DB) { gormoauth.CreateEraseFunc[oauthtest.Token, oauthtest.AuthorizationCode](db) },
	}
	for name, construct := range constructors {
		for _, db := range []*gorm.DB{nil, {}} {
			assert.Contains(t, whatPanics(func() { construct(db) }), "the *gorm.DB is nil or not open; pass what gorm.Open returned", name)
		}
	}
	_, err := gormoauth.WithAudit[oauthtest.Audit](nil)
	require.ErrorContains(t, err, "the *gorm.DB is nil or not open")
	assert.Contains(t, whatPanics(func() {
		gormoauth.CreateClientFactory[oauthtest.Client](testdb.Open(t, testdb.SQLiteGo), nil)
	}), "ClientFactory: the *server.Server is nil")

	file, err := parser.ParseFile(token.NewFileSet(), "helpers.go", nil, 0)
	require.NoError(t, err)
	for _, declaration := range file.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Create") {
			assert.Contains(t, constructors, f.Name.Name, "the constructor needs a row")
		}
	}
}

// whatPanics returns what a function panics with.
func whatPanics(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}
