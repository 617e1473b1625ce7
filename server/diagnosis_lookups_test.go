package server_test

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/uuid"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// What a database refuses is found before the first request, and so is a function that
// answers with what it was not asked for.
func TestLookUpsAreDiagnosed(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		parse := func(parse func(string) error) storage.QueryUserFunc {
			return func(_ context.Context, id string) (storage.User, error) { return nil, parse(id) }
		}
		var missing *gormstore.Users
		for rule, c := range map[string]struct {
			query storage.QueryUserFunc
			want  []string
		}{
			"a condition":                  {gormoauth.CreateQueryUserFunc[oauthtest.User](db.Where("disabled = ?", false)), nil},
			"a column that is not":         {gormoauth.CreateQueryUserFunc[oauthtest.User](db.Where("disabledd = ?", false)), []string{"lookup Config.QueryUser"}},
			"a value that is missing":      {gormoauth.CreateQueryUserFunc[oauthtest.User](db.Where("disabled = ?")), []string{"lookup Config.QueryUser"}},
			"a bracket that is open":       {gormoauth.CreateQueryUserFunc[oauthtest.User](db.Where("disabled = ? OR (", false)), []string{"lookup Config.QueryUser"}},
			"a comment":                    {gormoauth.CreateQueryUserFunc[oauthtest.User](db.Where("disabled = ? --", false)), []string{"lookup Config.QueryUser"}},
			"numbers of the program's own": {parse(func(id string) error { _, err := strconv.Atoi(id); return err }), nil},
			"UUIDs of the program's own":   {parse(func(id string) error { _, err := uuid.Parse(id); return err }), nil},
			"an error for nobody":          {parse(func(string) error { return errors.New("no such user") }), []string{"lookup Config.QueryUser"}},
			"somebody else":                {func(context.Context, string) (storage.User, error) { return storage.UserID("7"), nil }, []string{"lookup Config.QueryUser"}},
			"a method of nothing":          {missing.Query, []string{"lookup Config.QueryUser"}},
		} {
			p := oauthtest.New(t, db, func(config *server.Config) { config.QueryUser = c.query })
			findings := p.Server.Diagnose(t.Context())
			assert.Equal(t, c.want, checks(t, findings), rule)
			assert.Equal(t, c.want == nil, findings.Err() == nil, rule)
		}
	})
}

func TestEachStoreOfAHandleIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	srv, err := gormoauth.New(db.Where("nothing = ?", 1), server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}, gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](),
		gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]())
	require.NoError(t, err)
	require.NoError(t, srv.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db.Where("nothing = ?", 1))))
	require.NoError(t, srv.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db.Where("nothing = ?", 1))))
	protector, err := resource.NewProtector(resource.Config{Metadata: &resource.Metadata{Resource: "https://api.example", AuthorizationServers: []string{oauthtest.Issuer}}},
		gormoauth.CreateBearerTokenValidator[oauthtest.Token](db.Where("nothing = ?", 1)))
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"lookup Config.QueryClient", "lookup Config.QueryUser", "lookup grant.AuthorizationCode.QueryAuthorizationCode", "lookup grant.RefreshToken.QueryToken",
		"lookup grant.DeviceCode.Storage", "lookup endpoint.PushedAuthorizationRequest.Storage", "lookup endpoint.Introspection.QueryToken",
		"lookup resource.BearerTokenValidator.QueryToken",
	}, checks(t, srv.Diagnose(t.Context(), protector)))
}

// What is allowed and lets strangers in is said once, and not on a machine that nobody
// else reaches.
func TestWhatIsOpenIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	bearer := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	protector := func(config resource.Config, validators ...resource.TokenValidator) []server.DiagnoseHook {
		p, err := resource.NewProtector(config, validators...)
		require.NoError(t, err)
		return []server.DiagnoseHook{p}
	}
	metadata := &resource.Metadata{Resource: "https://api.example", AuthorizationServers: []string{oauthtest.Issuer}}
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	jwts := &resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: "https://api.example", Keys: keys}
	for rule, c := range map[string]struct {
		register func(p *oauthtest.Provider) error
		more     []server.DiagnoseHook
		want     []string
	}{
		"nothing": {func(*oauthtest.Provider) error { return nil }, nil, nil},
		"open registration": {func(p *oauthtest.Provider) error {
			e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
			e.Open = true
			return p.Server.RegisterEndpoint(e)
		}, nil, []string{"open_registration endpoint.Registration.Open"}},
		"with a check": {func(p *oauthtest.Provider) error {
			e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
			e.Open, e.Check = true, func(context.Context, *server.Request, *models.ClientMetadata) error { return nil }
			return p.Server.RegisterEndpoint(e)
		}, nil, nil},
		"with a token": {func(p *oauthtest.Provider) error {
			e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
			e.CheckInitialAccessToken = func(context.Context, *server.Request, string) (bool, error) { return false, nil }
			return p.Server.RegisterEndpoint(e)
		}, nil, nil},
		"documents without a check": {func(p *oauthtest.Provider) error {
			return p.Server.Register(gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{})))
		}, nil, []string{"documents_check clientauth.MetadataDocuments.Check"}},
		"documents with a check": {func(p *oauthtest.Provider) error {
			documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{}))
			documents.Check = func(context.Context, *url.URL, *models.ClientMetadata) error { return nil }
			return p.Server.Register(documents)
		}, nil, nil},
		"an API that takes tokens of every resource": {func(*oauthtest.Provider) error { return nil }, protector(resource.Config{}, bearer), []string{"resource resource.Config.Metadata"}},
		"an API that says what it is":                {func(*oauthtest.Provider) error { return nil }, protector(resource.Config{Metadata: metadata}, bearer), nil},
		"JWTs of one audience":                       {func(*oauthtest.Provider) error { return nil }, protector(resource.Config{}, jwts), nil},
	} {
		p := oauthtest.New(t, db)
		require.NoError(t, c.register(p), rule)
		assert.Equal(t, c.want, checks(t, p.Server.Diagnose(t.Context(), c.more...)), rule)
		local := oauthtest.New(t, db, func(config *server.Config) { config.Issuer = "http://127.0.0.1:8080" })
		require.NoError(t, c.register(local), rule)
		assert.Empty(t, local.Server.Diagnose(t.Context(), c.more...), rule)
	}
}
