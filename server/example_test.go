package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
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

func ExampleNew_faults() {
	_, err := server.New(server.Config{
		Issuer:      "http://id.example.com",
		QueryClient: func(context.Context, string) (storage.Client, error) { return nil, errors.New("not asked here") },
		SaveToken:   func(context.Context, storage.Exchange) error { return nil },
	})
	fmt.Println(err)
	// Output:
	// server: Config.Issuer: "http://id.example.com" must be https; http is allowed only for loopback addresses
	// server: Config.ClientAuthMethods is missing: write clientauth.Defaults()
}
