package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/grant"
)

func ExampleConfig_Load() {
	environment := map[string]string{
		"OAUTH2_TOKEN_EXPIRES_IN":        `{"authorization_code": 864000}`,
		"OAUTH2_REFRESH_TOKEN_GENERATOR": `true`,
	}
	var config server.Config
	err := config.Load(func(name string) (string, bool) { value, ok := environment[name]; return value, ok }) // os.LookupEnv
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.TokenExpiresIn["authorization_code"] == 10*24*time.Hour, config.NoRefreshTokens)
	// Output: true false
}

// NightlyOnly is a hook: an extension that looks at what is about to be issued.
type NightlyOnly struct{ Now func() time.Time }

// CheckIssuance refuses tokens by day.
func (n NightlyOnly) CheckIssuance(context.Context, *server.Request, *server.Issuance) error {
	if hour := n.Now().Hour(); hour >= 6 && hour < 22 {
		return server.NewError(server.AccessDenied, "Tokens are issued at night.")
	}
	return nil
}

func ExampleServer_Register() {
	var srv server.Server
	fmt.Println(srv.Register(NightlyOnly{Now: time.Now}))
	fmt.Println(srv.Register("not a hook"))
	// Output:
	// <nil>
	// server: Register: string implements no hook: see the interfaces in hooks.go, and check whether its methods have a pointer receiver
}

// Ticket is a grant of the program's own: support staff act with a ticket.
type Ticket struct {
	Redeem func(ctx context.Context, number string) (*server.Credential, error)
}

// GrantType returns an absolute URI, as RFC 6749 section 4.5 has it.
func (Ticket) GrantType() string { return "https://support.example/ticket" }

// PrepareIssuance finds the ticket. The engine checks its client, its user and
// its scope, and has SaveToken spend it.
func (g Ticket) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	credential, err := g.Redeem(ctx, req.Params.Get("ticket"))
	if err != nil {
		return nil, err
	}
	if credential == nil {
		return nil, server.NewError(server.InvalidGrant, "There is no such ticket.")
	}
	return &server.Issuance{Credential: credential, Scope: credential.Scope}, nil
}

func ExampleServer_RegisterGrant() {
	var srv server.Server
	fmt.Println(srv.RegisterGrant(Ticket{}))
	// Output: <nil>
}

func ExampleEventLog() {
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example.com",
		QueryClient:       func(context.Context, string) (server.Client, error) { return nil, nil },
		SaveToken:         func(context.Context, server.Exchange) error { return nil },
		ClientAuthMethods: clientauth.Defaults(),
		Clock:             func() time.Time { return time.Unix(0, 0) },
	})
	if err != nil {
		log.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	if err := errors.Join(srv.RegisterGrant(&grant.ClientCredentials{}), srv.Register(&server.EventLog{Logger: logger})); err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Request-Id", "4f1c")
	r.SetBasicAuth("service", "a-guess")
	srv.CreateTokenResponse(httptest.NewRecorder(), r)
	// Output:
	// level=WARN msg="an OAuth request was answered" endpoint=token status=401 duration=0s claimed_client_id=service grant_type=client_credentials error=invalid_client error_description="The client authentication failed." reason="the client is unknown" remote_address=192.0.2.1 request_id=4f1c
}

func ExampleNew_faults() {
	_, err := server.New(server.Config{
		Issuer:      "http://id.example.com",
		QueryClient: func(context.Context, string) (server.Client, error) { return nil, errors.New("not asked here") },
		SaveToken:   func(context.Context, server.Exchange) error { return nil },
	})
	fmt.Println(err)
	// Output:
	// server: Config.Issuer: "http://id.example.com" must be https; http is allowed only for loopback addresses
	// server: Config.ClientAuthMethods is missing: write clientauth.Defaults()
}
