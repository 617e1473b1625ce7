package gormstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// What ends or finds the rows of somebody refuses to do so for nobody, which could mean everybody.
func TestWhoseRowsMustBeSaid(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	tokens, err := gormstore.NewTokens[Token](db)
	require.NoError(t, err)
	codes, err := gormstore.NewAuthorizationCodes[AuthorizationCode](db)
	require.NoError(t, err)
	ctx, now := t.Context(), time.Now()
	require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "a"}}).Error)
	for want, err := range map[string]error{
		"gormstore: RevokeGrant needs the id of the grant":   tokens.RevokeGrant(ctx, "", now),
		"gormstore: RevokeClient needs the id of the client": tokens.RevokeClient(ctx, "", now),
		"gormstore: RevokeUser needs the id of the user":     tokens.RevokeUser(ctx, "", now),
		"gormstore: Erase needs the id of the user":          second(gormstore.Erase(ctx, "", tokens, codes)),
		"gormstore: the token query is empty":                second(tokens.Query(ctx, storage.TokenQuery{})),
	} {
		require.EqualError(t, err, want)
	}
	for _, options := range []gormstore.RevokeOptions{{}, {ClientID: "c", UserID: "1"}} {
		require.EqualError(t, tokens.Revoke(ctx, options), "gormstore: RevokeOptions must have either a ClientID or a UserID")
	}
	var alive int64
	require.NoError(t, db.Model(&Token{}).Where("access_token_revoked_at = 0 AND refresh_token_revoked_at = 0").Count(&alive).Error)
	assert.EqualValues(t, 1, alive)
}

// A user id that a column cannot hold is an error wherever one is stored, and nothing is.
func TestAUserIDThatDoesNotFitStoresNothing(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		audited, err := gormstore.WithAudit[Audit](db)
		require.NoError(t, err)
		tokens, err := gormstore.NewTokens[tokenOf[string]](audited)
		require.NoError(t, err)
		require.NoError(t, db.AutoMigrate(&tokenOf[string]{}))
		codes, err := gormstore.NewAuthorizationCodes[AuthorizationCode](db)
		require.NoError(t, err)
		devices, err := gormstore.NewDeviceCodes[oauthtest.DeviceCode](db)
		require.NoError(t, err)
		sessions, err := gormstore.NewSessions[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db)
		require.NoError(t, err)
		consents, err := gormstore.NewConsents[oauthtest.Consent, Token, AuthorizationCode](db)
		require.NoError(t, err)
		require.NoError(t, devices.SaveDeviceCode(t.Context(), &models.DeviceCodeMixin{DeviceCode: "d", UserCode: "u", ExpiresAt: time.Now().Unix() + 60}, nil))
		alice, ctx := storage.UserID("alice"), t.Context()
		for what, err := range map[string]error{
			"an entry of the audit trail": tokens.Save(ctx, issueOf(&models.TokenMixin{AccessToken: "a"}, alice)),
			"a code":                      codes.Save(ctx, &models.AuthorizationCodeMixin{Code: "c"}, &server.Request{User: alice}),
			"a session":                   second(sessions.JoinSession(ctx, &models.SessionMixin{SID: "s", SessionID: "x"}, alice)),
			"a consent":                   second(consents.SaveConsent(ctx, nil, &models.ConsentMixin{ClientID: "c", Revision: 1}, alice)),
			"a device":                    second(devices.DecideDeviceCode(ctx, "u", device.Decision{User: alice, Approved: true, Time: time.Now()})),
		} {
			require.ErrorContains(t, err, "alice", what)
		}
		for _, model := range []any{&tokenOf[string]{}, &AuthorizationCode{}, &oauthtest.Session{}, &oauthtest.Consent{}, &Audit{}} {
			var rows int64
			require.NoError(t, db.Model(model).Count(&rows).Error)
			assert.Zero(t, rows, "%T", model)
		}
	})
}

// What hexadecimal digits are, the program says once for its table: so they are read, and so they are converted.
func TestWhatHexadecimalSecretsAre(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		digits := strings.Repeat("0F", 32)
		digest := "$sha256$" + strings.ToLower(digits)
		for _, c := range []struct {
			kind         gormstore.HexadecimalSecrets
			stored, read string
		}{
			{0, digits, digits},
			{0, "plain", "plain"},
			{gormstore.HexadecimalPlaintext, digits, models.HashClientSecret(digits)},
			{gormstore.HexadecimalPlaintext, "plain", "plain"},
			{gormstore.HexadecimalPlaintext, digest, digest},
			{gormstore.HexadecimalSHA256, digits, digest},
			{gormstore.HexadecimalSHA256, digits[:40], digits[:40]},
			{gormstore.HexadecimalSHA256, "", ""},
		} {
			require.NoError(t, db.Where("1 = 1").Delete(&Client{}).Error)
			require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "c", ClientSecret: c.stored, PreviousClientSecret: c.stored}}).Error)
			clients, err := gormstore.NewClients[Client](db, gormstore.ClientOptions{HexadecimalSecrets: c.kind})
			require.NoError(t, err)
			found, err := clients.Query(t.Context(), "c")
			require.NoError(t, err)
			mixin := found.(*Client).AsClientMixin()
			assert.Equal(t, []string{c.read, c.read}, []string{mixin.ClientSecret, mixin.PreviousClientSecret}, "%v %s", c.kind, c.stored)

			converted, want := c.read, 1
			switch {
			case c.stored == "plain":
				converted = models.HashClientSecret("plain")
			case c.read == c.stored:
				want = 0
			}
			n, err := clients.DigestPlaintext(t.Context(), 10)
			require.NoError(t, err)
			assert.Equal(t, want, n, "%v %s", c.kind, c.stored)
			assert.Equal(t, converted, stored(t, db, "c").ClientSecret, "%v %s", c.kind, c.stored)
		}
	})
}

// An outcome is stored together with what its request presents, once: of two requests with the same, one stores its outcome.
func TestAnOutcomeIsStoredWithWhatItsRequestPresents(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		replays, err := gormstore.NewReplays[oauthtest.Replay](db)
		require.NoError(t, err)
		pushed, err := gormstore.NewPushedRequests[oauthtest.PushedRequest](db)
		require.NoError(t, err)
		elsewhere, err := gormstore.NewReplays[oauthtest.Replay](testdb.Open(t, testdb.SQLiteGo, allModels...))
		require.NoError(t, err)
		now := time.Unix(1_800_000_000, 0)
		require.NoError(t, pushed.SavePushedRequest(t.Context(), &models.PushedRequestMixin{RequestURI: "uri", ExpiresAt: now.Unix() + 60}))
		refused := errors.New("it was presented before")
		spends := func() []*storage.Spend {
			return []*storage.Spend{
				{Replays: replays, Key: "assertion", ExpiresAt: now.Add(time.Minute), Time: now, Refusal: refused},
				{PushedRequests: pushed, Key: "uri", ExpiresAt: now.Add(time.Minute), Time: now, Refusal: refused},
				{Replays: elsewhere, Key: "assertion", ExpiresAt: now.Add(time.Minute), Time: now, Refusal: refused},
			}
		}
		save := func(access string, spends ...*storage.Spend) error {
			return tokens.Save(storage.WithSpends(t.Context(), spends), issueOf(&models.TokenMixin{AccessToken: access}, nil))
		}
		spent := func(spends []*storage.Spend) (is []bool) {
			for _, spend := range spends {
				is = append(is, spend.IsSpent())
			}
			return is
		}
		first := spends()
		require.NoError(t, save("a", first...))
		assert.Equal(t, []bool{true, true, false}, spent(first), "what another database has, the engine spends")
		require.NoError(t, save("b", first...), "what is spent is spent no second time")
		for i := range 2 {
			again := spends()
			require.ErrorIs(t, save("c", again[i]), refused)
			assert.False(t, again[i].IsSpent())
		}
		both := spends()
		both[1].Key = "another uri"
		both[0].Key = "another assertion"
		require.ErrorIs(t, save("d", both...), refused, "no such request was pushed")
		both[1].Key = "uri"
		assert.Equal(t, []bool{false, false, false}, spent(both))
		fresh := spends()[:1]
		fresh[0].Key = "another assertion"
		require.NoError(t, save("e", fresh...), "nothing was spent where nothing was stored")
		var stored []string
		require.NoError(t, db.Model(&Token{}).Order("access_token").Pluck("access_token", &stored).Error)
		assert.Equal(t, []string{"a", "b", "e"}, stored)
	})
}

// What has to stay although the program rolls its own transaction back is repeated afterwards, once.
func TestWhatStaysAfterARollback(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		replays, err := gormstore.NewReplays[oauthtest.Replay](db)
		require.NoError(t, err)
		rows := func() (n int64) {
			require.NoError(t, db.Model(&oauthtest.Replay{}).Count(&n).Error)
			return n
		}
		require.NoError(t, gormstore.AfterRollback(t.Context()), "outside there is nothing to repeat")
		tx := db.Begin()
		require.NoError(t, tx.Error)
		ctx := gormstore.WithTransaction(t.Context(), tx)
		assert.True(t, gormstore.InTransaction(ctx))
		assert.False(t, gormstore.InTransaction(t.Context()))
		for _, key := range []string{"a", "b"} {
			first, err := replays.FirstUse(ctx, key, time.Now())
			require.NoError(t, err)
			assert.True(t, first)
		}
		require.NoError(t, tx.Rollback().Error)
		assert.Zero(t, rows())
		require.NoError(t, gormstore.AfterRollback(ctx))
		assert.EqualValues(t, 2, rows())
		require.NoError(t, db.Where("1 = 1").Delete(&oauthtest.Replay{}).Error)
		require.NoError(t, gormstore.AfterRollback(ctx))
		assert.Zero(t, rows(), "they were repeated")
	})
}

// What is revoked because a credential was presented again stays revoked, even if the program rolls its transaction
// back. What the program revokes itself does not.
func TestWhatIsRevokedForReuseStays(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		var called context.Context
		var req *server.Request
		require.NoError(t, p.Server.Register(on.TokenIssued(func(ctx context.Context, issued *server.Request, _ *models.TokenMixin) {
			called, req = context.WithoutCancel(ctx), issued
		})))
		tokens, _ := stores(t, db)
		for name, c := range map[string]struct{ inRequest, reuse, stays bool }{
			"by the program":       {false, false, false},
			"by another request":   {true, false, false},
			"by one that was used": {true, true, true},
		} {
			access := p.redeem(p.code("profile")).AccessToken
			var issued Token
			require.NoError(t, db.First(&issued, "access_token = ?", secret.Digest(access)).Error)
			ctx := t.Context()
			if c.inRequest {
				ctx, req.Reuse = called, c.reuse
			}
			tx := db.Begin()
			ctx = gormstore.WithTransaction(ctx, tx)
			require.NoError(t, tokens.RevokeGrant(ctx, issued.GrantID, p.Now))
			require.NoError(t, tx.Rollback().Error)
			assert.True(t, p.valid(access), name)
			require.NoError(t, gormstore.AfterRollback(ctx))
			assert.Equal(t, !c.stays, p.valid(access), name)
		}
	})
}

// Each algorithm has a key that it fits, for signatures or for encryption.
func TestEachAlgorithmHasItsKey(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &SigningKey{})
	now := time.Unix(1_800_000_000, 0)
	options := gormstore.SigningKeyOptions{
		Algorithms:           []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.EdDSA},
		EncryptionAlgorithms: []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW},
	}
	keys := newKeys(db, options)
	assert.Equal(t, options.Algorithms, keys.SignatureAlgorithms())
	assert.Equal(t, options.EncryptionAlgorithms, keys.EncryptionAlgorithms())
	for _, algorithm := range options.Algorithms {
		key, err := keys.SigningKey(t.Context(), algorithm, now)
		require.NoError(t, err, algorithm)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key.Key}, nil)
		require.NoError(t, err, algorithm)
		signed, err := signer.Sign([]byte("text"))
		require.NoError(t, err, algorithm)
		public := key.Public()
		plain, err := signed.Verify(&public)
		require.NoError(t, err, algorithm)
		assert.Equal(t, "text", string(plain))
		assert.Equal(t, []string{"sig", string(algorithm)}, []string{key.Use, key.Algorithm})
	}
	set, err := keys.PublicKeys(t.Context(), now)
	require.NoError(t, err)
	uses := make(map[string]string)
	for _, key := range set.Keys {
		uses[key.Algorithm] = key.Use
	}
	assert.Equal(t, map[string]string{"ES256": "sig", "ES384": "sig", "ES512": "sig", "EdDSA": "sig", "ECDH-ES": "enc", "ECDH-ES+A256KW": "enc"}, uses)
	private, err := keys.DecryptionKeys(t.Context(), now)
	require.NoError(t, err)
	assert.Len(t, private.Keys, 2)
}

// changing has each look-up of a client find another secret than the update after it.
func changing(t *testing.T, db *gorm.DB, times *int) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger, TranslateError: db.TranslateError})
	require.NoError(t, err)
	require.NoError(t, db.Callback().Query().After("gorm:query").Register("test:change", func(tx *gorm.DB) {
		if *times == 0 || tx.Statement.Table != "clients" {
			return
		}
		*times--
		require.NoError(t, tx.Session(&gorm.Session{NewDB: true}).Exec("UPDATE clients SET client_secret = ?", models.HashClientSecret(time.Now().String())).Error)
	}))
	return db
}

// A client that others change in the meantime is changed by what is true then, or not at all.
func TestAClientThatChangesWhileItIsChanged(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.NewClient(nil)
		times := 0
		factory := gormoauth.CreateClientFactory[Client](changing(t, db, &times), p.Server)
		for n, ok := range map[int]bool{0: true, 4: true, 5: false} {
			times = n
			secret, err := factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{})
			if ok {
				require.NoError(t, err, n)
				assert.True(t, stored(t, db, client.ClientID).CheckClientSecret(secret, p.Now), n)
			} else {
				require.ErrorIs(t, err, storage.ErrUnavailable)
				require.ErrorContains(t, err, "is being changed concurrently")
				assert.Empty(t, secret)
			}
		}
	})
}

// A secret in plaintext, of an older program, stays as it is while something else of its client changes, and stands in
// no statement.
func TestAClientWithAPlaintextSecretIsChanged(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		var sent strings.Builder
		watched, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger, TranslateError: db.TranslateError})
		require.NoError(t, err)
		note := func(tx *gorm.DB) { fmt.Fprintln(&sent, tx.Statement.SQL.String(), tx.Statement.Vars) }
		require.NoError(t, errors.Join(
			watched.Callback().Update().After("gorm:update").Register("test:note", note), watched.Callback().Query().After("gorm:query").Register("test:note", note),
		))
		factory := gormoauth.CreateClientFactory[Client](watched, p.Server)
		const plain = "a secret in plaintext"
		client := p.StoreClient(nil)
		require.NoError(t, db.Model(client).Update("client_secret", plain).Error)
		require.NoError(t, factory.SetAPIResources(t.Context(), client.ClientID, "https://api.example"))
		metadata := client.ClientMetadata
		metadata.ClientName = "Tea"
		_, err = factory.Update(t.Context(), client.ClientID, metadata)
		require.NoError(t, err)
		row := stored(t, db, client.ClientID)
		assert.Equal(t, []string{plain, "https://api.example", "Tea"}, []string{row.ClientSecret, row.APIResources, row.ClientMetadata.ClientName})
		_, err = factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{Overlap: time.Hour})
		require.NoError(t, err)
		row = stored(t, db, client.ClientID)
		assert.Equal(t, models.HashClientSecret(plain), row.PreviousClientSecret)
		assert.Contains(t, sent.String(), "https://api.example")
		assert.NotContains(t, sent.String(), plain)

		times := 5
		require.NoError(t, db.Model(client).Update("client_secret", plain).Error)
		_, err = gormoauth.CreateClientFactory[Client](changing(t, db, &times), p.Server).Update(t.Context(), client.ClientID, client.ClientMetadata)
		require.NoError(t, err, "others have changed its secret")
		assert.Empty(t, stored(t, db, client.ClientID).ClientMetadata.ClientName)
		times = 1
		require.NoError(t, db.Model(client).Update("client_secret", plain).Error)
		_, err = gormoauth.CreateClientFactory[Client](changing(t, db, &times), p.Server).RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{Overlap: time.Hour})
		require.NoError(t, err)
		assert.NotEqual(t, models.HashClientSecret(plain), stored(t, db, client.ClientID).PreviousClientSecret, "the previous one is the other's")
	})
}

// A secret is made for a method that the server has.
func TestARotationForAMethodThatTheServerDoesNotHave(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	p := newProvider(t, db)
	client := p.StoreClient(func(c *Client) { c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretJWT })
	before := stored(t, db, client.ClientID).ClientSecret
	_, err := gormoauth.CreateClientFactory[Client](db, p.Server).RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{})
	require.ErrorContains(t, err, "authenticates with client_secret_jwt, which is not registered with the server")
	assert.Equal(t, before, stored(t, db, client.ClientID).ClientSecret)
}

// askingToken asks the database in every way from a hook of its own, in the transaction of the step.
type askingToken struct {
	Token
}

func (askingToken) TableName() string { return "tokens" }

func (a *askingToken) AfterCreate(tx *gorm.DB) error {
	pool, err := tx.DB()
	if err != nil || pool == nil {
		return errors.Join(err, errors.New("there is no pool"))
	}
	for range 3 { // the first is not prepared yet
		var one int64
		if err := tx.Session(&gorm.Session{NewDB: true}).Raw("SELECT COUNT(*) FROM tokens WHERE access_token = ?", a.AccessToken).Row().Scan(&one); err != nil || one != 1 {
			return errors.Join(err, errors.New("a hook does not see its own row"))
		}
	}
	return nil
}

// A hook of the program's sees in the step's transaction what it has written, however it asks.
func TestAHookAsksInTheTransactionOfItsStep(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[askingToken](db)
		require.NoError(t, err)
		for _, access := range []string{"a", "b", "c"} {
			require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: access}, nil)))
		}
		assert.EqualValues(t, 3, count(t, db))
	})
}

// Pruning ends where the database returns what it has returned before, such as where a plugin drops the conditions.
func TestPruningThatFindsTheSameRowsEnds(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	expiredTokens(t, db, 5)
	plugged, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger})
	require.NoError(t, err)
	require.NoError(t, errors.Join(
		plugged.Callback().Row().Before("gorm:row").Register("test:all", func(tx *gorm.DB) {
			if tx.Statement.Table == "tokens" {
				delete(tx.Statement.Clauses, "WHERE")
			}
		}),
		plugged.Callback().Delete().Before("gorm:delete").Register("test:none", func(tx *gorm.DB) {
			if tx.Statement.Table == "tokens" {
				tx.Where("1 = 0")
			}
		}),
	))
	tokens, codes := stores(t, plugged)
	err = gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{})
	require.ErrorContains(t, err, "the database keeps returning the same rows; check whether a plugin changes the statement")
	assert.EqualValues(t, 5, count(t, db))
}

// What says of no column that it expires is kept, whatever is pruned beside it.
func TestATableThatDoesNotExpireIsKept(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, append([]any{&ticket{}}, allModels...)...)
	tokens, codes := stores(t, db)
	tickets, err := gormstore.NewTable[ticket](db)
	require.NoError(t, err)
	require.NoError(t, db.Create(&ticket{Digest: "d", UsedAt: 1}).Error)
	expiredTokens(t, db, 3)
	require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}, tickets))
	assert.Zero(t, count(t, db))
	var left int64
	require.NoError(t, db.Model(&ticket{}).Count(&left).Error)
	assert.EqualValues(t, 1, left)
}

// Pruning writes back the log of SQLite, unless somebody else is to do so.
func TestPruningChecksTheLogOfSQLite(t *testing.T) {
	for setting, want := range map[string]bool{"PRAGMA wal_autocheckpoint = 1000": true, "PRAGMA wal_autocheckpoint = 0": false} {
		db := testdb.Open(t, testdb.SQLiteGo, allModels...)
		expiredTokens(t, db, 3)
		pool, err := db.DB()
		require.NoError(t, err)
		pool.SetMaxOpenConns(1) // a setting of each connection
		require.NoError(t, db.Exec(setting).Error)
		recorded, s := record(db)
		tokens, codes := stores(t, recorded)
		s.all = nil
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		assert.Equal(t, want, slices.Contains(s.all, "PRAGMA wal_checkpoint(PASSIVE)"), "%s: %v", setting, s.all)
		assert.Zero(t, count(t, db))
	}
}

// A derived secret needs the server's secret that it was derived from: one that is gone is named, and one that is older.
func TestFromWhichSecretAClientsSecretsAreDerived(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	of := func(letters string) *server.Server {
		srv, err := server.New(server.Config{
			Issuer: oauthtest.Issuer, QueryClient: gormoauth.CreateQueryClientFunc[Client](db), SaveToken: gormoauth.CreateSaveTokenFunc[Token](db), Secrets: secretsOf(letters), NoOlderInstances: true, ClientAuthMethods: clientauth.Defaults(),
		})
		require.NoError(t, err)
		require.NoError(t, srv.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
		return srv
	}
	_, derived := of("a").NewClientSecret(models.ClientSecretJWT, "c")
	require.True(t, models.IsDerivedClientSecret(derived))
	checks := func(letters string) (found []string) {
		for _, f := range gormstore.DiagnoseFor(t.Context(), of(letters), db, &Client{}) {
			if strings.HasSuffix(f.Check, "_secret") {
				found = append(found, f.Check)
				assert.Contains(t, f.Problem, "from the secret with the id "+strconv.Quote(secretsOf("a").Newest()))
			}
		}
		return found
	}
	for name, client := range map[string]models.ClientMixin{
		"the current one": {ClientID: "c", ClientSecret: derived}, "the previous one": {ClientID: "c", ClientSecret: models.HashClientSecret("x"), PreviousClientSecret: derived},
	} {
		require.NoError(t, db.Where("1 = 1").Delete(&Client{}).Error)
		require.NoError(t, db.Create(&Client{ClientMixin: client}).Error)
		assert.Empty(t, checks("a"), name)
		assert.Equal(t, []string{"older_secret"}, checks("ba"), name)
		assert.Equal(t, []string{"missing_secret"}, checks("b"), name)
	}
}

// A client whose row another instance removes meanwhile is deleted once, with one entry.
func TestTwoInstancesDeleteAClient(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		plugged, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger, TranslateError: db.TranslateError})
		require.NoError(t, err)
		removed := 0
		require.NoError(t, plugged.Callback().Query().After("gorm:query").Register("test:other", func(tx *gorm.DB) {
			if tx.Statement.Table == "tokens" && removed == 0 {
				removed++
				require.NoError(t, tx.Session(&gorm.Session{NewDB: true}).Exec("DELETE FROM clients").Error)
			}
		}))
		audited, err := gormstore.WithAudit[Audit](plugged)
		require.NoError(t, err)
		registrations, err := gormstore.NewClientRegistration[Client, Token](audited)
		require.NoError(t, err)
		now := time.Unix(1_800_000_000, 0)
		require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "c"}}).Error)
		require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{ClientID: "c", GrantID: "g"}, AccessToken: "a", ExpiresAt: now.Unix() + 60}}).Error)
		require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), "c", now))
		assert.Equal(t, 1, removed)
		var entries int64
		require.NoError(t, db.Model(&Audit{}).Where("event = ?", models.AuditClientDeleted).Count(&entries).Error)
		assert.EqualValues(t, 1, entries)
	})
}

// keylessToken has no primary key of its own.
type keylessToken struct {
	UserID *uint
	models.TokenMixin
}

func (keylessToken) TableName() string { return "tokens" }

// A statement that is built once, for all later changes, leaves the row that is changed as it was read, and what is
// written is what was given, with a primary key or without one.
func TestAChangeIsBuiltBesideItsRow(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		keyed, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		keyless, err := gormstore.NewTokens[keylessToken](db)
		require.NoError(t, err)
		now := time.Unix(1_800_000_000, 0)
		for kind, tokens := range map[string]*gormstore.Tokens{"keyed": keyed, "keyless": keyless} {
			for i := range 4 { // GORM sends the first, and the second builds the statement
				name := fmt.Sprint(kind, i)
				old, next := "old "+name, "new "+name
				require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{
					Authorization: models.Authorization{GrantID: name}, AccessToken: "a " + name, RefreshToken: &old, RefreshTokenExpiresAt: now.Unix() + 60, ExpiresAt: now.Unix() + 60,
				}, nil)))
				found, err := tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: old})
				require.NoError(t, err)
				mixin := found.Token.(interface{ AsTokenMixin() *models.TokenMixin }).AsTokenMixin()
				read := mixin.RefreshToken
				require.NoError(t, tokens.Save(t.Context(), storage.Exchange{
					Kind: storage.ExchangeRotate, From: found.Token.(storage.CredentialRecord), Presented: old, Time: now,
					Token: &models.TokenMixin{Authorization: models.Authorization{GrantID: name}, AccessToken: "b " + name, RefreshToken: &next, RefreshTokenExpiresAt: now.Unix() + 60, ExpiresAt: now.Unix() + 60},
				}))
				assert.Equal(t, []string{"old " + name, "new " + name, "new " + name}, []string{*read, next, *mixin.RefreshToken})
				found, err = tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: next})
				require.NoError(t, err)
				require.NotNil(t, found, name)
				require.NoError(t, tokens.RevokeGrant(t.Context(), name, now))
			}
		}
	})
}

// Each part of a statement but its conditions would become part of every statement, and is named.
func TestPartsOfAStatementThatAHandleCannotHave(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	column := clause.Column{Name: "id"}
	for want, part := range map[string]clause.Interface{
		"SELECT": clause.Select{Columns: []clause.Column{column}}, "GROUP BY": clause.GroupBy{Columns: []clause.Column{column}}, "ORDER BY": clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column}}},
		"LIMIT": clause.Limit{Offset: 1}, "FOR": clause.Locking{Strength: "UPDATE"}, "ON CONFLICT": clause.OnConflict{DoNothing: true}, "RETURNING": clause.Returning{Columns: []clause.Column{column}},
		"SET": clause.Set{{Column: column, Value: 1}}, "VALUES": clause.Values{Columns: []clause.Column{column}, Values: [][]any{{1}}},
	} {
		_, err := gormstore.NewTokens[Token](db.Clauses(part))
		require.ErrorContains(t, err, "a clause "+want+", which would become part of every statement")
	}
	_, err := gormstore.NewTokens[Token](db.Clauses(clause.Where{Exprs: []clause.Expression{clause.Eq{Column: column, Value: 1}}}))
	require.NoError(t, err)
}

// The server is told of grants that ended, and not of a client that had none.
func TestOnlyWhatEndsIsTold(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	p := newProvider(t, db)
	var told []string
	require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, _ *server.Request, revoked server.Revocation) {
		told = append(told, revoked.ClientID)
	})))
	tokens, err := gormstore.NewTokens[Token](db)
	require.NoError(t, err)
	tokens.TellRevocationsTo(p.Server)
	require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{ClientID: "some", GrantID: "g"}, AccessToken: "a", ExpiresAt: p.Now.Unix() + 60}}).Error)
	for _, client := range []string{"none", "some"} {
		require.NoError(t, tokens.RevokeClient(underway.Shorten(t.Context(), 0), client, p.Now))
	}
	assert.Equal(t, []string{"some"}, told)
}

// A batch that the database does not finish is tried again with fewer rows, five times.
func TestABatchThatIsTooLargeIsMadeSmaller(t *testing.T) {
	for failing, ok := range map[int]bool{1: true, 5: true, 6: false} {
		db := testdb.Open(t, testdb.SQLiteGo, allModels...)
		expiredTokens(t, db, 300)
		var sizes []int
		plugged, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger})
		require.NoError(t, err)
		require.NoError(t, plugged.Callback().Delete().Before("gorm:delete").Register("test:large", func(tx *gorm.DB) {
			if tx.Statement.Table != "tokens" {
				return
			}
			if where, ok := tx.Statement.Clauses["WHERE"]; ok {
				sizes = append(sizes, len(fmt.Sprint(where.Expression)))
			}
			if len(sizes) <= failing {
				_ = tx.AddError(storage.ErrUnavailable)
			}
		}))
		tokens, codes := stores(t, plugged)
		err = gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{BatchSize: 200})
		assert.Equal(t, ok, err == nil, "%d: %v", failing, err)
		assert.Greater(t, sizes[0], sizes[1], "%d", failing)
		assert.Equal(t, ok, count(t, db) == 0, "%d", failing)
		if !ok {
			require.ErrorIs(t, err, storage.ErrUnavailable)
			assert.Len(t, sizes, failing)
		}
	}
}

// The statements of a schema are those of tables that there can be, on a handle that is open.
func TestASchemaThatCannotBeWritten(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	for want, err := range map[string]error{
		"gormstore: the *gorm.DB is nil or not open": second(gormstore.SchemaSQL(nil, &Token{})),
		"the *gorm.DB is nil":                        second(gormstore.CompactSQL(nil, &Token{})),
		"pointerToken embeds":                        second(gormstore.SchemaSQL(db, &pointerToken{})),
		"embeds *models.TokenMixin":                  second(gormstore.CompactSQL(db, &pointerToken{})),
	} {
		require.ErrorContains(t, err, want)
	}
	text, err := gormstore.CompactSQL(db, allModels...)
	require.NoError(t, err)
	assert.Empty(t, text, "only PostgreSQL has what can be compacted")
}
