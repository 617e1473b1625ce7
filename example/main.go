// Command example is a complete identity provider on gormoauth: people sign
// in, consent, register clients of their own and take access back; programs
// get tokens and call a protected API.
//
//	go run ./example
//
// It needs nothing but Go. Start reading at oauth.go, where the authorization
// server is put together; everything else is an ordinary web application.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gormoauth/gormoauth/server/fapi"
)

func main() {
	// Most allocations are short-lived and the rest of the heap is small: by default, a flood of
	// requests would cause more than one garbage collection a second.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once, in case a request does not end.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gormoauth-example: "+oneLine(err))
		os.Exit(1)
	}
}

// oneLine formats an error for a terminal.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// run is the whole program. It returns nil once ctx has ended and requests in flight have been
// answered.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, getenv, stdout)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	switch cfg.command {
	case "prune":
		return prune(ctx, cfg, stdout, log)
	case "erase":
		return erase(ctx, cfg, stdout, log)
	case "doctor":
		if err := cfg.readSecrets(getenv, false); err != nil {
			return err
		}
		return examine(ctx, cfg, stdout, log)
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", cfg.addr, err)
	}
	defer func() { _ = listener.Close() }()
	if err := cfg.resolve(listener.Addr()); err != nil {
		return err
	}
	if err := cfg.readSecrets(getenv, true); err != nil {
		return err
	}

	db, closeDB, err := openDatabase(ctx, cfg.db, log)
	if err != nil {
		return err
	}
	defer closeDB()
	app, err := newApp(cfg, db, log)
	if err != nil {
		return err
	}
	if err := prepareDatabase(ctx, db, cfg.demo, app.oauth); err != nil {
		return err
	}
	// Deferred calls run in reverse order: the clean-up is stopped and waited for before the
	// database is closed.
	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { logFindings(context.WithoutCancel(ctx), cfg, db, log) }) // not canceled: a check that is cut off would be reported as a finding
	background.Go(func() { cleanUpSessions(ctx, db, log) })
	background.Go(func() { app.deletions.run(ctx, db, log) })
	background.Go(func() { app.openid.DeliverLogouts(ctx) })
	background.Go(func() { app.keys.Maintain(ctx, log) })

	greet(stdout, cfg)
	return serve(ctx, listener, app.routes(), cfg, log)
}

// drainTimeout is how long requests in flight may take once the program is told to stop.
const drainTimeout = 20 * time.Second

func serve(ctx context.Context, listener net.Listener, handler http.Handler, cfg *config, log *slog.Logger) error {
	server := newHTTPServer(handler, cfg, log)
	failed := make(chan error, 1)
	go func() {
		if cfg.tlsCert != "" {
			failed <- server.ServeTLS(listener, cfg.tlsCert, cfg.tlsKey)
			return
		}
		failed <- server.Serve(listener)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("some requests did not end within %s: %w", drainTimeout, err)
	}
	return nil
}

// newHTTPServer returns a server that gives no client more time, memory or connections than it needs.
func newHTTPServer(handler http.Handler, cfg *config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         newConnections(maxConnections, cfg.isProxy).changed,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		TLSConfig:         cfg.tlsConfig(),
	}
}

// tlsConfig is for connections of clients and browsers. It requests a certificate and does not
// verify it: the server does so for each client (RFC 8705).
func (c *config) tlsConfig() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.fapi {
		config = fapi.TLSConfig()
	}
	config.ClientAuth = tls.RequestClientCert
	return config
}

// greet prints the address of the program and how to try it.
func greet(w io.Writer, cfg *config) {
	var b strings.Builder
	fmt.Fprintf(&b, "gormoauth example is at %s\n\n", cfg.address)
	fmt.Fprintf(&b, "  issuer    %s\n", cfg.issuer)
	fmt.Fprintf(&b, "  database  %s\n", printableDSN(cfg.db))
	if cfg.demo {
		for _, u := range demoUsers {
			fmt.Fprintf(&b, "  sign in   %s / %s\n", u.Username, u.Password)
		}
	}
	switch {
	case cfg.fapi && cfg.demo:
		fmt.Fprintf(&b, "\nClients authenticate by a key or a certificate, and register themselves:\n\n  %s/oauth/register\n\n", cfg.address)
	case cfg.demo:
		fmt.Fprintf(&b, "\nGet a token:\n\n  curl -u %s:%s -d grant_type=client_credentials -d scope=profile %s/oauth/token\n\n",
			demoService.id, demoService.secret, cfg.address)
	}
	_, _ = io.WriteString(w, b.String())
}
