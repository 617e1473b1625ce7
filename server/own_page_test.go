package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// Only a POST comes from a page: http.CrossOriginProtection lets the other methods pass.
func TestOnlyAPOSTComesFromAPage(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost} {
		r := httptest.NewRequestWithContext(t.Context(), method, "/oauth/authorize", http.NoBody)
		assert.Equal(t, method == http.MethodPost, p.Server.FromOwnPage(r), method)
	}
}
