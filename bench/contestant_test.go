package main

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain lets this test be the processes that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		exit(serve(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(m.Run())
}

// workplaceOf starts PostgreSQL only where it is installed.
func workplaceOf(t *testing.T) []engine {
	t.Helper()
	w, err := newWorkplace("")
	require.NoError(t, err)
	t.Cleanup(w.close)
	engines := []engine{w.sqlite("NORMAL")}
	postgres, err := w.startPostgres()
	if err != nil {
		t.Log("without PostgreSQL: ", err)
		return engines
	}
	if postgres.oidcProvider, err = w.installOIDCProvider(); err != nil {
		t.Logf("without %s: %v", oidcProviderName, err)
	}
	return append(engines, postgres)
}

func TestEveryContestantAnswersRight(t *testing.T) {
	for _, e := range workplaceOf(t) {
		for _, entry := range contestants {
			if !e.runs(entry.name) {
				continue
			}
			t.Run(e.name+"/"+entry.name, func(t *testing.T) {
				dsn, err := e.fresh("test-" + entry.name)
				require.NoError(t, err)
				p, err := e.start(entry.name, dsn)
				require.NoError(t, err)
				defer p.stop()
				c := newCaller(p.address, 2)
				answersRight(t, c, entry.name)
				if slices.Equal(entry.operations, every) {
					providesRight(t, c)
				}
			})
		}
	}
}

func answersRight(t *testing.T, c *caller, name string) {
	t.Helper()
	service, err := c.mustToken(tokenPath, credentialsForm())
	require.NoError(t, err)
	assert.NoError(t, c.mustAPI(apiPath, "Bearer", service.Access, ""))

	codes, err := c.seeds(codeSeed, 3)
	require.NoError(t, err)
	require.Len(t, codes, 3)
	first, err := c.mustToken(tokenPath, codeForm(codes[0]))
	require.NoError(t, err)
	assert.NotEmpty(t, first.Refresh)
	assert.NoError(t, c.mustAPI(apiPath, "Bearer", first.Access, ""))

	second, err := c.mustToken(tokenPath, refreshForm(first.Refresh))
	require.NoError(t, err)
	assert.NotEmpty(t, second.Refresh)
	assert.NotEqual(t, first.Refresh, second.Refresh, "a refresh token is rotated")
	assert.NotEqual(t, first.Access, second.Access)
	assert.NoError(t, c.mustAPI(apiPath, "Bearer", second.Access, ""))

	refused := http.StatusBadRequest
	if name == "go-oauth2" || name == "go-oauth2-indexed" {
		refused = http.StatusUnauthorized // its own idea of invalid_grant
	}
	wrongVerifier := codeForm(codes[1])
	wrongVerifier.Set("code_verifier", challenge)
	for what, form := range map[string]map[string][]string{
		"an unknown code": codeForm("unknown"), "a wrong verifier": wrongVerifier,
		"an unknown refresh token": refreshForm("unknown"), "a code that is used": codeForm(codes[0]), "a refresh token that is used": refreshForm(first.Refresh),
	} {
		_, status, err := c.token(tokenPath, form)
		require.NoError(t, err)
		assert.Equal(t, refused, status, what)
	}

	for _, bearer := range []string{"unknown", second.Access + "x"} {
		status, err := c.api(apiPath, "Bearer", bearer, "")
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, status)
	}
	refusesWrongSecret(t, c, tokenPath, credentialsForm())
}

func refusesWrongSecret(t *testing.T, c *caller, path string, form url.Values) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.address+path, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, "wrong")
	answer, err := c.http.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, answer.StatusCode, "a wrong secret at %s", path)
}
