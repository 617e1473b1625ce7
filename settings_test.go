package gormoauth_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
	"golang.org/x/text/message/catalog"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/locale"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

func allParts() map[string]gormoauth.Part {
	return map[string]gormoauth.Part{
		"Clients": gormoauth.Clients[oauthtest.Client](), "Tokens": gormoauth.Tokens[oauthtest.Token](),
		"AuthorizationCodes": gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), "Users": gormoauth.Users[oauthtest.User](),
		"Registration": gormoauth.Registration[oauthtest.Client, oauthtest.Token](), "OpenID": gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey](),
		"KeysReadableInDatabase": gormoauth.KeysReadableInDatabase(), "FAPI2SecurityProfile": gormoauth.FAPI2SecurityProfile[oauthtest.PushedRequest, oauthtest.Replay](),
	}
}

// without returns all parts except some.
func without(names ...string) (parts []gormoauth.Part) {
	for name, part := range allParts() {
		if !slices.Contains(names, name) {
			parts = append(parts, part)
		}
	}
	return parts
}

// newProvider is a provider of a server with these settings.
func newProvider(t *testing.T, db *gorm.DB, config server.Config, parts ...gormoauth.Part) *oauthtest.Provider {
	t.Helper()
	p := &oauthtest.Provider{T: t, DB: db, User: &oauthtest.User{}, Now: time.Unix(1_800_000_000, 0)}
	require.NoError(t, db.Create(p.User).Error)
	config.Clock = func() time.Time { return p.Now }
	config.Logger = oauthtest.Logger(config.Logger)
	var err error
	p.Server, err = gormoauth.New(db, config, parts...)
	require.NoError(t, err)
	return p
}

// storeToken stores a token of the provider's user that somebody has, and returns its text.
func storeToken(t *testing.T, p *oauthtest.Provider, change func(*models.TokenMixin)) string {
	t.Helper()
	text := secret.Generate("", secret.AccessToken)
	row := &oauthtest.Token{UserID: &p.User.ID, TokenMixin: models.TokenMixin{
		AccessToken: secret.Digest(text), TokenType: "Bearer", Scope: "openid email", IssuedAt: p.Now.Unix(), ExpiresIn: 60,
	}}
	change(&row.TokenMixin)
	require.NoError(t, p.DB.Create(row).Error)
	return text
}

func TestAPartIsGivenOnce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	config := server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}
	for name, part := range allParts() {
		_, err := gormoauth.New(db, config, append(without(), part)...)
		assert.ErrorContains(t, err, "gormoauth: the part "+name+" is given twice; leave one out")
	}
}

type (
	pointerKey struct {
		ID uint
		*models.SigningKeyMixin
	}

	pointerPushed struct {
		ID uint
		*models.PushedRequestMixin
	}
)

// A part whose model cannot be used says so, in a server that is whole otherwise.
func TestEachPartReportsItsModel(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	config := server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}
	const inClient = "pointerClient embeds *models.ClientMixin; embed models.ClientMixin, without the star"
	for _, c := range []struct {
		instead, fault string
		part           gormoauth.Part
	}{
		{"Clients", inClient, gormoauth.Clients[pointerClient]()},
		{"Clients", inClient, gormoauth.Clients[pointerClient](gormstore.ClientOptions{RewritePlaintext: true})},
		{"Tokens", "prefixedToken has the column", gormoauth.Tokens[prefixedToken]()},
		{"AuthorizationCodes", "userlessCode has no field UserID", gormoauth.AuthorizationCodes[userlessCode]()},
		{"Users", "was given an empty condition", gormoauth.Users[oauthtest.User](&oauthtest.User{})},
		{"Registration", inClient, gormoauth.Registration[pointerClient, oauthtest.Token]()},
		{"Registration", "prefixedToken has the column", gormoauth.Registration[oauthtest.Client, prefixedToken]()},
		{"OpenID", "pointerKey embeds *models.SigningKeyMixin", gormoauth.OpenID[oauthtest.User, pointerKey]()},
		{"FAPI2SecurityProfile", "pointerPushed embeds *models.PushedRequestMixin", gormoauth.FAPI2SecurityProfile[pointerPushed, oauthtest.Replay]()},
		{"FAPI2SecurityProfile", "pointerReplay embeds *models.ReplayMixin", gormoauth.FAPI2SecurityProfile[oauthtest.PushedRequest, pointerReplay]()},
	} {
		srv, err := gormoauth.New(db, config, append(without(c.instead), c.part)...)
		require.ErrorContains(t, err, c.fault)
		assert.NotContains(t, err.Error(), "\n", "and nothing else")
		assert.Nil(t, srv)
	}
}

// Functions and methods that Config has are called, with the parts and without.
func TestWhatConfigHasIsKept(t *testing.T) {
	for name, own := range map[string][]gormoauth.Part{
		"with the parts":    without("OpenID", "FAPI2SecurityProfile", "Registration", "KeysReadableInDatabase"),
		"without the parts": {allParts()["AuthorizationCodes"]},
	} {
		t.Run(name, func(t *testing.T) {
			db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
			called := make(map[string]bool)
			queryClient, queryUser := gormoauth.CreateQueryClientFunc[oauthtest.Client](db), gormoauth.CreateQueryUserFunc[oauthtest.User](db)
			save, revoke := gormoauth.CreateSaveTokenFunc[oauthtest.Token](db), gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db)
			p := newProvider(t, db, server.Config{
				Issuer:            oauthtest.Issuer,
				ClientAuthMethods: []server.ClientAuthMethod{clientauth.ClientSecretPost{}},
				QueryClient: func(ctx context.Context, id string) (storage.Client, error) {
					called["QueryClient"] = true
					return queryClient(ctx, id)
				},
				QueryUser: func(ctx context.Context, id string) (storage.User, error) {
					called["QueryUser"] = true
					return queryUser(ctx, id)
				},
				SaveToken: func(ctx context.Context, exchange storage.Exchange) error {
					called["SaveToken"] = true
					return save(ctx, exchange)
				},
				RevokeGrant: func(ctx context.Context, grantID string, now time.Time) error {
					called["RevokeGrant"] = true
					return revoke(ctx, grantID, now)
				},
			}, own...)
			assert.Equal(t, []string{models.ClientSecretPost}, p.Server.Metadata()["token_endpoint_auth_methods_supported"])
			client := p.NewClient(func(c *oauthtest.Client) {
				c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.GrantTypes = models.ClientSecretPost, []string{"authorization_code"}
			})
			code := p.Code(client, "")
			require.Equal(t, http.StatusOK, p.Redeem(client, code).Status)
			require.Equal(t, http.StatusBadRequest, p.Redeem(client, code).Status)
			assert.Equal(t, map[string]bool{"QueryClient": true, "QueryUser": true, "SaveToken": true, "RevokeGrant": true}, called)
		})
	}
}

// What a program looks after itself, and what it then needs.
func TestWhatIsMissingDependsOnWhatIsGiven(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	clients, codes, users := allParts()["Clients"], allParts()["AuthorizationCodes"], allParts()["Users"]
	const noTokens, noUsers = "where are tokens kept?", "who may still be served?"
	revoke := func(context.Context, string, time.Time) error { return nil }
	for _, c := range []struct {
		config server.Config
		parts  []gormoauth.Part
		fault  string
	}{
		{server.Config{SaveToken: saveNothing}, []gormoauth.Part{clients}, ""}, // grants of its own follow
		{server.Config{SaveToken: saveNothing, RevokeGrant: revoke}, []gormoauth.Part{clients}, ""},
		{server.Config{SaveToken: saveNothing}, []gormoauth.Part{clients, codes, users}, noTokens},
		{server.Config{SaveToken: saveNothing, RevokeGrant: revoke}, []gormoauth.Part{clients, codes}, noUsers},
		{server.Config{SaveToken: saveNothing, RevokeGrant: revoke}, []gormoauth.Part{clients, codes, users}, ""},
		{server.Config{RevokeGrant: revoke}, []gormoauth.Part{clients, users}, noTokens},
	} {
		c.config.Issuer = oauthtest.Issuer
		_, err := gormoauth.New(db, c.config, c.parts...)
		if c.fault == "" {
			assert.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.fault)
		assert.NotContains(t, err.Error(), "\n", "and nothing else")
	}
}

// The options of the part Clients hold for the server's clients.
func TestAPlaintextSecretIsRewrittenByOption(t *testing.T) {
	for _, rewrite := range []bool{false, true} {
		db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
		p := newProvider(t, db, server.Config{Issuer: oauthtest.Issuer}, allParts()["Tokens"], allParts()["Users"], gormoauth.Clients[oauthtest.Client](gormstore.ClientOptions{RewritePlaintext: rewrite}))
		client := p.StoreClient(oauthtest.Grants("client_credentials"))
		require.NoError(t, db.Model(client).Update("client_secret", client.Secret).Error)
		require.Equal(t, http.StatusOK, p.Token(client, "grant_type=client_credentials").Status)
		var row oauthtest.Client
		require.NoError(t, db.Take(&row, client.ID).Error)
		assert.Equal(t, rewrite, row.ClientSecret == models.HashClientSecret(client.Secret))
		assert.Equal(t, !rewrite, row.ClientSecret == client.Secret)
	}
}

// What ends, erases and prunes does so in the tables of its models, and the server's hooks are told of what
// the storage ended.
func TestFunctionsThatEndAndRemove(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, ctx := oauthtest.New(t, db), oauthtest.Brief(t)
	var told []server.Revocation
	require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, _ *server.Request, revocation server.Revocation) {
		told = append(told, revocation)
	})))
	client := p.NewClient(nil)
	issue := func() string { return p.Redeem(client, p.Code(client, "")).Body["access_token"] }

	token := issue()
	require.NoError(t, gormoauth.CreateRevokeClientFunc[oauthtest.Token](db)(ctx, client.ClientID, p.Now))
	assert.False(t, p.Valid(token))
	token = issue()
	require.NoError(t, gormoauth.CreateRevokeUserFunc[oauthtest.Token](db)(ctx, p.User.GetUserID(), p.Now))
	assert.False(t, p.Valid(token))
	assert.Equal(t, []server.Revocation{{ClientID: client.ClientID, Reason: server.RevokedByClient}, {UserID: p.User.GetUserID(), Reason: server.RevokedByUser}}, told)
	closed, cancel := context.WithCancel(ctx)
	cancel()
	require.Error(t, gormoauth.CreateRevokeClientFunc[oauthtest.Token](db)(closed, client.ClientID, p.Now))
	require.Error(t, gormoauth.CreateRevokeUserFunc[oauthtest.Token](db)(closed, p.User.GetUserID(), p.Now))

	issue()
	require.Positive(t, p.Rows(&oauthtest.Token{}))
	prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, gormoauth.CreateReplayStorage[oauthtest.Replay](db))
	require.NoError(t, db.Create(&oauthtest.Replay{ReplayMixin: models.ReplayMixin{ReplayKey: "key", ExpiresAt: 1}}).Error)
	for _, model := range []any{&oauthtest.Token{}, &oauthtest.AuthorizationCode{}} {
		require.NoError(t, db.Model(model).Where("1 = 1").Update("expires_at", 1).Error)
	}
	notKept := gormstore.PruneOptions{KeepSpent: -1}
	require.NoError(t, prune(ctx, notKept))
	assert.Equal(t, []int64{0, 0, 0}, []int64{p.Rows(&oauthtest.Token{}), p.Rows(&oauthtest.AuthorizationCode{}), p.Rows(&oauthtest.Replay{})})
	require.Error(t, prune(closed, notKept))

	issue()
	consents := gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
	require.NoError(t, db.Create(&oauthtest.Consent{UserID: p.User.ID, ConsentMixin: models.ConsentMixin{ConsentKey: "key"}}).Error)
	erase := gormoauth.CreateEraseFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, consents)
	removed, err := erase(ctx, p.User.GetUserID())
	require.NoError(t, err)
	assert.Equal(t, int64(3), removed, "a code, its token and a consent")
	assert.Equal(t, []int64{0, 0, 0}, []int64{p.Rows(&oauthtest.Token{}), p.Rows(&oauthtest.AuthorizationCode{}), p.Rows(&oauthtest.Consent{})})
	_, err = erase(closed, p.User.GetUserID())
	require.Error(t, err)
}

// dialect is one that remembers its handle, or cannot be initialized.
type dialect struct {
	gorm.Dialector
	fails error
	db    *gorm.DB
}

func (d *dialect) Initialize(db *gorm.DB) error {
	d.db = db
	return errors.Join(d.fails, d.Dialector.Initialize(db))
}

func TestSchemaSQLClosesWhatItOpens(t *testing.T) {
	d := &dialect{Dialector: testdb.Open(t, testdb.SQLiteGo).Dialector}
	_, err := gormoauth.SchemaSQL(d, &oauthtest.User{})
	require.NoError(t, err)
	pool, err := d.db.DB()
	require.NoError(t, err)
	require.ErrorContains(t, pool.PingContext(t.Context()), "closed")

	d.fails = errors.New("no such dialect")
	text, err := gormoauth.SchemaSQL(d, &oauthtest.User{})
	require.ErrorContains(t, err, "no such dialect")
	assert.Empty(t, text)
}

// UserInfo of a server with a profile takes tokens that are bound to a key, by the server's clock and issuers.
func TestUserInfoHasTheSettingsOfItsServer(t *testing.T) {
	const issuer, address = oauthtest.Issuer + "/tenant", oauthtest.Issuer + "/tenant/oauth/userinfo"
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db, server.Config{Issuer: issuer, FormerIssuers: []string{"https://former.example"}, Secrets: oauthtest.ServerSecrets()}, without("KeysReadableInDatabase", "Registration")...)
	assert.Equal(t, []string{"ES256"}, p.Server.Metadata()["id_token_signing_alg_values_supported"], "RS256 is none of the profile")
	key := oauthtest.NewKey(t)
	client := p.StoreClient(nil)
	bound := func(more func(*models.TokenMixin)) func(*models.TokenMixin) {
		return func(token *models.TokenMixin) {
			token.ClientID, token.TokenType, token.Confirmation = client.ClientID, "DPoP", `{"jkt":"`+oauthtest.Thumbprint(t, key)+`"}`
			more(token)
		}
	}
	ask := func(scheme, token, at string) oauthtest.Answer {
		sum := sha256.Sum256([]byte(token))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/tenant/oauth/userinfo", http.NoBody)
		r.Header.Set("Authorization", scheme+" "+token)
		r.Header.Set("DPoP", p.DPoP(key, http.MethodGet, at, "ath", base64.RawURLEncoding.EncodeToString(sum[:])))
		return p.Serve(r)
	}
	for rule, c := range map[string]struct {
		change  func(*models.TokenMixin)
		refused string
	}{
		"of this issuer":       {func(token *models.TokenMixin) { token.Issuer = issuer }, ""},
		"of an older release":  {func(*models.TokenMixin) {}, ""},
		"of a former issuer":   {func(token *models.TokenMixin) { token.Issuer = "https://former.example" }, ""},
		"of another issuer":    {func(token *models.TokenMixin) { token.Issuer = "https://other.example" }, "The access token is unknown."},
		"in its last second":   {func(token *models.TokenMixin) { token.IssuedAt -= 59 }, ""},
		"that has expired":     {func(token *models.TokenMixin) { token.IssuedAt -= 60 }, "The access token has expired."},
		"without the scope":    {func(token *models.TokenMixin) { token.Scope = "email" }, "The access token does not have the required scope."},
		"that is of no client": {func(token *models.TokenMixin) { token.ClientID = "" }, "The user or the client of the access token is gone or disabled."},
	} {
		a := ask("DPoP", storeToken(t, p, bound(c.change)), address)
		assert.Equal(t, c.refused, a.Body["error_description"], rule)
		if c.refused == "" {
			assert.Equal(t, p.User.GetUserID(), a.Body["sub"], rule)
		}
	}
	token := storeToken(t, p, bound(func(*models.TokenMixin) {}))
	a := ask("DPoP", token, issuer+"/userinfo")
	assert.Equal(t, "invalid_dpop_proof", a.Body["error"], "by a proof for another address")
	a = ask("Bearer", token, address)
	assert.Equal(t, "The access token is unknown.", a.Body["error_description"], "as a bearer token")
	assert.Equal(t, []string{
		`Bearer realm="api", error="invalid_token", error_description="The access token is unknown."`, `DPoP realm="api", algs="PS256 ES256 EdDSA"`,
	}, a.Header["Www-Authenticate"])
	a = ask("Bearer", storeToken(t, p, func(token *models.TokenMixin) { token.ClientID = client.ClientID }), address)
	assert.Equal(t, "The access token must be bound to a key or a certificate.", a.Body["error_description"])
}

// The keys of the part OpenID sign by both algorithms. They are encrypted in the database if the server has
// secrets, and those that were there before once no older instance runs.
func TestKeysOfThePartOpenID(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	start := func(config server.Config) (legible int) {
		config.Issuer = oauthtest.Issuer
		p := newProvider(t, db, config, without("FAPI2SecurityProfile")...)
		assert.Equal(t, []string{"ES256", "RS256"}, p.Server.Metadata()["id_token_signing_alg_values_supported"])
		require.NoError(t, p.Server.PrepareKeys(t.Context()))
		var rows []oauthtest.SigningKey
		require.NoError(t, db.Find(&rows).Error)
		require.NotEmpty(t, rows)
		for _, row := range rows {
			if json.Valid([]byte(row.PrivateKey)) || strings.Contains(row.PrivateKey, "BEGIN") {
				legible++
			}
		}
		return legible
	}
	assert.Zero(t, start(server.Config{Secrets: oauthtest.ServerSecrets()}), "encrypted from the start")
	require.NoError(t, db.Where("1 = 1").Delete(&oauthtest.SigningKey{}).Error)
	before := start(server.Config{})
	assert.Positive(t, before, "nothing to encrypt them by")
	assert.Equal(t, before, start(server.Config{Secrets: oauthtest.ServerSecrets()}), "an older instance may read them")
	assert.Zero(t, start(server.Config{Secrets: oauthtest.ServerSecrets(), NoOlderInstances: true}))
}

// What protects an MCP server has the settings of the authorization server.
func TestTheProtectorOfMCPHasTheSettingsOfItsServer(t *testing.T) {
	const address = "https://mcp.example/v1/mcp"
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	translator, err := locale.NewTranslator(func(b *catalog.Builder) error {
		return b.SetString(language.MustParse("fy"), "The access token is unknown.", "Net bekend.")
	})
	require.NoError(t, err)
	p := &oauthtest.Provider{T: t, DB: db, User: &oauthtest.User{}, Now: time.Unix(1_800_000_000, 0)}
	require.NoError(t, db.Create(p.User).Error)
	var log strings.Builder
	mcp, err := gormoauth.MCP(db, gormoauth.MCPConfig{Resource: address, Scopes: []string{"tools", "prompts"}, Server: server.Config{
		Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets(), Clock: func() time.Time { return p.Now }, Translator: translator,
		AllowOrigin: func(origin string) bool { return origin == "https://page.example" },
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
		RemoteAddress: func(*http.Request) string { return "192.0.2.7" }, RequestID: func(*http.Request) string { return "request-7" },
	}}, without("KeysReadableInDatabase")...)
	require.NoError(t, err)
	assert.Equal(t, mcp.Profile(), mcp.Protector.Profile())
	p.Server = mcp.Server
	key := oauthtest.NewKey(t)
	bound := func(token *models.TokenMixin) {
		token.TokenType, token.Confirmation, token.Scope, token.Audience = "DPoP", `{"jkt":"`+oauthtest.Thumbprint(t, key)+`"}`, "tools", address
	}
	mux := http.NewServeMux()
	for path, handler := range mcp.Routes() {
		mux.Handle(path, handler)
	}
	mux.Handle("/v1/mcp", mcp.Protector.Require("tools")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	ask := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	call := func(token string, more ...string) *httptest.ResponseRecorder {
		sum := sha256.Sum256([]byte(token))
		proof := p.DPoP(key, http.MethodPost, address, "ath", base64.RawURLEncoding.EncodeToString(sum[:]))
		return ask(http.MethodPost, "/v1/mcp", append([]string{"Authorization", "DPoP " + token, "DPoP", proof}, more...)...)
	}
	token := storeToken(t, p, bound)
	assert.Equal(t, http.StatusOK, call(token).Code)
	for origin, allowed := range map[string]string{"https://page.example": "https://page.example", "https://other.example": ""} {
		w := ask(http.MethodOptions, "/v1/mcp", "Origin", origin, "Access-Control-Request-Method", http.MethodPost)
		assert.Equal(t, allowed, w.Header().Get("Access-Control-Allow-Origin"))
	}
	p.Now = p.Now.Add(60 * time.Second)
	assert.Contains(t, call(token).Body.String(), "The access token has expired.")
	log.Reset()
	assert.JSONEq(t, `{"error":"invalid_token","error_description":"Net bekend."}`, call("unknown", "Accept-Language", "fy").Body.String())
	assert.JSONEq(t, `{"level":"INFO","msg":"an OAuth request was refused","endpoint":"resource","path":"/v1/mcp","status":401,"error":"invalid_token","error_description":"The access token is unknown.","remote_address":"192.0.2.7","request_id":"request-7"}`, log.String())
	assert.JSONEq(t, `{"resource":"`+address+`","authorization_servers":["`+oauthtest.Issuer+`"],"scopes_supported":["tools","prompts"],"bearer_methods_supported":["header"]}`,
		ask(http.MethodGet, "/.well-known/oauth-protected-resource/v1/mcp").Body.String())
}

// An MCP server that is part of the same program asks nobody about tokens, and gives no client more to ask.
func TestMCPWithoutAnAPI(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	parts := without("FAPI2SecurityProfile", "OpenID", "KeysReadableInDatabase", "Registration")
	for api, checks := range map[string]int{"": 0, "mcp": 1} {
		mcp, err := gormoauth.MCP(db, gormoauth.MCPConfig{Server: server.Config{Issuer: oauthtest.Issuer}, Resource: oauthtest.Issuer + "/mcp", API: api}, parts...)
		require.NoError(t, err)
		found := slices.DeleteFunc(mcp.Diagnose(t.Context()), func(f finding.Finding) bool { return !strings.Contains(f.Where, "Introspection.APIs") })
		assert.Len(t, found, checks, "the client of an API that does not exist")
	}
	_, err := gormoauth.MCP(db, gormoauth.MCPConfig{Server: server.Config{Issuer: oauthtest.Issuer}, Resource: oauthtest.Issuer + "/mcp", API: "mcp"})
	require.ErrorContains(t, err, "MCP needs gormoauth.Tokens[Token]()")
}

// What fetches documents of clients uses TLS by the rules of the profile.
func TestFetchersHaveTheTLSOfTheProfile(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	profile, none := fmt.Sprint(fapi.TLSConfig().MinVersion, fapi.TLSConfig().CipherSuites), "0 []"
	for _, c := range []struct {
		left string
		want []string
	}{{"", []string{profile, profile}}, {"FAPI2SecurityProfile", []string{none}}} {
		mcp, err := gormoauth.MCP(db, gormoauth.MCPConfig{Server: server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets()}, Resource: oauthtest.Issuer + "/mcp"},
			without("OpenID", "KeysReadableInDatabase", c.left)...)
		require.NoError(t, err)
		var settings []string
		for _, fetcher := range within[fetch.Fetcher](reflect.ValueOf(mcp.Server)) {
			found := none
			for _, config := range within[tls.Config](fetcher) {
				found = fmt.Sprint(config.Elem().FieldByName("MinVersion"), config.Elem().FieldByName("CipherSuites"))
			}
			settings = append(settings, found)
		}
		assert.Equal(t, c.want, settings)
	}
}

// within returns the pointers to values of a type that a value refers to.
func within[T any](root reflect.Value) (found []reflect.Value) {
	seen := make(map[[2]any]bool)
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			key := [2]any{v.Pointer(), v.Type()}
			if v.IsNil() || seen[key] {
				return
			}
			seen[key] = true
			if v.Type() == reflect.TypeFor[*T]() {
				found = append(found, v)
			}
			visit(v.Elem())
		case reflect.Interface:
			visit(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				visit(v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		case reflect.Map:
			for values := v.MapRange(); values.Next(); {
				visit(values.Value())
			}
		}
	}
	visit(root)
	return found
}
