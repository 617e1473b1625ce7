package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/storage"
)

// minimalConfig is the least that a server needs.
func minimalConfig() server.Config {
	return server.Config{
		Issuer:            "https://id.example",
		QueryClient:       func(context.Context, string) (storage.Client, error) { return nil, nil },
		SaveToken:         func(context.Context, storage.Exchange) error { return nil },
		ClientAuthMethods: clientauth.Defaults(),
	}
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func get(target string) *http.Request {
	return httptest.NewRequest(http.MethodGet, target, http.NoBody)
}

func queryEscape(s string) string { return url.QueryEscape(s) }
