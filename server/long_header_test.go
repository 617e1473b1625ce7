package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// An Authorization header has a greatest length, and what is longer is not read.
func TestALongAuthorizationHeaderIsRefused(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for length, want := range map[int]string{8 << 10: "invalid_client", 8<<10 + 1: "The Authorization header is too long."} {
		r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Basic "+strings.Repeat("x", length-len("Basic ")))
		assert.Contains(t, p.Serve(r).Raw, want, length)
	}
}
