package server_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/grant"
)

func TestLoggedURI(t *testing.T) {
	for uri, logged := range map[string]string{
		"https://e.example/cb":                "",
		"https://e.example:8443/cb":           "",
		"https://[::1]:80/x":                  "",
		"https://e.example/?":                 "",
		"https://e.example/#":                 "",
		"https://medium.example/@user":        "",
		"bob@e.example":                       "",
		"urn:ietf:params:oauth:request_uri:x": "",
		"com.example.app:/cb":                 "",
		"client_name#ja":                      "",
		"what?":                               "",
		"100%":                                "",
		"a%20b":                               "",
		"":                                    "",
		"https://e.example/cb?code=SECRET&state=x":       "https://e.example/cb?code=…&state=…",
		"https://e.example/cb#access_token=SECRET":       "https://e.example/cb#access_token=…",
		"https://e.example/cb?a=1#b=2":                   "https://e.example/cb?a=…#b=…",
		"https://e.example/?SECRET":                      "https://e.example/?…",
		"/cb?code=SECRET":                                "/cb?code=…",
		"e.example/cb?code=SECRET":                       "e.example/cb?code=…",
		"com.example.app:/cb#access_token=SECRET":        "com.example.app:/cb#access_token=…",
		"https://u:SECRET@e.example/":                    "https://…@e.example/",
		"https://SECRET@e.example/":                      "https://…@e.example/",
		"//u:SECRET@e.example/":                          "//…@e.example/",
		"u:SECRET@e.example/cb":                          "u:…@e.example/cb",
		"https:/u:SECRET@e.example":                      "https:/…@e.example",
		"https:u:SECRET@e.example/x":                     "https:…@e.example/x",
		`https:\\u:SECRET@e.example`:                     `https:\\…@e.example`,
		"https://u:SEC/RET@e.example/":                   "https://…@e.example/",
		"https://u:SEC?a=R#ET@e.example":                 "https://u:…?a=…#…",
		"https://a.example/https://u:SECRET@b.example":   "https://a.example/https://…@b.example",
		"https%3A%2F%2Fe.example%2Fcb%3Fcode%3DSECRET":   "https://e.example/cb?code=…",
		"https%253A%252F%252Fu%253ASECRET%2540e.example": "https://…@e.example",
	} {
		if logged == "" {
			logged = uri
		}
		assert.Equal(t, logged, logtext.URI(uri), uri)
	}
}

// A client is told what it sent. The log has no value of a query or a fragment, and no
// password, whichever way what was sent gets there: by a description, a reason or a value.
func TestTheLogHasNothingThatStandsInAURI(t *testing.T) {
	log := new(bytes.Buffer)
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open = true
	require.NoError(t, p.Server.RegisterEndpoint(registration))
	require.NoError(t, p.Server.Register(
		&eventlog.Log{Logger: slog.New(slog.NewTextHandler(log, nil))}, grant.ResourceIndicators{Resources: []string{"https://api.example"}},
	))
	client := p.NewClient(nil)
	for _, uri := range []string{
		"https://e.example/cb?code=SECRET", "https://e.example/cb?a=b code=SECRET", "https://e.example/cb#access_token=SECRET", "https://u:SECRET@e.example/cb",
		"https://u:SEC RET@e.example/?x=SECRET", "/cb?code=SECRET", "https%3A%2F%2Fe.example%2Fcb%3Fcode%3DSECRET", "https://e.example/it's?code=SECRET",
	} {
		escaped := url.QueryEscape(uri)
		told := map[string]oauthtest.Answer{
			"authorization": p.Consent("response_type=code&client_id=" + client.ClientID + "&redirect_uri=" + escaped),
			"registration":  p.Register(`{"redirect_uris":["` + uri + `"],"token_endpoint_auth_method":"none"}`),
			"a client":      p.Consent("response_type=code&client_id=" + escaped),
			"a resource":    p.Token(p.NewClient(oauthtest.Grants("client_credentials")), "grant_type=client_credentials&resource="+escaped),
			"a scope":       p.Token(p.NewClient(oauthtest.Grants("client_credentials")), "grant_type=client_credentials&scope="+escaped),
			"a code":        p.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+p.Code(client, "")+"&redirect_uri="+escaped),
		}
		if told["registration"].Status == http.StatusCreated { // as a redirect URI with a query may be
			delete(told, "registration")
		}
		for how, a := range told {
			assert.GreaterOrEqual(t, a.Status, http.StatusBadRequest, "%s of %s", how, uri)
		}
		assert.Contains(t, told["authorization"].Body["error_description"], display.Excerpt(uri), "the client is told what it sent")
	}
	assert.Positive(t, strings.Count(log.String(), "\n"))
	assert.NotContains(t, log.String(), "SECRET")
}
