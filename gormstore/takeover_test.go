package gormstore_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
)

// The tables as SQLAlchemy makes them from the original's mixins. Only the
// primary key differs by dialect.
const originalTables = `
CREATE TABLE user (
	id PRIMARY,
	username VARCHAR(40),
	PRIMARY KEY (id)
);
CREATE TABLE oauth2_client (
	id PRIMARY,
	user_id INTEGER,
	client_id VARCHAR(48),
	client_secret VARCHAR(120),
	client_id_issued_at INTEGER NOT NULL,
	client_secret_expires_at INTEGER NOT NULL,
	client_metadata TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(user_id) REFERENCES user (id) ON DELETE CASCADE
);
CREATE INDEX ix_oauth2_client_client_id ON oauth2_client (client_id);
CREATE TABLE oauth2_code (
	id PRIMARY,
	user_id INTEGER,
	code VARCHAR(120) NOT NULL,
	client_id VARCHAR(48),
	redirect_uri TEXT,
	response_type TEXT,
	scope TEXT,
	nonce TEXT,
	auth_time INTEGER NOT NULL,
	acr TEXT,
	amr TEXT,
	code_challenge TEXT,
	code_challenge_method VARCHAR(48),
	PRIMARY KEY (id),
	FOREIGN KEY(user_id) REFERENCES user (id) ON DELETE CASCADE,
	UNIQUE (code)
);
CREATE TABLE oauth2_token (
	id PRIMARY,
	user_id INTEGER,
	client_id VARCHAR(48),
	token_type VARCHAR(40),
	access_token VARCHAR(255) NOT NULL,
	refresh_token VARCHAR(255),
	scope TEXT,
	issued_at INTEGER NOT NULL,
	access_token_revoked_at INTEGER NOT NULL,
	refresh_token_revoked_at INTEGER NOT NULL,
	expires_in INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(user_id) REFERENCES user (id) ON DELETE CASCADE,
	UNIQUE (access_token)
);
CREATE INDEX ix_oauth2_token_refresh_token ON oauth2_token (refresh_token);
INSERT INTO user (id, username) VALUES (7, 'alice');
INSERT INTO oauth2_client (id, user_id, client_id, client_secret, client_id_issued_at, client_secret_expires_at, client_metadata)
	VALUES (1, 7, 'old-client', 'old+secret', 1700000000, 0, '{"client_name":"Old","token_endpoint_auth_method":"client_secret_basic","grant_types":["refresh_token"],"scope":"profile","x_own":1}');
INSERT INTO oauth2_client (id, user_id, client_id, client_id_issued_at, client_secret_expires_at) VALUES (2, 7, 'bare-client', 1700000000, 0);
INSERT INTO oauth2_code (id, user_id, code, client_id, scope, auth_time) VALUES (1, 7, 'old-code', 'old-client', 'profile', 1700000000);
INSERT INTO oauth2_token (id, user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at, refresh_token_revoked_at, expires_in)
	VALUES (1, 7, 'old-client', 'Bearer', 'old-access', 'old-refresh', 'profile', 1700000000, 0, 0, 0);
INSERT INTO oauth2_token (id, user_id, client_id, token_type, access_token, scope, issued_at, access_token_revoked_at, refresh_token_revoked_at, expires_in)
	VALUES (2, 7, 'old-client', 'Bearer', 'old-access-2', 'profile', 1700000000, 0, 0, 0);
INSERT INTO oauth2_token (id, user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at, refresh_token_revoked_at, expires_in)
	VALUES (3, 7, 'old-client', 'Bearer', 'revoked-access', 'revoked-refresh', 'profile', 1700000000, 1700000001, 0, 0)`

type oldUser struct {
	ID       int64 `gorm:"primaryKey"`
	Username string
}

func (oldUser) TableName() string    { return "user" }
func (u *oldUser) GetUserID() string { return strconv.FormatInt(u.ID, 10) }
func (oldClient) TableName() string  { return "oauth2_client" }
func (oldCode) TableName() string    { return "oauth2_code" }
func (oldToken) TableName() string   { return "oauth2_token" }

type oldClient struct {
	ID     int64 `gorm:"primaryKey"`
	UserID *int64
	models.ClientMixin
}

type oldCode struct {
	ID     int64 `gorm:"primaryKey"`
	UserID *int64
	models.AuthorizationCodeMixin
}

type oldToken struct {
	ID     int64 `gorm:"primaryKey"`
	UserID *int64
	models.TokenMixin
}

func createOriginalTables(t *testing.T, db *gorm.DB) {
	t.Helper()
	key, user := "INTEGER NOT NULL", `"user"`
	if db.Name() == "postgres" {
		key = "SERIAL NOT NULL"
	}
	tables := strings.NewReplacer("id PRIMARY", "id "+key, "TABLE user", "TABLE "+user, "REFERENCES user", "REFERENCES "+user, "INTO user", "INTO "+user)
	for statement := range strings.SplitSeq(tables.Replace(originalTables), ";\n") {
		require.NoError(t, db.Exec(statement).Error, statement)
	}
}

func TestTablesOfTheOriginalAreTakenOver(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		createOriginalTables(t, db)
		for range 2 { // the second start changes nothing
			require.NoError(t, gormoauth.AutoMigrate(db, &oldClient{}, &oldCode{}, &oldToken{}))
		}
		for table, want := range map[string]int64{"oauth2_client": 2, "oauth2_code": 1, "oauth2_token": 3} {
			var rows int64
			require.NoError(t, db.Table(table).Count(&rows).Error)
			assert.Equal(t, want, rows, "AutoMigrate keeps every row of %s", table)
		}

		convert := gormoauth.CreateDigestPlaintextFunc[oldToken](db)
		batches := 0
		for {
			rows, err := convert(t.Context(), 2)
			require.NoError(t, err)
			if rows == 0 {
				break
			}
			batches++
		}
		assert.Equal(t, 2, batches, "three rows, two at a time")
		for _, column := range []string{"access_token", "refresh_token"} {
			var plaintext int64
			require.NoError(t, db.Table("oauth2_token").Where("length("+column+") <> 64").Count(&plaintext).Error)
			assert.Zero(t, plaintext, "no plaintext is left in %s", column)
		}
		oldTokensWork(t, db)
		oldClientWorks(t, db)
	})
}

func oldTokensWork(t *testing.T, db *gorm.DB) {
	t.Helper()
	validator := gormoauth.CreateBearerTokenValidator[oldToken](db)
	for text, valid := range map[string]bool{"old-access": true, "old-access-2": true, "revoked-access": false, "unknown": false} {
		token, err := validator.AuthenticateToken(t.Context(), text)
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		assert.Equal(t, valid, validator.ValidateToken(token, []string{"profile"}, r, time.Now()) == nil, text)
	}
}

func oldClientWorks(t *testing.T, db *gorm.DB) {
	t.Helper()
	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example"}, gormoauth.Clients[oldClient](gormstore.ClientOptions{RewritePlaintext: true}),
		gormoauth.Tokens[oldToken](), gormoauth.AuthorizationCodes[oldCode](), gormoauth.Users[oldUser]())
	require.NoError(t, err)
	refresh := func(token string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/oauth/token",
			strings.NewReader(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("old-client", "old+secret") // as it is, which the original takes
		srv.CreateTokenResponse(w, r)
		return w.Code
	}
	assert.Equal(t, http.StatusOK, refresh("old-refresh"), "an old client authenticates, and its refresh token works")
	assert.Equal(t, http.StatusBadRequest, refresh("revoked-refresh"), "what was revoked stays revoked")

	var client oldClient
	require.NoError(t, db.First(&client, 1).Error)
	assert.Equal(t, models.HashClientSecret("old+secret"), client.ClientSecret, "the plaintext is gone after the first use")
	assert.Equal(t, "1", string(client.ClientMetadata.Extra["x_own"]), "unknown metadata is kept")
}

// deletedToken is a model of the original's table with a soft delete.
type deletedToken struct {
	ID        int64 `gorm:"primaryKey"`
	UserID    *int64
	DeletedAt gorm.DeletedAt
	models.TokenMixin
}

func (deletedToken) TableName() string { return "oauth2_token" }

func TestNoPlaintextIsLeftInDeletedRows(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		createOriginalTables(t, db)
		require.NoError(t, gormoauth.AutoMigrate(db, &deletedToken{}))
		require.NoError(t, db.Delete(&deletedToken{}, "id = 1").Error)
		rows, err := gormoauth.CreateDigestPlaintextFunc[deletedToken](db)(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, 3, rows)
		var plaintext int64
		require.NoError(t, db.Table("oauth2_token").Where("length(access_token) <> 64").Count(&plaintext).Error)
		assert.Zero(t, plaintext)
	})
}

func TestOldSecretsAreReplacedInBatches(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		createOriginalTables(t, db)
		require.NoError(t, gormoauth.AutoMigrate(db, &oldClient{}))
		clients, err := gormstore.NewClients[oldClient](db)
		require.NoError(t, err)
		for _, want := range []int{1, 0} {
			rows, err := clients.DigestPlaintext(t.Context(), 10)
			require.NoError(t, err)
			assert.Equal(t, want, rows)
		}
		var secret string
		require.NoError(t, db.Table("oauth2_client").Where("id = 1").Pluck("client_secret", &secret).Error)
		assert.Equal(t, models.HashClientSecret("old+secret"), secret)
	})
}

// How many secrets were replaced is told, up to the limit, and also where one fails.
func TestHowManySecretsWereReplaced(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	for i := range 5 {
		require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: fmt.Sprint(i), ClientSecret: "in plaintext"}}).Error)
	}
	broken, looks, changes := errors.New("this statement fails"), 0, 0
	observed := faults.DB(db, &faults.Plan{Next: func(c faults.Call) faults.Fault {
		switch {
		case strings.HasPrefix(c.SQL, "UPDATE `clients`"):
			if changes++; changes == 4 {
				return faults.Fault{Err: broken}
			}
		case strings.Contains(c.SQL, "NOT LIKE"):
			if looks++; looks == 4 {
				return faults.Fault{Err: broken}
			}
		}
		return faults.Fault{}
	}})
	clients, err := gormstore.NewClients[Client](observed)
	require.NoError(t, err)
	for _, c := range []struct {
		limit, rows int
		fails       bool
	}{{2, 2, false}, {10, 1, true}, {10, 2, false}, {10, 0, true}, {10, 0, false}} {
		rows, err := clients.DigestPlaintext(t.Context(), c.limit)
		assert.Equal(t, c.fails, errors.Is(err, broken), "%v", err)
		assert.Equal(t, c.rows, rows)
	}
}

// One statement reads a page of clients, and a limit within it is one.
func TestALimitWithinAPageOfSecrets(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	rows := make([]Client, 501)
	for i := range rows {
		rows[i].ClientMixin = models.ClientMixin{ClientID: fmt.Sprintf("%04d", i), ClientSecret: "in plaintext"}
	}
	require.NoError(t, db.CreateInBatches(rows, 100).Error)
	clients, err := gormstore.NewClients[Client](db)
	require.NoError(t, err)
	for _, c := range [][2]int{{0, 0}, {3, 3}, {1000, 498}, {1000, 0}} {
		n, err := clients.DigestPlaintext(t.Context(), c[0])
		require.NoError(t, err)
		assert.Equal(t, c[1], n, "up to %d", c[0])
	}
}

// A row that says its form was written by a release, whatever else it lacks.
func TestARowWithAFormIsNotConverted(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for _, row := range []models.TokenMixin{{AccessToken: "old"}, {AccessToken: "with a form", Form: models.TokenDigest}, {AccessToken: "with a beginning", GrantedAt: 1}} {
			require.NoError(t, db.Create(&Token{TokenMixin: row}).Error)
		}
		require.NoError(t, db.Exec("UPDATE tokens SET grant_id = NULL").Error)
		require.NoError(t, db.Exec("UPDATE tokens SET form = NULL WHERE form = ''").Error)
		tokens, _ := stores(t, db)
		rows, err := tokens.DigestPlaintext(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, 1, rows)
		var left []string
		require.NoError(t, db.Model(&Token{}).Where("grant_id IS NULL").Order("access_token").Pluck("access_token", &left).Error)
		assert.Equal(t, []string{"with a beginning", "with a form"}, left)
	})
}

// A secret that says its scheme is not read, however many there are.
func TestSecretsWithASchemeAreNotRead(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for i, secret := range []string{"", "$sha256$a", "$2a$10$a", "$argon2id$a", "$derived$a", "in plaintext"} {
			require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: fmt.Sprint(i), ClientSecret: secret}}).Error)
		}
		var read []int64
		require.NoError(t, db.Callback().Query().After("gorm:query").Register("test:read", func(tx *gorm.DB) { read = append(read, tx.RowsAffected) }))
		clients, err := gormstore.NewClients[Client](db)
		require.NoError(t, err)
		rows, err := clients.DigestPlaintext(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, 1, rows)
		require.NotEmpty(t, read)
		assert.EqualValues(t, 1, slices.Max(read))
	})
}

// A service's own token belongs to no grant, and is no plaintext: neither the doctor nor what
// it advises touches a row that any release has written.
func TestServiceTokensOutliveTheConversionOfPlaintext(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		const now = 1_800_000_000
		old := newProgram01(t, db)
		require.NoError(t, db.AutoMigrate(old.models()...))
		byOlder := old.secret("at", "")
		require.NoError(t, db.Exec("INSERT INTO tokens (client_id, token_type, access_token, scope, issued_at, access_token_revoked_at, refresh_token_revoked_at, expires_in, grant_id, granted_scope, granted_at, rotated_at, refresh_token_expires_at, expires_at, auth_time) "+
			"VALUES ('service', 'Bearer', ?, 'profile', ?, 0, 0, 3600, '', '', ?, 0, 0, ?, 0)", secret.Digest(byOlder), now, now, now+3600).Error, "as release 0.1 stores a client's own token")
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		p := newProvider(t, db)
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		own := p.Token(service, "grant_type=client_credentials").Body["access_token"]
		for name := range diagnosed(t, db) {
			assert.NotContains(t, name, "plaintext")
		}
		convert := gormoauth.CreateDigestPlaintextFunc[Token](db)
		rows, err := convert(t.Context(), 100)
		require.NoError(t, err)
		assert.Zero(t, rows)
		assert.True(t, p.valid(own))
		assert.True(t, p.valid(byOlder))
	})
}

// A revocation that the old program writes while a row is being converted stays, also where
// its column held NULL.
func TestTheConversionWritesNoStaleRevocation(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for name, row := range map[string]struct {
			column  string
			revokes any
			valid   bool
		}{
			"revoked meanwhile": {"access_token_revoked_at", 5, false}, "its grant, meanwhile": {"refresh_token_revoked_at", 5, false}, "not revoked": {"access_token_revoked_at", 0, true},
		} {
			access := rand.Text()
			token := &Token{TokenMixin: models.TokenMixin{AccessToken: access, TokenType: "Bearer", IssuedAt: time.Now().Unix(), ExpiresIn: 3600}}
			require.NoError(t, db.Create(token).Error)
			require.NoError(t, db.Model(token).Updates(map[string]any{"grant_id": nil, "form": nil, "granted_at": 0}).Error)
			racing, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger})
			require.NoError(t, err)
			require.NoError(t, racing.Callback().Query().After("gorm:query").Register("test:revoke", func(tx *gorm.DB) {
				if tx.Statement.Table == "tokens" {
					require.NoError(t, db.Exec("UPDATE tokens SET "+row.column+" = ? WHERE id = ?", row.revokes, token.ID).Error)
				}
			}))
			_, err = gormoauth.CreateDigestPlaintextFunc[Token](racing)(t.Context(), 10)
			require.NoError(t, err)
			var now Token
			require.NoError(t, db.First(&now, token.ID).Error)
			assert.Equal(t, secret.Digest(access), now.AccessToken, name)
			assert.Equal(t, row.valid, !now.IsRevoked(), name)
		}
	})
}

// Rows that another instance converted first are no rows that cannot be converted, even if others are left.
func TestTwoInstancesConvert(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for range 4 {
			token := &Token{TokenMixin: models.TokenMixin{AccessToken: rand.Text(), TokenType: "Bearer", IssuedAt: time.Now().Unix(), ExpiresIn: 3600}}
			require.NoError(t, db.Create(token).Error)
			require.NoError(t, db.Model(token).Updates(map[string]any{"grant_id": nil, "form": nil, "granted_at": 0}).Error)
		}
		racing, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger})
		require.NoError(t, err)
		behind := false
		require.NoError(t, racing.Callback().Query().After("gorm:query").Register("test:convert", func(tx *gorm.DB) {
			if tx.Statement.Table == "tokens" && !behind {
				behind = true
				found := *tx.Statement.Dest.(*[]Token)
				for _, token := range found {
					require.NoError(t, db.Exec("UPDATE tokens SET form = 'digest', granted_at = 1, grant_id = 'x' WHERE id = ?", token.ID).Error)
				}
			}
		}))
		convert := gormoauth.CreateDigestPlaintextFunc[Token](racing)
		for _, want := range []int{2, 2, 0} {
			rows, err := convert(t.Context(), 2)
			require.NoError(t, err)
			assert.Equal(t, want, rows)
		}
	})
}

// Rows that stay as they are would be converted for ever: that is an error.
func TestRowsThatCannotBeConvertedAreAnError(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	for range 3 {
		token := &Token{TokenMixin: models.TokenMixin{AccessToken: rand.Text(), TokenType: "Bearer", IssuedAt: time.Now().Unix(), ExpiresIn: 3600}}
		require.NoError(t, db.Create(token).Error)
		require.NoError(t, db.Model(token).Updates(map[string]any{"grant_id": nil, "form": nil, "granted_at": 0}).Error)
	}
	require.NoError(t, db.Exec("CREATE TRIGGER t BEFORE UPDATE ON tokens BEGIN SELECT RAISE(IGNORE); END").Error)
	for _, limit := range []int{2, 3, 10} {
		rows, err := gormoauth.CreateDigestPlaintextFunc[Token](db)(t.Context(), limit)
		require.ErrorContains(t, err, "no row of tokens could be converted: gormstore: rows that have to change were found, but updating them changes nothing")
		assert.Zero(t, rows)
	}
}

// A table of an older program may hold NULL where nothing was revoked or spent: what ends
// something ends it there, too.
func TestWhatHoldsNullEnds(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		loosen(t, db)
		p := newProvider(t, db)
		hollow := func() {
			require.NoError(t, db.Exec("UPDATE tokens SET access_token_revoked_at = NULL, refresh_token_revoked_at = NULL").Error)
			require.NoError(t, db.Exec("UPDATE authorization_codes SET redeemed_at = NULL").Error)
		}
		tokens := func() answer {
			code := p.code("profile")
			hollow()
			a := p.redeem(code)
			require.Equal(t, http.StatusOK, a.Status, a.Description)
			hollow()
			return a
		}
		first := tokens()
		p.Revoke(p.client, "token="+first.AccessToken)
		assert.False(t, p.valid(first.AccessToken), "one token")
		second := tokens()
		p.Revoke(p.client, "token="+second.RefreshToken)
		assert.False(t, p.valid(second.AccessToken), "a grant")
		third := tokens()
		next := p.refresh(third.RefreshToken)
		require.Equal(t, http.StatusOK, next.Status, next.Description)
		store, _ := stores(t, db)
		hollow()
		code := p.code("profile")
		hollow()
		require.NoError(t, store.RevokeClient(oauthtest.Brief(t), p.client.ClientID, p.Now))
		assert.False(t, p.valid(next.AccessToken), "a client")
		assert.Equal(t, http.StatusBadRequest, p.redeem(code).Status)
	})
}

// loosen has columns take NULL, as those of an older program may.
func loosen(t *testing.T, db *gorm.DB) {
	t.Helper()
	for table, columns := range map[string][]string{"tokens": {"access_token_revoked_at", "refresh_token_revoked_at"}, "authorization_codes": {"redeemed_at"}} {
		if db.Name() == "postgres" {
			for _, column := range columns {
				require.NoError(t, db.Exec("ALTER TABLE "+table+" ALTER "+column+" DROP NOT NULL").Error)
			}
			continue
		}
		var definition string
		require.NoError(t, db.Raw("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table).Scan(&definition).Error)
		for _, column := range columns {
			definition = strings.ReplaceAll(definition, "`"+column+"` integer NOT NULL", "`"+column+"` integer")
		}
		require.NoError(t, db.Migrator().DropTable(table))
		require.NoError(t, db.Exec(definition).Error)
	}
}

// watchedToken and watchedClient have hooks that refuse whatever they see.
type watchedToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
}

func (*watchedToken) BeforeUpdate(*gorm.DB) error { return errors.New("a hook of the program's") }
func (*watchedToken) BeforeDelete(*gorm.DB) error { return errors.New("a hook of the program's") }

type watchedClient struct {
	ID uint
	models.ClientMixin
}

func (*watchedClient) BeforeUpdate(*gorm.DB) error { return errors.New("a hook of the program's") }

// What is converted and pruned is shown to no hook: it is no act of a user's, and part of a row.
func TestConversionAndPruningRunNoHooks(t *testing.T) {
	testdb.Each(t, []any{&watchedToken{}, &watchedClient{}, &AuthorizationCode{}}, func(t *testing.T, db *gorm.DB) {
		tokens, err := gormstore.NewTokens[watchedToken](db)
		require.NoError(t, err)
		clients, err := gormstore.NewClients[watchedClient](db)
		require.NoError(t, err)
		codes, err := gormstore.NewAuthorizationCodes[AuthorizationCode](db)
		require.NoError(t, err)
		require.NoError(t, db.Create(&watchedToken{TokenMixin: models.TokenMixin{AccessToken: "old", IssuedAt: 1, ExpiresIn: 1}}).Error)
		require.NoError(t, db.Model(&watchedToken{}).Where("1 = 1").UpdateColumn("grant_id", nil).Error)
		require.NoError(t, db.Create(&watchedClient{ClientMixin: models.ClientMixin{ClientID: "c", ClientSecret: "old"}}).Error)
		rows, err := tokens.DigestPlaintext(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, 1, rows)
		rows, err = clients.DigestPlaintext(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, 1, rows)
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		var left int64
		require.NoError(t, db.Model(&watchedToken{}).Count(&left).Error)
		assert.Zero(t, left)
	})
}

// A secret in plaintext is in no statement that replaces it.
func TestAPlaintextSecretIsReplacedWithoutBeingWritten(t *testing.T) {
	recorded, s := record(testdb.Open(t, testdb.SQLiteGo, allModels...))
	r := oauthtest.New(t, recorded)
	require.NoError(t, recorded.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "c", ClientSecret: "in plaintext"}}).Error)
	args := ""
	require.NoError(t, recorded.Callback().Update().After("gorm:update").Register("test:args", func(tx *gorm.DB) { args += fmt.Sprint(tx.Statement.Vars) }))
	s.take()
	factory, err := gormstore.NewClientFactory[Client](recorded, r.Server)
	require.NoError(t, err)
	_, err = factory.RotateSecret(t.Context(), "c", gormstore.SecretRotation{})
	require.NoError(t, err)
	assert.Contains(t, args, "$sha256$")
	assert.NotContains(t, args, "in plaintext")
	assert.Contains(t, s.take(), "BEGIN", "the row is locked and compared instead")
}
