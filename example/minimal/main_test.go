package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain is the program itself where a test starts it. It ends with the test, even if that is killed.
func TestMain(m *testing.M) {
	elsewhere := os.Getenv("GORMOAUTH_TEST_MINIMAL")
	if elsewhere == "" {
		os.Exit(m.Run())
	}
	address = elsewhere
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	main()
}

// program returns the program in a directory and at an address, which is to be started.
func program(t *testing.T, dir, address string) *exec.Cmd {
	t.Helper()
	p := exec.CommandContext(t.Context(), os.Args[0])
	p.Dir, p.Env = dir, append(os.Environ(), "GORMOAUTH_TEST_MINIMAL="+address)
	_, err := p.StdinPipe()
	require.NoError(t, err)
	return p
}

// start runs the program in a directory until the test ends, and returns its address and its first line once it serves.
func start(t *testing.T, dir string) (address, line string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address = free.Addr().String()
	require.NoError(t, free.Close())
	p := program(t, dir, address)
	var stderr strings.Builder
	p.Stderr = &stderr
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	line, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = p.Wait()
		t.Fatalf("the program ended: %s", &stderr)
	}
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + address + "/.well-known/oauth-authorization-server")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	return address, line
}

// request sends a form to an endpoint, or nothing if it is nil, and returns the members of the answer.
func request(t *testing.T, method, endpoint, clientID, secret string, form url.Values) (status int, members map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, endpoint, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, secret)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	if len(text) > 0 {
		require.NoError(t, json.Unmarshal(text, &members), string(text))
	}
	return response.StatusCode, members
}

// The program that the README shows issues a token to the client that it prints, says of it what it is for, and
// revokes it; it starts again on the database that it made.
func TestTheShortestProgramServesItsClient(t *testing.T) {
	dir := t.TempDir()
	var ids, secrets []string
	for range 2 {
		t.Run("", func(t *testing.T) {
			address, line := start(t, dir)
			issuer := "http://" + address
			command := regexp.MustCompile(`^curl -u ([^:]+):(\S+) -d (\S+) (\S+)\n$`).FindStringSubmatch(line)
			require.Len(t, command, 5, line)
			id, secret := command[1], command[2]
			ids, secrets = append(ids, id), append(secrets, secret)
			form, err := url.ParseQuery(command[3])
			require.NoError(t, err)
			require.Equal(t, issuer+"/oauth/token", command[4])

			status, metadata := request(t, http.MethodGet, issuer+"/.well-known/oauth-authorization-server", "", "", nil)
			require.Equal(t, http.StatusOK, status)
			assert.Equal(t, []any{issuer, issuer + "/oauth/token", issuer + "/oauth/introspect", issuer + "/oauth/revoke"}, []any{
				metadata["issuer"], metadata["token_endpoint"], metadata["introspection_endpoint"], metadata["revocation_endpoint"],
			})
			status, _ = request(t, http.MethodPost, issuer+"/oauth/token", id, "wrong", form)
			assert.Equal(t, http.StatusUnauthorized, status)
			status, tokens := request(t, http.MethodPost, issuer+"/oauth/token", id, secret, form)
			require.Equal(t, http.StatusOK, status, tokens)
			assert.Equal(t, "Bearer", tokens["token_type"])
			status, _ = request(t, http.MethodPost, issuer+"/oauth/token", ids[0], secrets[0], form)
			assert.Equal(t, http.StatusOK, status, "the client of the first start")
			token := url.Values{"token": {tokens["access_token"].(string)}}
			_, about := request(t, http.MethodPost, issuer+"/oauth/introspect", id, secret, token)
			assert.Equal(t, []any{true, id, issuer}, []any{about["active"], about["client_id"], about["iss"]})
			status, _ = request(t, http.MethodPost, issuer+"/oauth/revoke", id, secret, token)
			assert.Equal(t, http.StatusOK, status)
			_, about = request(t, http.MethodPost, issuer+"/oauth/introspect", id, secret, token)
			assert.Equal(t, map[string]any{"active": false}, about)
		})
	}
	assert.NotEqual(t, ids[0], ids[1], "each start makes a client")
}

// A person's id is that of their row.
func TestGetUserID(t *testing.T) { assert.Equal(t, "7", (&User{ID: 7}).GetUserID()) }

// What keeps the program from serving is said in one line.
func TestAProgramThatCannotServeSaysWhy(t *testing.T) {
	address, _ := start(t, t.TempDir())
	noFile := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(noFile, "oauth.db"), 0o700))
	for dir, why := range map[string]string{t.TempDir(): "listen tcp " + address + ": bind: address already in use", noFile: "unable to open database file"} {
		said, err := program(t, dir, address).CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(said), why)
		assert.NotContains(t, string(said), "panic")
	}
}
