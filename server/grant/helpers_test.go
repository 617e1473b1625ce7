package grant_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/storage"
)

// minimalConfig is all that a server needs.
func minimalConfig() server.Config {
	return server.Config{
		Issuer:            "https://id.example",
		QueryClient:       func(context.Context, string) (storage.Client, error) { return nil, nil },
		SaveToken:         func(context.Context, storage.Exchange) error { return nil },
		ClientAuthMethods: clientauth.Defaults(),
	}
}

func post(srv *server.Server, body string) string {
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	srv.CreateTokenResponse(w, r)
	return w.Body.String()
}

func ownGenerator(context.Context, server.TokenInput) (string, error) { return "own", nil }

// claimsOf returns the claims of a JWT, verified by nobody.
func claimsOf(t *testing.T, token string) (claims map[string]json.RawMessage) {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims
}
