package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/engines"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// instanceVariable is set in the environment of a process that is an instance
// of the program, rather than the test.
const instanceVariable = "GORMOAUTH_SOAK_INSTANCE"

// setting is how an instance is started.
type setting struct {
	// Driver is "sqlite", "postgres", "mysql" or "dqlite".
	Driver, DSN string
	// Mount is a directory on which the instance mounts a file system of its
	// own, which fills soon.
	Mount string
}

const (
	clientID    = "soak"
	soakedIn    = "gormoauth soak test" // 16 bytes or more
	grace       = time.Hour
	redirectURI = oauthtest.RedirectURI
)

func (s setting) open() (*gorm.DB, error) {
	dialector := map[string]func(string) gorm.Dialector{
		"sqlite": func(dsn string) gorm.Dialector {
			return sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn})
		},
		"postgres": postgres.Open,
		"mysql":    mysql.Open,
		"dqlite":   engines.OpenDqlite,
	}[s.Driver]
	return gorm.Open(dialector(s.DSN), &gorm.Config{Logger: logger.Discard})
}

// serve is the program: it prints its address and serves until its standard
// input ends, as it does with the test.
func serve(text string) error {
	var s setting
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	if s.Mount != "" {
		if err := mount(s.Mount); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
	}
	db, err := s.open()
	if err != nil {
		return err
	}
	handler, err := newProgram(db, s)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		_ = srv.Close()
	}()
	signal.Ignore(syscall.SIGPIPE)
	if err := srv.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// newProgram is an ordinary program with gormoauth, and two handles by which
// the test turns its clock and fills its disk.
func newProgram(db *gorm.DB, s setting) (http.Handler, error) {
	var offset atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	if err := prepare(db); err != nil {
		return nil, err
	}
	srv, err := gormoauth.New(db, server.Config{
		Issuer: oauthtest.Issuer, Clock: clock, RefreshTokenGrace: grace, RefreshTokenKey: []byte(soakedIn + soakedIn),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}, gormoauth.Users[oauthtest.User](), gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](),
		gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode]())
	if err != nil {
		return nil, err
	}
	protector, err := resource.NewProtector(resource.Config{Clock: clock}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("/authorize", srv.AuthorizationHandler(server.AuthorizationPages{
		User:   func(*http.Request) (storage.User, error) { return &oauthtest.User{ID: 1}, nil },
		SignIn: func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {},
		Consent: func(w http.ResponseWriter, _ *http.Request, consent *server.ConsentGrant) {
			_, _ = io.WriteString(w, string(consent.Decision))
		},
	}))
	mux.HandleFunc("POST /token", srv.CreateTokenResponse)
	mux.HandleFunc("POST /revoke", srv.EndpointHandler("revocation"))
	mux.Handle("GET /api", protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.HandleFunc("POST /clock", func(_ http.ResponseWriter, r *http.Request) {
		jump, _ := time.ParseDuration(r.URL.Query().Get("offset"))
		offset.Store(int64(jump))
	})
	mux.HandleFunc("POST /disk", func(w http.ResponseWriter, r *http.Request) {
		if err := s.fill(db, r.URL.Query().Get("full") == "true"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux, nil
}

// prepare migrates, and stores the one user and client, as every instance does
// at its start.
func prepare(db *gorm.DB) error {
	if err := gormoauth.AutoMigrate(db, oauthtest.Models()...); err != nil {
		return err
	}
	user := &oauthtest.User{ID: 1}
	if err := db.Where("id = ?", 1).FirstOrCreate(user).Error; err != nil {
		return err
	}
	client := &oauthtest.Client{ID: 1, ClientMixin: models.ClientMixin{ClientID: clientID, ClientMetadata: models.ClientMetadata{
		TokenEndpointAuthMethod: models.None, RedirectURIs: []string{redirectURI}, ResponseTypes: []string{"code"},
		GrantTypes: []string{"authorization_code", "refresh_token"},
	}}}
	return db.Where("id = ?", 1).FirstOrCreate(client).Error
}

// fill leaves SQLite no room, or gives it back: on its own file system by a
// file that takes all that is left, elsewhere by its limit of pages.
func (s setting) fill(db *gorm.DB, full bool) error {
	if s.Mount != "" {
		ballast := filepath.Join(s.Mount, "ballast")
		if !full {
			return os.Remove(ballast)
		}
		file, err := os.Create(ballast)
		if err != nil {
			return err
		}
		for size := 1 << 20; size > 0; size /= 2 {
			for err = nil; err == nil; {
				_, err = file.Write(make([]byte, size))
			}
		}
		return file.Close()
	}
	pages := 1 << 30
	if full {
		if err := db.Raw("PRAGMA page_count").Scan(&pages).Error; err != nil {
			return err
		}
	}
	return db.Exec("PRAGMA max_page_count = " + strconv.Itoa(pages)).Error
}
