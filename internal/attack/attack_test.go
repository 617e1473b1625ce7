package attack

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"flag"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/gormoauth/gormoauth/internal/demo"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

var duration = flag.Duration("for", 6*time.Second, "how long each attack lasts")

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(800) // who measures how long others wait has to be quick
	testdb.Main(m)
}

const (
	// long is how long an attack lasts that shows how long honest clients wait: in
	// less there are too few of them.
	long = 2 * time.Minute
	// bound is how much longer the slowest of a hundred may wait under attack: of all,
	// and of each operation.
	bound = 2
)

func TestTheExampleUnderAttack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("attackers need addresses of their own, and the program's figures are read in /proc")
	}
	binary := demo.Build(t)
	t.Run("sqlite", func(t *testing.T) { attack(t, binary, filepath.Join(t.TempDir(), "example.db")) })
	t.Run("postgres", func(t *testing.T) { attack(t, binary, testdb.PostgresDSN(t)) })
}

// attack starts the program, has honest clients work alone, attacks it beside them,
// and waits until it has come back to what it was.
func attack(t *testing.T, binary, db string) {
	p := startProgram(t, binary, db)
	key := oauthtest.NewKey(t)
	seed(t, db, key)
	h := newHonest(t, p)
	all, slowOnes := attackers(t, p, key), slowClients()

	if *duration < long {
		for _, a := range all {
			a.gently()
		}
	}
	idle := during(t, max(2*time.Second, *duration/4), h.work)
	before := p.peak(t, time.Second)
	var most usage
	var everybody sync.WaitGroup
	underAttack := during(t, *duration, func(ctx context.Context) *figures {
		for i, a := range all {
			everybody.Go(func() { a.attack(ctx, p, 1+i) })
		}
		for i, s := range slowOnes {
			everybody.Go(func() { s.attack(ctx, p, 101+i) })
		}
		everybody.Go(func() { most = p.peak(t, *duration) })
		return h.work(ctx)
	})
	everybody.Wait()
	after := p.calm(t, before)

	for _, a := range all {
		a.check(t, *duration)
	}
	for _, s := range slowOnes {
		s.check(t, *duration)
	}
	operations := []string{everything}
	for _, op := range h.operations() {
		operations = append(operations, op.name)
		assert.NotZero(t, underAttack.count(op.name), op.name)
	}
	t.Logf("%v alone, %v under attack\n\n%s\n%s\n%s\n%s", max(2*time.Second, *duration/4), *duration,
		table(operations, idle, underAttack), tableOf("| attackers | addresses | rate | answers, by status |\n|---|---|---|---|", all),
		tableOf("| slow clients | connections | opened | closed by the server | the longest |\n|---|---|---|---|---|", slowOnes),
		usageTable(before, most, after))
	if *duration >= long {
		for _, name := range operations {
			assert.LessOrEqual(t, underAttack.ratio(name, idle), float64(bound), "%s: p99 under attack, times idle", name)
		}
	}
}

// during has work done for a time.
func during(t *testing.T, d time.Duration, work func(ctx context.Context) *figures) *figures {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return work(ctx)
}

func tableOf[T interface{ String() string }](head string, rows []T) string {
	var b strings.Builder
	b.WriteString(head + "\n")
	for _, row := range rows {
		b.WriteString(row.String() + "\n")
	}
	return b.String()
}

// The clients that the demo does not have: a legacy one, whose secret a person chose,
// and one of the attackers', which signs.
const (
	slowClient, slowSecret = "attack-slow", "correct horse battery staple"
	signingClient          = "attack-signing"
)

// Client is the example's table of clients, as far as this test writes it.
type Client struct {
	ID   uint
	Demo bool
	models.ClientMixin
}

// seed stores these clients, beside the program that runs.
func seed(t *testing.T, dsn string, key *ecdsa.PrivateKey) {
	t.Helper()
	dialector := sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:" + dsn + "?_pragma=busy_timeout(1000)&_txlock=immediate"})
	if strings.Contains(dsn, "://") {
		dialector = postgres.Open(dsn)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	defer pool.Close()
	digest, err := bcrypt.GenerateFromPassword([]byte(slowSecret), bcrypt.DefaultCost)
	require.NoError(t, err)
	for _, c := range []models.ClientMixin{
		{ClientID: slowClient, ClientSecret: string(digest), ClientMetadata: models.ClientMetadata{
			TokenEndpointAuthMethod: models.ClientSecretBasic, GrantTypes: []string{"client_credentials"}, Scope: "profile",
		}},
		{ClientID: signingClient, ClientMetadata: models.ClientMetadata{
			TokenEndpointAuthMethod: models.PrivateKeyJWT, GrantTypes: []string{"client_credentials"}, Scope: "profile",
			JWKs: json.RawMessage(oauthtest.KeySet(t, key)),
		}},
	} {
		require.NoError(t, db.Create(&Client{ClientMixin: c}).Error)
	}
}
