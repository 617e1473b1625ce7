package gormstore_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/secret"
)

// quickly is what the databases for tests do without, to be quick.
const quickly = "durability"

// diagnose returns the findings, each of which is in testdata/findings.txt.
func diagnose(t *testing.T, db *gorm.DB, all ...any) finding.List {
	t.Helper()
	findings := gormstore.Diagnose(t.Context(), db, all...)
	oauthtest.KnowFindings(t, findings)
	return findings
}

// diagnosed returns the findings by their checks and where, without those that the
// databases for tests are meant to have.
func diagnosed(t *testing.T, db *gorm.DB, all ...any) map[string]finding.Finding {
	t.Helper()
	if all == nil {
		all = allModels
	}
	found := make(map[string]finding.Finding)
	for _, one := range diagnose(t, db, all...).Without(quickly) {
		found[one.Check+" "+one.Where] = one
	}
	return found
}

func execAll(t *testing.T, db *gorm.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		require.NoError(t, db.Exec(statement).Error, statement)
	}
}

func TestASoundDatabaseHasNothingWrong(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		assert.Empty(t, diagnosed(t, db))
		p := newProvider(t, db)
		require.NotEmpty(t, p.redeem(p.code("profile")).AccessToken)
		assert.Empty(t, diagnosed(t, db), "with rows in it, too")
		assert.Empty(t, diagnosed(t, db.Session(&gorm.Session{PrepareStmt: true})), "and with prepared statements")
	})
	t.Run(testdb.PostgresPgBouncer, func(t *testing.T) {
		for _, db := range testdb.OpenInstances(t, testdb.PostgresPgBouncer, allModels...) {
			assert.Empty(t, diagnosed(t, db))
		}
	})
}

// What is told to be quick is not durable, and that is found.
func TestDurabilityIsFound(t *testing.T) {
	for _, engine := range testdb.Engines() {
		findings := diagnose(t, testdb.Open(t, engine))
		require.Len(t, findings, 1, engine)
		assert.Equal(t, quickly, findings[0].Check)
		assert.Error(t, findings.Err(), "a power cut may take everything")
	}
}

type looseToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
}

type consentOfLoose struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.ConsentMixin
}

func TestModelsAreDiagnosedAllAtOnce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	findings := diagnose(t, db, &hiddenToken{}, &pointerToken{}, &userlessToken{}, &shadowedToken{},
		&renamedShadowToken{}, &bytesToken{}, 7, &looseToken{}, &consentOfLoose{})
	text := findings.String()
	for _, want := range []string{
		"gormstore_test.hiddenToken has no columns of models.TokenMixin",
		"gormstore_test.pointerToken embeds *models.TokenMixin, so the constructors refuse it; remedy: embed models.TokenMixin, without the star",
		"gormstore_test.userlessToken has no field UserID, so the constructors refuse it; remedy: add UserID *uint",
		`gormstore_test.shadowedToken declares a field Scope that hides`,
		`gormstore_test.renamedShadowToken declares a field Extra that hides the column "grant_id"`,
		"gormstore_test.bytesToken has a UserID of type [16]uint8",
		"int: unsupported data type",
		"gormstore_test.looseToken has no index on UserID, which finding a user's rows needs, so the constructors refuse it; remedy: add the tag `gorm:\"index\"`",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, diagnose(t, db, &looseToken{}).String(), "index on UserID", "where there are no consents nobody looks for it")
}

// each fault that is made in a table, and what is found then. What a statement is
// called on an engine is up to that engine.
func TestASchemaIsDiagnosed(t *testing.T) {
	postgresOnly, sqliteOnly := []string{testdb.Postgres}, []string{testdb.SQLiteGo}
	both := []string{testdb.Postgres, testdb.SQLiteGo}
	for rule, c := range map[string]struct {
		engines  []string
		faults   []string
		check    string
		severity finding.Severity
		contains string
	}{
		"every table is there": {both, []string{"DROP TABLE replays"}, "table table replays", finding.Grave, "AutoMigrate(db, &Replay{})"},
		"every column is there": {both, []string{"ALTER TABLE tokens DROP COLUMN claims"},
			"column column tokens.claims", finding.Grave, "AutoMigrate(db, &Token{})"},
		"what may be used once has a unique index": {both, []string{"DROP INDEX idx_tokens_access_token"},
			"unique_index table tokens", finding.Grave, "has no unique index on access_token"},
		"an index of the same columns is not enough": {both, []string{"DROP INDEX idx_replays_replay_key", "CREATE INDEX idx_replays_replay_key ON replays (replay_key)"},
			"unique_index table replays", finding.Grave, "(idx_replays_replay_key is not unique)"},
		"nor is one of some rows": {both, []string{"DROP INDEX idx_authorization_codes_code", "CREATE UNIQUE INDEX idx_authorization_codes_code ON authorization_codes (code) WHERE redeemed_at = 0"},
			"unique_index table authorization_codes", finding.Grave, "(idx_authorization_codes_code is partial: it has a WHERE)"},
		"nor one of an expression": {both, []string{"DROP INDEX idx_tokens_access_token", "CREATE UNIQUE INDEX own ON tokens (lower(access_token))"},
			"unique_index table tokens", finding.Grave, "has no unique index on access_token"},
		"nor one of more columns": {both, []string{"DROP INDEX idx_consents_consent_key", "CREATE UNIQUE INDEX own ON consents (consent_key, client_id)"},
			"unique_index table consents", finding.Grave, "has no unique index on consent_key"},
		"what is looked for has an index": {both, []string{"DROP INDEX idx_tokens_grant_id"},
			"index table tokens", finding.Warning, "has no index that begins with grant_id"},
		"one in which it comes second is none": {both, []string{"DROP INDEX idx_tokens_expires_at", "CREATE INDEX own ON tokens (client_id, expires_at)"},
			"index table tokens", finding.Warning, "has no index that begins with expires_at"},
		"a column holds what is written": {postgresOnly, []string{"ALTER TABLE tokens ALTER COLUMN grant_id TYPE varchar(32)"},
			"column_length column tokens.grant_id", finding.Grave, `ALTER TABLE "tokens" ALTER COLUMN "grant_id" TYPE varchar(64)`},
		"a list is longer than a word": {postgresOnly, []string{"ALTER TABLE tokens ALTER COLUMN scope TYPE varchar(255)"},
			"column_length column tokens.scope", finding.Grave, "TYPE text"},
		"a digest has 64 characters": {postgresOnly, []string{"ALTER TABLE tokens ALTER COLUMN access_token TYPE varchar(63)"},
			"column_length column tokens.access_token", finding.Grave, "holds 63 characters but needs 64"},
		"there may be no refresh token": {postgresOnly, []string{"ALTER TABLE tokens ALTER COLUMN refresh_token SET NOT NULL"},
			"column_null column tokens.refresh_token", finding.Grave, "DROP NOT NULL"},
		"there may be no user": {postgresOnly, []string{"ALTER TABLE tokens ALTER COLUMN user_id SET NOT NULL"},
			"column_null column tokens.user_id", finding.Grave, "DROP NOT NULL"},
		"a column of nobody has a default": {postgresOnly, []string{"ALTER TABLE tokens ADD COLUMN tenant text NOT NULL"},
			"column_unknown column tokens.tenant", finding.Grave, "no row can be inserted"},
		"a time goes on after 2038": {postgresOnly, []string{"ALTER TABLE tokens ALTER COLUMN issued_at TYPE integer"},
			"column_time column tokens.issued_at", finding.Warning, `ALTER TABLE "tokens" ALTER COLUMN "issued_at" TYPE bigint`},
		"PostgreSQL compares client ids exactly": {postgresOnly, []string{
			"CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)", "ALTER TABLE clients ALTER COLUMN client_id TYPE varchar(48) COLLATE loose"},
			"collation table clients", finding.Warning, `ALTER TABLE "clients" ALTER COLUMN "client_id" TYPE character varying(48) COLLATE "C"`},
		"SQLite compares client ids exactly": {sqliteOnly, []string{
			"ALTER TABLE clients RENAME TO old", "CREATE TABLE clients AS SELECT * FROM old", "ALTER TABLE clients DROP COLUMN client_id",
			"DROP TABLE old", "ALTER TABLE clients ADD COLUMN client_id varchar(48) COLLATE NOCASE"},
			"collation table clients", finding.Warning, "compares client_id with COLLATE NOCASE"},
		"what has ended leaves": {both, []string{`INSERT INTO replays (replay_key, expires_at) VALUES ('old', 1)`},
			"pruning table replays", finding.Warning, "has rows that expired more than 30 days ago, 1 of them"},
		"tokens in plaintext": {both, []string{`INSERT INTO tokens (client_id, access_token, issued_at, access_token_revoked_at, refresh_token_revoked_at, expires_in) VALUES ('c', 'old', 1, 0, 0, 0)`},
			"plaintext table tokens", finding.Warning, "has tokens in plaintext, in 1 of its rows"},
		"secrets in plaintext": {both, []string{`INSERT INTO clients (client_id, client_secret, client_id_issued_at, client_secret_expires_at) VALUES ('c', 'old', 1, 0)`},
			"plaintext table clients", finding.Warning, "has secrets in plaintext, in 1 of its rows"},
	} {
		for _, engine := range c.engines {
			t.Run(rule+"/"+engine, func(t *testing.T) {
				db := testdb.Open(t, engine, allModels...)
				require.Empty(t, diagnosed(t, db))
				execAll(t, db, c.faults...)
				found := diagnosed(t, db)
				require.Contains(t, found, c.check)
				assert.Contains(t, found[c.check].Error(), c.contains)
				assert.Equal(t, c.severity, found[c.check].Severity)
				if !strings.Contains(rule, "SQLite") { // which rebuilds the table without its indexes
					assert.Len(t, found, 1, "and nothing else: %v", found)
				}
			})
		}
	}
}

// What is told to be run is run as it stands, and then nothing is wrong any more.
func TestARemedyRemedies(t *testing.T) {
	for engine, breaks := range map[string][]string{
		testdb.SQLiteGo: {
			"DROP INDEX idx_tokens_grant_id", "DROP INDEX idx_tokens_session_id",
			"DROP INDEX idx_replays_replay_key", "CREATE INDEX idx_replays_replay_key ON replays (replay_key)",
		},
		testdb.Postgres: {
			"DROP INDEX idx_tokens_grant_id", "DROP INDEX idx_tokens_session_id",
			"DROP INDEX idx_replays_replay_key", "CREATE INDEX idx_replays_replay_key ON replays (replay_key)",
			"ALTER TABLE tokens ALTER COLUMN scope TYPE varchar(255)", "ALTER TABLE tokens ALTER COLUMN issued_at TYPE integer",
			"ALTER TABLE device_codes ALTER COLUMN user_id SET NOT NULL",
			"CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)", "ALTER TABLE consents ALTER COLUMN client_id TYPE varchar(48) COLLATE loose",
		},
	} {
		db := testdb.Open(t, engine, allModels...)
		execAll(t, db, breaks...)
		found := diagnosed(t, db)
		require.GreaterOrEqual(t, len(found), 2)
		for _, finding := range diagnose(t, db, allModels...).Without(quickly) {
			execAll(t, db, strings.Split(finding.Remedy, "; ")...)
		}
		assert.Empty(t, diagnosed(t, db), engine)
	}
}

// PostgreSQL leaves an index behind whose creation failed, and nothing keeps it.
func TestAnIndexThatIsInvalidIsNone(t *testing.T) {
	db := testdb.Open(t, testdb.Postgres, allModels...)
	execAll(t, db, "DROP INDEX idx_replays_replay_key",
		"INSERT INTO replays (replay_key, expires_at) VALUES ('twice', 1), ('twice', 1)")
	require.Error(t, db.Exec("CREATE UNIQUE INDEX CONCURRENTLY idx_replays_replay_key ON replays (replay_key)").Error)
	found := diagnosed(t, db)
	require.Contains(t, found, "unique_index table replays")
	assert.Contains(t, found["unique_index table replays"].Error(), "idx_replays_replay_key is invalid")
	assert.Contains(t, found["unique_index table replays"].Remedy, `DROP INDEX "idx_replays_replay_key"; CREATE UNIQUE INDEX`)
}

// A table of the original's is taken over with all that is odd about it.
func TestATakenOverTableIsDiagnosed(t *testing.T) {
	old := []any{&oldUser{}, &oldClient{}, &oldCode{}, &oldToken{}}
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		createOriginalTables(t, db)
		found := diagnosed(t, db, old...)
		assert.Contains(t, found, "column column oauth2_token.grant_id", "before the migration")
		execAll(t, db, "INSERT INTO oauth2_client (id, client_id, client_id_issued_at, client_secret_expires_at) VALUES (3, 'bare-client', 1, 0)")
		for i := range 14 {
			execAll(t, db, fmt.Sprintf("INSERT INTO oauth2_client (id, client_id, client_id_issued_at, client_secret_expires_at) VALUES (%d, 'twin-%d', 1, 0)", i+4, i/2))
		}
		require.Error(t, gormstore.AutoMigrate(db, old...), "the unique index cannot be made")
		duplicates := diagnosed(t, db, old...)["duplicate_client_id table oauth2_client"]
		assert.Equal(t, finding.Grave, duplicates.Severity)
		assert.Contains(t, duplicates.Problem, `"bare-client", "twin-0", "twin-1", "twin-2", "twin-3", others`)

		execAll(t, db, "DELETE FROM oauth2_client WHERE id > 2")
		require.NoError(t, gormstore.AutoMigrate(db, old...))
		found = diagnosed(t, db, old...)
		assert.Contains(t, found["plaintext table oauth2_token"].Problem, "in 3 of its rows")
		assert.Contains(t, found["plaintext table oauth2_client"].Problem, "in 1 of its rows")
		delete(found, "plaintext table oauth2_token")
		delete(found, "plaintext table oauth2_client")
		for name, finding := range found {
			assert.Equal(t, "column_time", finding.Check, name)
		}
		if db.Name() == "postgres" {
			assert.Contains(t, found, "column_time column oauth2_client.client_secret_expires_at")
		} else {
			assert.Empty(t, found, "integers have 64 bits there")
		}
	})
}

type referringUser struct{ ID uint }

type referringToken struct {
	ID     uint
	UserID uint
	User   referringUser
	models.TokenMixin
}

func TestATokenWithoutAUserNeedsNull(t *testing.T) {
	testdb.Each(t, []any{&referringUser{}, &referringToken{}}, func(t *testing.T, db *gorm.DB) {
		require.Error(t, db.Omit("User").Create(&referringToken{TokenMixin: models.TokenMixin{AccessToken: "x"}}).Error, "as it is")
		found := diagnosed(t, db, &referringUser{}, &referringToken{})
		require.Contains(t, found, "user_id model gormstore_test.referringToken")
		assert.Equal(t, "UserID *uint", found["user_id model gormstore_test.referringToken"].Remedy)
		assert.Len(t, found, 1)
	})
}

func openSQLite(t *testing.T, dsn string, connections int) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn}), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(connections)
	t.Cleanup(func() { _ = pool.Close() })
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	return db
}

func keys[V any](m map[string]V) (all []string) {
	for key := range m {
		all = append(all, key)
	}
	return all
}

func TestTheSettingsOfSQLiteAreDiagnosed(t *testing.T) {
	const good = "_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)&_pragma=foreign_keys(1)&_txlock=immediate"
	for rule, c := range map[string]struct {
		settings    string
		connections int
		want        []string
	}{
		"as it should be":                 {good, 8, nil},
		"as it is":                        {"", 8, []string{"journal_mode PRAGMA journal_mode", "busy_timeout PRAGMA busy_timeout", "foreign_keys PRAGMA foreign_keys", "txlock the DSN"}},
		"a transaction that reads first":  {strings.Replace(good, "immediate", "deferred", 1), 8, []string{"txlock the DSN"}},
		"a transaction that locks it all": {strings.Replace(good, "immediate", "EXCLUSIVE", 1), 8, nil},
		"as long as the budget":           {strings.Replace(good, "1000", "2000", 1), 8, []string{"busy_timeout PRAGMA busy_timeout"}},
		"a moment less":                   {strings.Replace(good, "1000", "1999", 1), 8, nil},
		"no bound":                        {good, 0, []string{"max_open_conns the pool"}},
		"more patience than a request":    {strings.Replace(good, "1000", "5000", 1), 8, []string{"busy_timeout PRAGMA busy_timeout"}},
	} {
		db := openSQLite(t, "file:"+filepath.ToSlash(filepath.Join(t.TempDir(), "x.db"))+"?"+c.settings, c.connections)
		assert.ElementsMatch(t, c.want, keys(diagnosed(t, db)), rule)
	}
	assert.Empty(t, diagnosed(t, openSQLite(t, ":memory:?_pragma=foreign_keys(1)", 1)))
	assert.Empty(t, diagnosed(t, openSQLite(t, "file:shared?mode=memory&cache=shared&_pragma=foreign_keys(1)", 4)), "in memory, and shared")
	apart := openSQLite(t, ":memory:?_pragma=foreign_keys(1)", 4)
	assert.Contains(t, keys(diagnosed(t, apart)), "memory the in-memory database")
}

func openPostgres(t *testing.T, dsn string, config *gorm.Config, connections, idle int) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	db, err := gorm.Open(postgres.Open(dsn), config)
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(idle)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

// with adds a setting to a connection string.
func with(t *testing.T, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestThePoolIsDiagnosed(t *testing.T) {
	dsn := testdb.PostgresDSN(t)
	require.NoError(t, gormstore.AutoMigrate(openPostgres(t, dsn, &gorm.Config{}, 1, 1), &referringUser{}))
	for rule, c := range map[string]struct {
		open, idle int
		want       []string
	}{
		"as it should be":            {16, 16, nil},
		"a small one":                {3, 2, nil},
		"no bound":                   {0, 16, []string{"max_open_conns the pool"}},
		"hardly any that stay":       {16, 2, []string{"max_idle_conns the pool"}},
		"none that stay":             {16, -1, []string{"max_idle_conns the pool"}},
		"more than the server has":   {5000, 16, []string{"max_open_conns the pool"}},
		"one connection for it all":  {1, 1, nil},
		"no bound, and none to stay": {0, 2, []string{"max_open_conns the pool", "max_idle_conns the pool"}},
	} {
		db := openPostgres(t, dsn, &gorm.Config{}, c.open, c.idle)
		assert.ElementsMatch(t, c.want, keys(diagnosed(t, db, &referringUser{})), rule)
	}
}

func TestTheSettingsOfPostgreSQLAreDiagnosed(t *testing.T) {
	dsn := testdb.PostgresDSN(t)
	for setting, want := range map[string]string{
		"default_transaction_read_only=on": "read_only default_transaction_read_only",
		"synchronous_commit=off":           "durability synchronous_commit",
	} {
		name, value, _ := strings.Cut(setting, "=")
		db := openPostgres(t, with(t, dsn, name, value), &gorm.Config{}, 16, 16)
		assert.Contains(t, checksOf(diagnose(t, db)), want)
	}
	db := openPostgres(t, dsn, &gorm.Config{}, 16, 16)
	var fsync string // a setting of the whole server
	require.NoError(t, db.Raw("SHOW fsync").Row().Scan(&fsync))
	assert.Equal(t, fsync == "off", slices.Contains(checksOf(diagnose(t, db)), "durability fsync"))
	pool, err := db.DB()
	require.NoError(t, err)
	assert.Zero(t, pool.Stats().InUse, "each connection that was examined is back")
}

func checksOf(findings finding.List) (all []string) {
	for _, finding := range findings {
		all = append(all, finding.Check+" "+finding.Where)
	}
	return all
}

// What a driver or GORM prepares behind PgBouncer is with one connection of the
// server's, and the next transaction is on another.
func TestPreparedStatementsBehindPgBouncerAreFound(t *testing.T) {
	sound := testdb.OpenInstances(t, testdb.PostgresPgBouncer, &referringUser{})[0]
	dsn := sound.Dialector.(*postgres.Dialector).DSN
	for rule, c := range map[string]struct {
		mode    string
		prepare bool
		want    []string
	}{
		"by the simple protocol": {"simple_protocol", false, nil},
		"by exec":                {"exec", false, nil},
		"by exec, and by GORM":   {"exec", true, []string{"prepared_statements gorm.Config.PrepareStmt"}},
		"by the driver":          {"cache_statement", false, []string{"prepared_statements the connection string"}},
		"by both": {"cache_statement", true, []string{
			"prepared_statements gorm.Config.PrepareStmt", "prepared_statements the connection string"}},
	} {
		for range 3 { // what others have prepared does not matter
			db := openPostgres(t, with(t, dsn, "default_query_exec_mode", c.mode), &gorm.Config{PrepareStmt: c.prepare}, 16, 16)
			assert.ElementsMatch(t, c.want, keys(diagnosed(t, db, &referringUser{})), rule)
		}
	}
	straight := openPostgres(t, testdb.PostgresDSN(t), &gorm.Config{PrepareStmt: true}, 16, 16)
	require.NoError(t, gormstore.AutoMigrate(straight, &referringUser{}))
	assert.Empty(t, diagnosed(t, straight, &referringUser{}), "without a pooler it is as it should be")
}

// A role that may read no rows is told so, and no more: the catalog is there for all.
func TestARoleThatMayNotReadIsTold(t *testing.T) {
	dsn := testdb.PostgresDSN(t)
	db := openPostgres(t, dsn, &gorm.Config{}, 4, 4)
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	role := "doctor_" + strings.ToLower(t.Name())
	execAll(t, db, "DROP ROLE IF EXISTS "+role, "CREATE ROLE "+role+" LOGIN")
	var schema string
	require.NoError(t, db.Raw("SELECT current_schema()").Scan(&schema).Error)
	execAll(t, db, "GRANT USAGE ON SCHEMA "+schema+" TO "+role)
	t.Cleanup(func() { execAll(t, db, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	u.User = url.User(role)
	found := diagnosed(t, openPostgres(t, u.String(), &gorm.Config{}, 4, 4))
	assert.ElementsMatch(t, []string{
		"unseen table tokens", "unseen table clients", "unseen expired rows", "unseen the JSON of rows",
	}, keys(found))
	assert.Equal(t, finding.Hint, found["unseen table tokens"].Severity)
	assert.Contains(t, found["unseen table tokens"].Problem, "permission denied")

	execAll(t, db, "REVOKE ALL ON SCHEMA "+schema+" FROM "+role)
	for name, finding := range diagnosed(t, openPostgres(t, u.String(), &gorm.Config{}, 4, 4)) {
		assert.Contains(t, []string{"unseen", "table"}, finding.Check, name)
	}
}

func TestADatabaseThatCannotBeAskedIsTold(t *testing.T) {
	assert.Error(t, diagnose(t, nil).Err())
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		assert.Empty(t, diagnosed(t, tx), "in a transaction, the pool is asked beside it")
		return nil
	}))
	pool, err := db.DB()
	require.NoError(t, err)
	require.NoError(t, pool.Close())
	assert.Equal(t, []string{"unseen the database"}, keys(diagnosed(t, db)))
}

// Rows that name no issuer are everybody's where several issuers share a table.
func TestRowsWithoutAnIssuerAreNamed(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		add := func(issuer string) {
			require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{
				AccessToken: secret.Digest(rand.Text()), Form: models.TokenDigest, GrantedAt: 1, ExpiresAt: time.Now().Add(time.Hour).Unix(),
				Authorization: models.Authorization{GrantID: secret.Digest(rand.Text()), Issuer: issuer},
			}}).Error)
		}
		named := func() (problems []string) {
			for _, finding := range diagnose(t, db, allModels...) {
				if finding.Check == "rows_without_issuer" {
					problems = append(problems, finding.Problem)
				}
			}
			return problems
		}
		add("")
		add("https://one.example")
		assert.Empty(t, named(), "one issuer, and its older rows")
		add("https://two.example")
		assert.Equal(t, []string{"has rows of several issuers, such as https://one.example and https://two.example, and 1 rows of an older release without an issuer"}, named())
		require.NoError(t, db.Model(&Token{}).Where("issuer = ''").Update("issuer", "https://one.example").Error)
		assert.Empty(t, named())
	})
}
