package server_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A value may be checked by a server that then refuses it, or by two servers with different
// settings. Therefore a check leaves the value and the settings as they are.
func TestCheckConfigChangesNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}})
	fetcher := fetch.New(fetch.Options{})
	keysOf := func(context.Context, string) (*jose.JSONWebKeySet, error) { return nil, nil }
	userOf := func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return nil, nil }
	devices, codes := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db), gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	bearer := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	protector, err := resource.NewProtector(resource.Config{}, bearer)
	require.NoError(t, err)
	provider := &oidc.Provider{Keys: keys}
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open, registration.SoftwareStatements = true, &endpoint.SoftwareStatements{Keys: keysOf}

	config := server.Config{
		Issuer: oauthtest.Issuer, Secrets: secret.Keyring{make([]byte, 32)}, NoOlderInstances: true,
		RevokeGrant: gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db),
	}
	values := []any{
		&clientauth.ClientSecretJWT{Replays: replays},
		gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetcher),
		&clientauth.PrivateKeyJWT{Replays: replays},
		&clientauth.TLSClientAuth{Roots: x509.NewCertPool()},
		&endpoint.DeviceAuthorization{Storage: devices},
		gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db),
		&endpoint.JWKS{Keys: keys},
		&endpoint.Metadata{Keys: keys},
		gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db),
		registration,
		gormoauth.CreateRevocationEndpoint[oauthtest.Token](db),
		&eventlog.Log{Logger: slog.New(slog.DiscardHandler)},
		codes,
		grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"payment": {
			Members: struct{}{}, Check: func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil },
		}}},
		&grant.DeviceCode{Storage: devices},
		gormoauth.CreateDPoP[oauthtest.Replay](db),
		&grant.JARM{Keys: keys},
		&grant.JWTBearer{Keys: keysOf, QueryUser: userOf, Replays: replays},
		&grant.Password{AuthenticateUser: func(context.Context, *server.Request, string, string) (storage.User, error) { return nil, nil }},
		gormoauth.CreateRefreshTokenGrant[oauthtest.Token](db),
		&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)},
		&grant.RequestObjects{Replays: replays},
		grant.ResourceIndicators{Resources: []string{"https://api.example.com"}},
		&grant.TokenExchange{
			QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db),
			Policy:     func(context.Context, *server.Request, *grant.Exchange) error { return nil },
		},
		&oidc.Implicit{Provider: provider},
		&oidc.Hybrid{Provider: provider, Code: codes},
		provider,
		&oidc.UserInfo{Provider: provider, Protector: protector},
		gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, "https://api.example.com", bearer),
	}
	var tested []string
	for _, value := range values {
		name := strings.TrimPrefix(fmt.Sprintf("%T", value), "*")
		tested = append(tested, name)
		before, settings := snapshot(value), snapshot(config)
		switch value := value.(type) {
		case server.ConfigChecker:
			require.NoError(t, value.CheckConfig(&config), "%s: it is checked to the end", name)
		case interface{ CheckConfig() error }:
			require.NoError(t, value.CheckConfig(), "%s: it is checked to the end", name)
		}
		assert.Equal(t, before, snapshot(value), name)
		assert.Equal(t, settings, snapshot(config), name)
	}
	slices.Sort(tested)
	assert.Equal(t, checkers(t), tested, "every type with a CheckConfig is tested")
}

// checkers returns the types below this directory that have a method CheckConfig, sorted.
func checkers(t *testing.T) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil || method.Name.Name != "CheckConfig" {
				continue
			}
			receiver := method.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			names = append(names, fmt.Sprintf("%s.%s", file.Name.Name, receiver))
		}
		return nil
	}))
	slices.Sort(names)
	return names
}

// snapshot writes down a value with all fields, and what they point to among the settings:
// values of the packages below server. What lies behind the storage is not a setting.
func snapshot(value any) string {
	var b strings.Builder
	write(&b, reflect.ValueOf(value), make(map[uintptr]bool))
	return b.String()
}

func write(b *strings.Builder, v reflect.Value, seen map[uintptr]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		fmt.Fprintf(b, "%#x", v.Pointer())
		if !seen[v.Pointer()] && strings.HasPrefix(v.Type().Elem().PkgPath(), "github.com/gormoauth/gormoauth/server") {
			seen[v.Pointer()] = true
			write(b, v.Elem(), seen)
		}
	case reflect.Interface:
		write(b, v.Elem(), seen)
	case reflect.Struct:
		b.WriteString("{")
		for i := range v.NumField() {
			b.WriteString(v.Type().Field(i).Name + ": ")
			write(b, v.Field(i), seen)
			b.WriteString("\n")
		}
		b.WriteString("}")
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(b, "%t[", v.Kind() == reflect.Slice && v.IsNil())
		for i := range v.Len() {
			write(b, v.Index(i), seen)
			b.WriteString(",")
		}
		b.WriteString("]")
	case reflect.Map:
		fmt.Fprintf(b, "%t", v.IsNil())
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) }) {
			write(b, key, seen)
			b.WriteString(": ")
			write(b, v.MapIndex(key), seen)
		}
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		fmt.Fprintf(b, "%#x", v.Pointer())
	case reflect.Invalid:
		b.WriteString("nil")
	default:
		fmt.Fprintf(b, "%v", v)
	}
}
