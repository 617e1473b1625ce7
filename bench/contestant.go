package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"strconv"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// contestant is a server that answers POST /token and GET /api. Each runs in a
// process of its own, on a database of its own.
type contestant interface {
	// Token is the token endpoint, for the one client: client_credentials,
	// authorization_code with PKCE, refresh_token.
	Token(w http.ResponseWriter, r *http.Request)
	// API answers 200 to a valid bearer token, and 401 to any other.
	API(w http.ResponseWriter, r *http.Request)
	// Code has the one user grant the client a code.
	Code(ctx context.Context) (string, error)
}

// provider is a contestant that has all operations.
type provider interface {
	contestant
	// Routes are its handlers of the other operations, by path.
	Routes() map[string]http.HandlerFunc
	// OpenIDCode is Code with the scope openid.
	OpenIDCode(ctx context.Context) (string, error)
	// DeviceCode has a device ask for the user, who does not decide.
	DeviceCode(ctx context.Context) (string, error)
}

// What all contestants serve: one confidential client, one user, the PKCE pair
// of RFC 7636, appendix B.
const (
	clientID     = "bench-client"
	clientSecret = "bench-secret-0123456789abcdef0123456789abcdef"
	redirectURI  = "https://client.example/cb"
	verifier     = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge    = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	tokenLife    = time.Hour
)

// What providers serve beyond that.
const (
	issuer          = "https://id.example"
	tokenTarget     = issuer + "/oauth/token" // as its clients know the token endpoint
	apiAudience     = "https://api.example"
	apiTarget       = apiAudience + dpopAPIPath
	nonce           = "n-0S6_WzA2Mj"
	deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"
)

// Kinds of what a contestant makes that is exchanged later.
const (
	codeSeed   = "code"
	openIDSeed = "openid"
	deviceSeed = "device"
)

// entry is a contestant by its name, with the operations that it has.
type entry struct {
	name       string
	note       string
	operations []string
	open       func(db *gorm.DB) (contestant, error) // nil when it is not written in Go
}

var contestants = []entry{
	{"floor-gorm", "a plain handler, the same rows with GORM", every, newGORMFloor},
	{"floor-sql", "a plain handler, the same rows with database/sql", basic, newSQLFloor},
	{own, "this library", every, newOwn},
	{"fosite", "ory/fosite, its default bcrypt cost", basic, newFosite(0)},
	{"fosite-bcrypt4", "ory/fosite, bcrypt cost 4", basic, newFosite(4)},
	{"go-oauth2", "go-oauth2/oauth2, the columns of its GORM store, no index", basic, newGoOAuth2(false)},
	{"go-oauth2-indexed", "go-oauth2/oauth2, with the indexes that the store lacks", basic, newGoOAuth2(true)},
	{oidcProviderName, "oidc-provider on Node.js, one process; PostgreSQL only", basic, nil},
}

func find(name string) (entry, error) {
	for _, e := range contestants {
		if e.name == name {
			return e, nil
		}
	}
	return entry{}, fmt.Errorf("there is no contestant %q", name)
}

// connections is the pool of every contestant: more than SQLite can use, and
// what PostgreSQL serves well on a small machine.
const connections = 16

// open connects as the library's README says.
func open(engine, dsn string) (*gorm.DB, error) {
	dialector := sqlite.Open(dsn)
	if engine == "postgres" {
		dialector = postgres.Open(dsn)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return db, nil
}

// serve is the process of one contestant. It prints its address, and ends with
// its standard input.
func serve(name, engine, dsn string) error {
	e, err := find(name)
	if err != nil {
		return err
	}
	if e.open == nil {
		return fmt.Errorf("%s is a program of its own", name)
	}
	db, err := open(engine, dsn)
	if err != nil {
		return err
	}
	c, err := e.open(db)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	server := &http.Server{Handler: routes(c), ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// routes are all that a contestant answers.
func routes(c contestant) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+tokenPath, c.Token)
	mux.HandleFunc("GET "+apiPath, c.API)
	mux.HandleFunc("POST /seed", func(w http.ResponseWriter, r *http.Request) { seed(w, r, c) })
	mux.HandleFunc("GET /goroutines", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, runtime.NumGoroutine()) })
	mux.HandleFunc("GET /profile", pprof.Profile)
	if p, ok := c.(provider); ok {
		for path, handler := range p.Routes() {
			mux.HandleFunc(path, handler)
		}
	}
	if p, ok := c.(interface {
		Prune(ctx context.Context) error
	}); ok {
		mux.HandleFunc("POST /prune", func(w http.ResponseWriter, r *http.Request) {
			if err := p.Prune(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return mux
}

// seed makes what is exchanged later, which is not measured.
func seed(w http.ResponseWriter, r *http.Request, c contestant) {
	n, _ := strconv.Atoi(r.URL.Query().Get("codes"))
	makers := map[string]func(context.Context) (string, error){codeSeed: c.Code}
	if p, ok := c.(provider); ok {
		makers[openIDSeed], makers[deviceSeed] = p.OpenIDCode, p.DeviceCode
	}
	one := makers[r.URL.Query().Get("kind")]
	if one == nil {
		http.NotFound(w, r)
		return
	}
	codes := make([]string, n)
	errs := parallel(n, connections, func(i int) (err error) {
		codes[i], err = one(r.Context())
		return err
	})
	if errs != nil {
		http.Error(w, errs.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, codes)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
