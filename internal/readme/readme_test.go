// Package readme holds the README to what it says.
package readme

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
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

const root = "../.."

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	return string(text)
}

// program returns the first Go program of the README.
func program(t *testing.T) string {
	t.Helper()
	_, after, ok := strings.Cut(readme(t), "```go\npackage main\n")
	require.True(t, ok, "the README has a program")
	body, _, ok := strings.Cut(after, "```")
	require.True(t, ok)
	return "package main\n" + body
}

func TestTheProgramIsShorterThanFortyLines(t *testing.T) {
	_, body, ok := strings.Cut(program(t), "\n)\n") // what follows the imports
	require.True(t, ok)
	lines := 0
	for line := range strings.Lines(body) {
		if strings.TrimSpace(line) != "" {
			lines++
		}
	}
	assert.Less(t, lines, 40)
}

func TestTheProgramRunsAsItStands(t *testing.T) {
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "server")
	require.NoError(t, os.WriteFile(source, []byte(program(t)), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source)
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))

	ctx, cancel := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, binary)
	server.Dir = dir
	stdout, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() { cancel(); _ = server.Wait() })

	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	curl := regexp.MustCompile(`^curl -u (\S+):(\S+) -d (\S+) (\S+)\n$`).FindStringSubmatch(line)
	require.NotNil(t, curl, "it prints a curl command, got %q", line)

	var answer struct {
		AccessToken string `json:"access_token"`
	}
	status, body := post(t, curl[4], curl[3], curl[1], curl[2])
	require.Equal(t, http.StatusOK, status, string(body))
	require.NoError(t, json.Unmarshal(body, &answer))
	assert.NotEmpty(t, answer.AccessToken)
	status, body = post(t, strings.Replace(curl[4], "token", "revoke", 1), "token="+answer.AccessToken, curl[1], curl[2])
	assert.Equal(t, http.StatusOK, status, string(body))
}

// The pages of the authorization endpoint are those that the tests of the root package
// attack, and go with the program.
func TestThePagesAreThoseThatAreTested(t *testing.T) {
	_, after, ok := strings.Cut(readme(t), "## The authorization endpoint")
	require.True(t, ok)
	_, after, ok = strings.Cut(after, "```go\npackage main\n")
	require.True(t, ok, "the section has the pages")
	pages, _, ok := strings.Cut(after, "```")
	require.True(t, ok)
	tested, err := os.ReadFile(filepath.Join(root, "example_authorization_test.go"))
	require.NoError(t, err)
	assert.Equal(t, strings.TrimPrefix(string(tested), "package gormoauth_test\n"), pages)

	dir := t.TempDir()
	call := "(&pages{srv: srv, checkPassword: func(string, string) *User { return nil }}).register(http.DefaultServeMux)\n\tlog.Fatal("
	sources := []string{filepath.Join(dir, "main.go"), filepath.Join(dir, "pages.go")}
	require.NoError(t, os.WriteFile(sources[0], []byte(strings.Replace(program(t), "log.Fatal(http", call+"http", 1)), 0o600))
	require.NoError(t, os.WriteFile(sources[1], []byte("package main\n"+pages), 0o600))
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", filepath.Join(dir, "server")}, sources...)...)
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
}

// The program remembers consents by the model and the line that the README has for it,
// and by the index that it asks for. Without that it says what to write.
func TestConsentIsRememberedByTheLineThatSaysSo(t *testing.T) {
	_, after, ok := strings.Cut(readme(t), "**Consent is remembered**")
	require.True(t, ok)
	prose, after, ok := strings.Cut(after, "```go\n")
	require.True(t, ok)
	require.Contains(t, prose, "`UserID` of `Token` and of `AuthorizationCode` needs the tag\n`gorm:\"index\"`")
	block, _, _ := strings.Cut(after, "```")
	model, line, ok := strings.Cut(block, "\n\n")
	require.True(t, ok)
	source := program(t)
	replace := func(old, with string) {
		require.Equal(t, 1, strings.Count(source, old), old)
		source = strings.Replace(source, old, with, 1)
	}
	replace("func main() {", model+"\n\nfunc main() {")
	replace("&AuthorizationCode{}))", "&AuthorizationCode{}, &Consent{}))")
	replace("\tclient := ", strings.TrimSpace(line)+"\n\tmust(0, err)\n\tclient := ")
	replace("\"github.com/gormoauth/gormoauth/server\"", "\"github.com/gormoauth/gormoauth/server\"\n\t\"github.com/gormoauth/gormoauth/server/grant\"")
	replace("log.Fatal(http.ListenAndServe(\"127.0.0.1:9096\", nil))", "")
	run := func() (string, error) {
		dir := t.TempDir()
		file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "server")
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file)
		build.Dir = root
		output, err := build.CombinedOutput()
		require.NoError(t, err, string(output))
		server := exec.CommandContext(t.Context(), binary)
		server.Dir = dir
		output, err = server.CombinedOutput()
		return string(output), err
	}
	output, err := run()
	require.Error(t, err)
	assert.Contains(t, output, "main.Token has no index on UserID, by which a user's rows are found; add the tag `gorm:\"index\"`")
	assert.Contains(t, output, "main.AuthorizationCode has no index on UserID")
	replace("UserID *uint //", "UserID *uint `gorm:\"index\"` //")
	replace("ID, UserID uint", "ID uint\n\tUserID uint `gorm:\"index\"`")
	output, err = run()
	require.NoError(t, err, output)
	assert.Contains(t, output, "curl -u")
}

// post sends what curl would, until the server listens.
func post(t *testing.T, url, form, id, secret string) (status int, body []byte) {
	t.Helper()
	for range 100 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(form))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(id, secret)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		defer response.Body.Close()
		body, err = io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, body
	}
	t.Fatal("the server does not listen")
	return 0, nil
}

func TestLinksLeadSomewhere(t *testing.T) {
	prose := regexp.MustCompile("(?s)```.*?```|`[^`]*`").ReplaceAllString(readme(t), "")
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(prose, -1) {
		if strings.HasPrefix(link[1], "https://") {
			continue
		}
		_, err := os.Stat(filepath.Join(root, link[1]))
		assert.NoError(t, err)
	}
}
