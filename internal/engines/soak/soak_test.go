package soak

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/engines"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/history"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/budget"
)

var duration = flag.Duration("for", 3*time.Second, "how long each scenario lasts")

func TestMain(m *testing.M) {
	if text := os.Getenv(instanceVariable); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	// Most of the time each of them waits for what is being killed.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	engines.Main(m)
}

// soak has clients work on the instances while fault strikes again and again,
// and checks what they were told. A fault returns when all is well again.
func soak(t *testing.T, programs []*program, fault func()) {
	t.Helper()
	soakAndRecord(t, programs, func(*history.Recorder) { fault() })
}

// soakAndRecord is soak for faults that are part of the history.
func soakAndRecord(t *testing.T, programs []*program, fault func(recorder *history.Recorder)) {
	t.Helper()
	workload := history.Workload{Clients: 8}
	for _, p := range programs {
		workload.Systems = append(workload.Systems, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *duration)
	defer cancel()
	recorder := history.NewRecorder(true)
	faults, struck := 0, make(chan struct{})
	go func() {
		defer close(struck)
		for ctx.Err() == nil {
			time.Sleep(200*time.Millisecond + rand.N(300*time.Millisecond))
			fault(recorder)
			faults++
		}
	}()
	workload.Settle = func() { <-struck }
	workload.Run(ctx, recorder)

	counts := recorder.Count()
	t.Logf("%d faults; calls by outcome: %v", faults, counts)
	assert.NoError(t, recorder.Check(time.Minute))
	assert.NotZero(t, faults, "nothing failed")
	for _, op := range []history.Op{history.Redeem, history.Rotate, history.Validate} {
		assert.NotZero(t, counts[op][history.Done], op)
	}
}

func sqliteDSN(dir string) string {
	return "file:" + filepath.Join(dir, "soak.db") + "?_pragma=busy_timeout(1000)&_pragma=journal_mode(WAL)&_txlock=immediate"
}

// one of the instances, at random.
func one[T any](all []T) T { return all[rand.IntN(len(all))] }

func TestProgramsAreKilled(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, s setting) {
		programs := []*program{startProgram(t, s), startProgram(t, s), startProgram(t, s)}
		soak(t, programs, func() {
			victim := one(programs)
			victim.kill()
			if err := victim.start(); err != nil {
				t.Errorf("start again: %v", err)
			}
		})
	}
	t.Run("sqlite", func(t *testing.T) { run(t, setting{Driver: "sqlite", DSN: sqliteDSN(t.TempDir())}) })
	t.Run("postgres", func(t *testing.T) { run(t, setting{Driver: "postgres", DSN: testdb.PostgresDSN(t)}) })
}

// servers are those that are killed and hang, each durable, and which of their drivers is used.
func servers(t *testing.T, run func(t *testing.T, server *testdb.Server, s setting)) {
	t.Helper()
	t.Run("postgres", func(t *testing.T) {
		server := testdb.StartPostgres(t)
		run(t, server, setting{Driver: "postgres", DSN: server.DSN()})
	})
	t.Run("mariadb", func(t *testing.T) {
		server := testdb.StartMariaDB(t)
		s := setting{Driver: "mysql", DSN: server.DSN()}
		db, err := s.open()
		require.NoError(t, err)
		require.NoError(t, db.Exec("CREATE DATABASE soak CHARACTER SET utf8mb4").Error)
		s.DSN = strings.Replace(s.DSN, "/?", "/soak?", 1)
		run(t, server, s)
	})
}

func TestTheServerIsKilled(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *testdb.Server, s setting) {
		soakAndRecord(t, []*program{startProgram(t, s), startProgram(t, s)}, func(recorder *history.Recorder) {
			kill := func() { server.Kill(t) }
			if s.Driver == "mysql" {
				recorder.Crash(kill)
			} else {
				kill()
			}
			server.Start(t)
		})
	})
}

// The server hangs for longer than a request may take, as one whose machine stands still.
func TestTheServerHangs(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, _ *testdb.Server, s setting) {
		direct := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(s.DSN)
		proxy, err := faults.NewProxy(direct, nil)
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		s.DSN = strings.Replace(s.DSN, direct, net.JoinHostPort("127.0.0.1", strconv.Itoa(proxy.Port())), 1)
		soak(t, []*program{startProgram(t, s), startProgram(t, s)}, func() {
			proxy.Hang()
			time.Sleep(budget.Default/2 + rand.N(budget.Default))
			proxy.Resume()
		})
	})
}

// The primary dies, and its synchronous replica is promoted, which dies and comes back from then
// on. The connection string names both.
func TestThePrimaryFailsOver(t *testing.T) {
	t.Parallel()
	primary := testdb.StartPostgres(t)
	replica := testdb.StartPostgresReplica(t, primary)
	both, err := url.Parse(primary.DSN())
	require.NoError(t, err)
	other, err := url.Parse(replica.DSN())
	require.NoError(t, err)
	both.Host += "," + other.Host
	both.RawQuery += "&target_session_attrs=read-write"
	on := func(server *testdb.Server, statements ...string) {
		db, err := setting{Driver: "postgres", DSN: server.DSN()}.open()
		for _, statement := range statements {
			if err == nil {
				err = db.Exec(statement).Error
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	}
	on(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	s := setting{Driver: "postgres", DSN: both.String()}
	promoted := false
	soak(t, []*program{startProgram(t, s), startProgram(t, s)}, func() {
		if promoted {
			replica.Kill(t)
			replica.Start(t)
			return
		}
		primary.Kill(t)
		on(replica, "SELECT pg_promote()", "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
		promoted = true
	})
}

func TestANodeOfDqliteIsKilled(t *testing.T) {
	t.Parallel()
	nodes := testdb.StartDqlite(t)
	s := setting{Driver: "dqlite", DSN: nodes[0].DSN()}
	soak(t, []*program{startProgram(t, s), startProgram(t, s)}, func() {
		victim := one(nodes)
		victim.Kill(t)
		victim.Start(t)
	})
}

// The server takes no writes for a while, and then gives up soon on locks that another holds.
func TestThePostgresServerRefuses(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	s := setting{Driver: "postgres", DSN: server.DSN()}
	programs := []*program{startProgram(t, s), startProgram(t, s)}
	admin, err := s.open()
	require.NoError(t, err)
	pool, err := admin.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	set := func(statement string) {
		for _, statement := range []string{statement, "SELECT pg_reload_conf()"} {
			if err := admin.Exec(statement).Error; err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	soak(t, programs, func() {
		if rand.IntN(2) == 0 {
			set("ALTER SYSTEM SET default_transaction_read_only = on")
			time.Sleep(200 * time.Millisecond)
			set("ALTER SYSTEM RESET default_transaction_read_only")
			return
		}
		set("ALTER SYSTEM SET lock_timeout = '20ms'")
		tx := admin.Begin()
		if err := tx.Exec("LOCK TABLE tokens IN EXCLUSIVE MODE").Error; err == nil {
			time.Sleep(200 * time.Millisecond)
		}
		tx.Rollback()
		set("ALTER SYSTEM RESET lock_timeout")
	})
}

func TestANodeOfTheClusterIsKilled(t *testing.T) {
	t.Parallel()
	nodes := testdb.StartGalera(t)
	db, err := setting{Driver: "mysql", DSN: nodes[0].DSN()}.open()
	require.NoError(t, err)
	require.NoError(t, db.Exec("CREATE DATABASE soak").Error)
	var programs []*program
	for _, node := range nodes {
		dsn := strings.Replace(node.DSN(), "/?", "/soak?", 1)
		programs = append(programs, startProgram(t, setting{Driver: "mysql", DSN: dsn}))
	}
	soak(t, programs, func() {
		victim := one(nodes)
		victim.Kill(t)
		victim.Start(t)
	})
}

func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	strike := func(p *program) func() {
		return func() {
			p.control("/disk?full=true")
			time.Sleep(2500 * time.Millisecond) // longer than retries bridge
			p.control("/disk?full=false")
		}
	}
	t.Run("pages", func(t *testing.T) {
		p := startProgram(t, setting{Driver: "sqlite", DSN: sqliteDSN(t.TempDir())})
		soak(t, []*program{p}, strike(p))
	})
	t.Run("file system", func(t *testing.T) {
		dir := t.TempDir()
		p := &program{client: newClient(t), setting: setting{Driver: "sqlite", DSN: sqliteDSN(dir), Mount: dir}}
		err := p.start()
		if os.IsPermission(err) && !strings.Contains(os.Getenv("GORMOAUTH_TEST_REQUIRE"), "mount") {
			t.Skip("this system lets no process mount a file system of its own: ", err)
		}
		require.NoError(t, err)
		t.Cleanup(p.kill)
		soak(t, []*program{p}, strike(p))
	})
}

// Clocks of the instances jump, against each other as well, by less than what
// a code lives.
func TestClocksJump(t *testing.T) {
	t.Parallel()
	s := setting{Driver: "sqlite", DSN: sqliteDSN(t.TempDir())}
	programs := []*program{startProgram(t, s), startProgram(t, s)}
	soak(t, programs, func() {
		const most = 2 * time.Minute
		one(programs).control(fmt.Sprintf("/clock?offset=%v", rand.N(2*most)-most))
	})
}
