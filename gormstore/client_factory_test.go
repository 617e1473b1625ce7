package gormstore_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/clientmeta"
)

func TestAClientsSecretIsToldOnce(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		factory, err := gormstore.NewClientFactory[Client](db, oauthtest.New(t, db).Server)
		require.NoError(t, err)
		client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
		secret, err := factory.Create(t.Context(), client)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(secret, "goa_cs_"), secret)
		assert.Equal(t, models.HashClientSecret(secret), stored(t, db, client.ClientID).ClientSecret)
		assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(secret, time.Now()))

		next, err := factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{})
		require.NoError(t, err)
		assert.False(t, stored(t, db, client.ClientID).CheckClientSecret(secret, time.Now()), "the old secret is void")
		assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(next, time.Now()))
		_, err = factory.RotateSecret(t.Context(), "unknown", gormstore.SecretRotation{})
		assert.ErrorIs(t, err, gormstore.ErrNoClient)
	})
}

// A client that runs in many places changes over while both secrets are valid.
func TestTwoSecretsOverlap(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		now := p.Now
		factory, err := gormstore.NewClientFactory[Client](db, p.Server)
		require.NoError(t, err)
		client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
		first, err := factory.Create(t.Context(), client)
		require.NoError(t, err)
		assert.Equal(t, models.ClientByHand, stored(t, db, client.ClientID).ClientSource)
		rotate := func(rotation gormstore.SecretRotation) string {
			secret, err := factory.RotateSecret(t.Context(), client.ClientID, rotation)
			require.NoError(t, err)
			return secret
		}
		valid := func(secret string, after time.Duration) bool {
			return stored(t, db, client.ClientID).CheckClientSecret(secret, now.Add(after))
		}
		second := rotate(gormstore.SecretRotation{Overlap: time.Hour, ExpiresIn: 2 * time.Hour})
		for after, want := range map[time.Duration][2]bool{
			0: {true, true}, time.Hour - time.Second: {true, true}, time.Hour: {false, true}, 2*time.Hour - time.Second: {false, true}, 2 * time.Hour: {false, false},
		} {
			assert.Equal(t, want, [2]bool{valid(first, after), valid(second, after)}, after)
		}
		third := rotate(gormstore.SecretRotation{Overlap: 24 * time.Hour})
		assert.False(t, valid(first, 0), "there are two, not three")
		assert.True(t, valid(second, 2*time.Hour-time.Second))
		assert.False(t, valid(second, 2*time.Hour), "an overlap does not outlast the secret's own end")
		assert.True(t, valid(third, 1000*time.Hour))
		fourth := rotate(gormstore.SecretRotation{})
		assert.False(t, valid(third, 0), "without an overlap the old one is void at once")
		assert.True(t, valid(fourth, 0))
		assert.False(t, valid("", 0))

		secrets := race(4, func(int) string {
			secret, err := factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{Overlap: time.Hour})
			assert.NoError(t, err)
			return secret
		})
		live := 0
		for _, secret := range secrets {
			if valid(secret, 0) {
				live++
			}
		}
		assert.Equal(t, 2, live, "of rotations at once, the last two count")

		require.NoError(t, db.Model(&Client{}).Where("client_id = ?", client.ClientID).UpdateColumn("client_secret", "plaintext").Error)
		rotate(gormstore.SecretRotation{Overlap: time.Hour})
		assert.Equal(t, models.HashClientSecret("plaintext"), stored(t, db, client.ClientID).PreviousClientSecret)
		assert.True(t, valid("plaintext", 0))
	})
}

func stored(t *testing.T, db *gorm.DB, clientID string) *Client {
	t.Helper()
	var client Client
	require.NoError(t, db.Where("client_id = ?", clientID).First(&client).Error)
	return &client
}

func TestAPublicClientHasNoSecret(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	factory, err := gormstore.NewClientFactory[Client](db, oauthtest.New(t, db).Server)
	require.NoError(t, err)
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None, RedirectURIs: []string{"https://app.example/cb"}}}}
	secret, err := factory.Create(t.Context(), client)
	require.NoError(t, err)
	assert.Empty(t, secret)
	assert.False(t, stored(t, db, client.ClientID).CheckClientSecret("", time.Now()))
	_, err = factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{})
	assert.ErrorIs(t, err, gormstore.ErrNoClient)
}

func TestMetadataThatNoClientMayHaveIsRefused(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	factory, err := gormstore.NewClientFactory[Client](db, oauthtest.New(t, db).Server)
	require.NoError(t, err)
	code := func(uri string) models.ClientMetadata {
		return models.ClientMetadata{RedirectURIs: []string{uri}, ResponseTypes: []string{"code"}, GrantTypes: []string{"authorization_code"}}
	}
	for rule, c := range map[string]struct {
		metadata models.ClientMetadata
		fault    string
	}{
		"https is fine":                     {code("https://app.example/cb"), ""},
		"http on loopback is fine":          {code("http://127.0.0.1:8081/cb"), ""},
		"a private-use scheme is fine":      {code("com.example.app:/cb"), ""},
		"http elsewhere is not":             {code("http://app.example/cb"), "must be https"},
		"nor is a fragment":                 {code("https://app.example/cb#x"), "has a fragment"},
		"nor a user name":                   {code("https://app.example@evil.example/cb"), "has a user name"},
		"nor a script":                      {code("javascript:alert(1)"), "starts programs or scripts"},
		"nor a wildcard":                    {code("https://*.app.example/cb"), "wildcard"},
		"nor a path":                        {code("/cb"), "is not an absolute URI"},
		"a code needs a redirect URI":       {models.ClientMetadata{ResponseTypes: []string{"code"}, GrantTypes: []string{"authorization_code"}}, "needs one"},
		"a response type needs its grant":   {models.ClientMetadata{RedirectURIs: []string{"https://a.example"}, GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{"code"}}, `belongs to the grant type authorization_code`},
		"a public client acts for nobody":   {models.ClientMetadata{TokenEndpointAuthMethod: "none", GrantTypes: []string{"client_credentials"}}, "\"client_credentials\" is not allowed for a client whose token_endpoint_auth_method is none; choose another method, or leave this grant type out"},
		"a scope has no quotes":             {models.ClientMetadata{Scope: `a"b`}, "has a character that is not allowed in a scope"},
		"a name is text that can be stored": {models.ClientMetadata{ClientName: "a\x00b"}, "must be UTF-8 text"},
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := factory.Create(t.Context(), &Client{ClientMixin: models.ClientMixin{ClientMetadata: c.metadata}})
			if c.fault == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.fault)
				assert.Equal(t, 1, strings.Count(err.Error(), c.fault), "once: %v", err)
			}
		})
	}
}

func TestRevokingAClientEndsItsTokensAlone(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p, other := newProvider(t, db), newProvider(t, db)
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		mine, theirs := p.redeem(p.code("profile")), other.redeem(other.code("profile"))
		require.NoError(t, tokens.RevokeClient(oauthtest.Brief(t), p.client.ClientID, time.Now()))
		assert.False(t, p.valid(mine.AccessToken))
		assert.Equal(t, "invalid_grant", p.refresh(mine.RefreshToken).Error)
		assert.True(t, other.valid(theirs.AccessToken))
	})
}

func TestAClientIDIsPrintableASCII(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	factory, err := gormstore.NewClientFactory[Client](db, oauthtest.New(t, db).Server)
	require.NoError(t, err)
	for id, fine := range map[string]bool{"my app/1": true, "https://app.example/id": true, "café": false, "a\tb": false} {
		client := &Client{ClientMixin: models.ClientMixin{ClientID: id, ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None, GrantTypes: []string{}}}}
		_, err := factory.Create(t.Context(), client)
		assert.Equal(t, fine, err == nil, "%q: %v", id, err)
	}
}

// What is left out gets the defaults of RFC 7591 section 2, and what is there has to
// exist on the server.
func TestTheFactoryCompletesAndRefuses(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	factory := gormoauth.CreateClientFactory[Client](db, oauthtest.New(t, db).Server)
	redirect := []string{"https://app.example/cb"}
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{RedirectURIs: redirect}}}
	_, err := factory.Create(t.Context(), client)
	require.NoError(t, err)
	assert.Equal(t, models.ClientMetadata{
		RedirectURIs: redirect, TokenEndpointAuthMethod: models.ClientSecretBasic, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
	}, stored(t, db, client.ClientID).ClientMetadata)
	none := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{}}}}
	_, err = factory.Create(t.Context(), none)
	require.NoError(t, err, "an API that only asks about tokens has no grant types")
	assert.Empty(t, stored(t, db, none.ClientID).ClientMetadata.GrantTypes)

	for member, metadata := range map[string]models.ClientMetadata{
		"grant_types":                   {GrantTypes: []string{"authorization_code", "magic"}, RedirectURIs: redirect},
		"response_types":                {ResponseTypes: []string{"code", "code magic"}, RedirectURIs: redirect},
		"token_endpoint_auth_method":    {TokenEndpointAuthMethod: "magic", RedirectURIs: redirect},
		"redirect_uris":                 {},
		"dpop_bound_access_tokens":      {RedirectURIs: redirect, Extra: map[string]json.RawMessage{"dpop_bound_access_tokens": json.RawMessage("true")}},
		"require_signed_request_object": {RedirectURIs: redirect, Extra: map[string]json.RawMessage{"require_signed_request_object": json.RawMessage("true")}},
	} {
		before := clientRows(t, db)
		_, err := factory.Create(t.Context(), &Client{ClientMixin: models.ClientMixin{ClientMetadata: metadata}})
		var faults *clientmeta.Error
		require.ErrorAs(t, err, &faults, member)
		assert.Equal(t, member, faults.Faults[0].Member, err)
		assert.Equal(t, before, clientRows(t, db), "nothing is stored")
	}
	_, err = gormstore.NewClientFactory[Client](db, nil)
	assert.ErrorContains(t, err, "pass the server")
	_, err = factory.Create(t.Context(), nil)
	assert.ErrorContains(t, err, "Create was called with a nil *oauthtest.Client; pass a pointer to the client to store")
}

func clientRows(t *testing.T, db *gorm.DB) (rows int64) {
	t.Helper()
	require.NoError(t, db.Model(&Client{}).Count(&rows).Error)
	return rows
}

// A secret that is set stays.
func TestTheFactoryKeepsASecretThatIsSet(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		factory := gormoauth.CreateClientFactory[Client](db, oauthtest.New(t, db).Server)
		const chosen = "a secret that another program knows already"
		crypted, err := bcrypt.GenerateFromPassword([]byte(chosen), bcrypt.MinCost)
		require.NoError(t, err)
		create := func(method, secret string) (told string, client *Client, err error) {
			client = &Client{ClientMixin: models.ClientMixin{ClientSecret: secret, ClientMetadata: models.ClientMetadata{
				TokenEndpointAuthMethod: method, RedirectURIs: []string{"https://app.example/cb"},
			}}}
			told, err = factory.Create(t.Context(), client)
			return told, client, err
		}
		for name, c := range map[string]struct{ given, told, stored string }{
			"a digest":    {models.HashClientSecret(chosen), "", models.HashClientSecret(chosen)},
			"bcrypt":      {string(crypted), "", string(crypted)},
			"a plaintext": {chosen, chosen, models.HashClientSecret(chosen)},
		} {
			told, client, err := create("", c.given)
			require.NoError(t, err, name)
			assert.Equal(t, c.told, told, name)
			assert.Equal(t, c.stored, stored(t, db, client.ClientID).ClientSecret, name)
			assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(chosen, time.Now()), name)
		}
		_, _, err = create(models.None, chosen)
		require.ErrorContains(t, err, "leave it empty", "a public client has none")
		_, _, err = create("", models.DerivedClientSecret("nonce"))
		require.ErrorContains(t, err, "cannot use", "what is derived is for client_secret_jwt")
	})
}

// The program's own form changes a client by the same check.
func TestTheFactoryUpdatesAClient(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		with, err := gormoauth.WithAudit[oauthtest.Audit](db)
		require.NoError(t, err)
		p := oauthtest.New(t, with)
		factory := gormoauth.CreateClientFactory[Client](with, p.Server)
		client := p.NewClient(nil)
		events := func() (events []string) {
			require.NoError(t, db.Model(&oauthtest.Audit{}).Where("client_id = ?", client.ClientID).Order("id").Pluck("event", &events).Error)
			return events
		}
		update := func(change func(*models.ClientMetadata)) (string, error) {
			metadata := stored(t, db, client.ClientID).ClientMetadata
			change(&metadata)
			return factory.Update(t.Context(), client.ClientID, metadata)
		}
		secret, err := update(func(m *models.ClientMetadata) { m.ClientName = "New" })
		require.NoError(t, err)
		assert.Empty(t, secret)
		assert.Equal(t, "New", stored(t, db, client.ClientID).GetClientName())
		assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(client.Secret, p.Now), "its secret stays")
		_, err = update(func(*models.ClientMetadata) {})
		require.NoError(t, err)
		assert.Equal(t, []string{models.AuditClientRegistered, models.AuditClientUpdated}, events(), "what changes nothing is no act")

		_, err = update(func(m *models.ClientMetadata) { m.RedirectURIs = []string{"javascript:alert(1)"} })
		require.ErrorContains(t, err, "redirect_uris")
		_, err = update(func(m *models.ClientMetadata) { m.GrantTypes = []string{"magic"} })
		require.ErrorContains(t, err, "grant_types")
		assert.Equal(t, []string{oauthtest.RedirectURI}, stored(t, db, client.ClientID).GetRedirectURIs())

		_, err = update(func(m *models.ClientMetadata) { m.TokenEndpointAuthMethod = models.None })
		require.NoError(t, err)
		assert.Empty(t, stored(t, db, client.ClientID).ClientSecret, "who needs no secret has none")
		secret, err = update(func(m *models.ClientMetadata) { m.TokenEndpointAuthMethod = models.ClientSecretPost })
		require.NoError(t, err)
		assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(secret, p.Now), "who needs one is told a new one")
		assert.False(t, stored(t, db, client.ClientID).CheckClientSecret(client.Secret, p.Now))

		require.NoError(t, db.Model(&Client{}).Where("client_id = ?", client.ClientID).UpdateColumn("client_secret", nil).Error)
		secret, err = update(func(m *models.ClientMetadata) { m.ClientName = "Newer" })
		require.NoError(t, err)
		assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(secret, p.Now), "an older program may have left NULL")
		_, err = factory.Update(t.Context(), "unknown", models.ClientMetadata{})
		assert.ErrorIs(t, err, gormstore.ErrNoClient)
	})
}

// The operator makes a client an API, when it is made or later, with an entry in the
// audit trail; it has no grant, and its secret stays.
func TestTheFactoryMakesAnAPI(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		db, err := gormoauth.WithAudit[oauthtest.Audit](db)
		require.NoError(t, err)
		factory, err := gormstore.NewClientFactory[Client](db, oauthtest.New(t, db).Server)
		require.NoError(t, err)
		api := &Client{ClientMixin: models.ClientMixin{
			ClientID: "api", APIResources: "https://api.example  https://api.example/v1", ClientMetadata: models.ClientMetadata{GrantTypes: []string{}},
		}}
		secret, err := factory.Create(t.Context(), api)
		require.NoError(t, err)
		assert.NotEmpty(t, secret)
		row := stored(t, db, "api")
		assert.Equal(t, []string{"https://api.example", "https://api.example/v1"}, row.GetAPIResources())
		assert.Empty(t, row.GetGrantTypes())
		assert.Empty(t, row.GetResponseTypes())
		assert.False(t, row.CheckGrantType("authorization_code"))
		text, err := json.Marshal(row)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "api.example", "clients are shown without it")

		updates := func() (n int64) {
			require.NoError(t, db.Model(&oauthtest.Audit{}).Where("event = ?", models.AuditClientUpdated).Count(&n).Error)
			return n
		}
		for _, row := range []struct {
			resources []string
			entries   int64
		}{
			{[]string{"https://other.example"}, 1}, {[]string{"https://other.example"}, 1}, {[]string{"urn:example:api", "billing"}, 2}, {nil, 3}, {[]string{}, 3},
		} {
			require.NoError(t, factory.SetAPIResources(t.Context(), "api", row.resources...))
			assert.ElementsMatch(t, row.resources, stored(t, db, "api").GetAPIResources())
			assert.Equal(t, row.entries, updates(), "%v", row.resources)
		}
		assert.True(t, stored(t, db, "api").CheckClientSecret(secret, time.Now()))

		for _, bad := range []string{"https://api.example/#f", "https://a;b/", "/v1:2", "", "a b", "https://api.example https://b.example", "\x00", "api\n"} {
			require.Error(t, factory.SetAPIResources(t.Context(), "api", bad), bad)
		}
		assert.Empty(t, stored(t, db, "api").GetAPIResources())
		_, err = factory.Create(t.Context(), &Client{ClientMixin: models.ClientMixin{APIResources: "https://api.example/#f", ClientMetadata: models.ClientMetadata{GrantTypes: []string{}}}})
		require.ErrorContains(t, err, `the API resource "https://api.example/#f" has a fragment`)
		assert.ErrorIs(t, factory.SetAPIResources(t.Context(), "unknown", "https://api.example"), gormstore.ErrNoClient)
	})
}

// A client gets its primary key from the database, or keeps the one that the program set.
func TestACreatedClientHasItsKey(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		factory, err := gormstore.NewClientFactory[Client](db, oauthtest.New(t, db).Server)
		require.NoError(t, err)
		known := make(map[uint]bool)
		for _, id := range []uint{0, 0, 0, 7_777, 0} {
			client := &Client{ID: id, ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
			_, err := factory.Create(t.Context(), client)
			require.NoError(t, err)
			if id != 0 {
				assert.Equal(t, id, client.ID)
			}
			assert.NotZero(t, client.ID)
			assert.False(t, known[client.ID])
			known[client.ID] = true
			assert.Equal(t, client.ID, stored(t, db, client.ClientID).ID)
		}
	})
}
