package eventlog_test

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

func ExampleLog() {
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example.com",
		QueryClient:       func(context.Context, string) (storage.Client, error) { return nil, nil },
		SaveToken:         func(context.Context, storage.Exchange) error { return nil },
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
	if err := errors.Join(srv.RegisterGrant(&grant.ClientCredentials{}), srv.Register(&eventlog.Log{Logger: logger})); err != nil {
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
