// Package readme holds README.md, SECURITY.md, CONTRIBUTING.md and the pages of docs to what they say.
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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}

// pages returns the text of every page, by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.Greater(t, len(paths), 10)
	texts := make(map[string]string)
	for _, path := range append(paths, filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		name, err := filepath.Rel(root, path)
		require.NoError(t, err)
		texts[name] = read(t, name)
	}
	return texts
}

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// quoted returns the Go program of a page.
func quoted(t *testing.T, page string) string {
	t.Helper()
	for _, block := range goBlock.FindAllStringSubmatch(read(t, page), -1) {
		if strings.HasPrefix(block[1], "package main\n") {
			return block[1]
		}
	}
	t.Fatalf("%s has no program", page)
	return ""
}

// program returns the program that the README quotes.
func program(t *testing.T) string { return quoted(t, "README.md") }

func TestTheREADMEIsShort(t *testing.T) {
	assert.Less(t, strings.Count(read(t, "README.md"), "\n"), 240, "move it to docs")
}

func TestTheREADMEQuotesTheProgram(t *testing.T) {
	_, code, ok := strings.Cut(read(t, "example/minimal/main.go"), "\npackage main\n")
	require.True(t, ok)
	assert.Equal(t, "package main\n"+code, program(t))
}

// Each Go block of a page is a passage of a file that compiles, but for its indentation.
func TestEveryGoBlockIsCodeThatCompiles(t *testing.T) {
	sources := []string{read(t, "example/minimal/main.go")}
	for _, path := range []string{"internal/readme/snippets_test.go", "gormstore/storetest/example_test.go"} {
		sources = append(sources, read(t, path))
	}
	sources = append(sources, strings.Replace(read(t, "example_authorization_test.go"), "package gormoauth_test\n", "package main\n", 1))
	blocks := 0
	for page, text := range pages(t) {
		for _, block := range goBlock.FindAllStringSubmatch(text, -1) {
			blocks++
			found := false
			for _, indent := range []string{"", "\t"} {
				passage := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(block[1], indent+"$1")
				for _, source := range sources {
					found = found || strings.Contains("\n"+source, "\n"+passage)
				}
			}
			assert.True(t, found, "%s: this is in no file that compiles; put it into internal/readme/snippets_test.go:\n%s", page, block[1])
		}
	}
	assert.Greater(t, blocks, 30)
}

func TestTheProgramIsShorterThanFortyLines(t *testing.T) {
	_, body, ok := strings.Cut(program(t), "\n)\n") // what follows the imports
	require.True(t, ok)
	lines := 0
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
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

// The pages of the authorization endpoint, which the tests of the root package attack, go with
// the program.
func TestThePagesGoWithTheProgram(t *testing.T) {
	dir := t.TempDir()
	const last = "log.Fatal(web.ListenAndServe())"
	require.Contains(t, program(t), last)
	call := "(&pages{srv: srv, checkPassword: func(string, string) *User { return nil }}).register(http.DefaultServeMux)\n\t" + last
	sources := []string{filepath.Join(dir, "main.go"), filepath.Join(dir, "pages.go")}
	require.NoError(t, os.WriteFile(sources[0], []byte(strings.Replace(program(t), last, call, 1)), 0o600))
	require.NoError(t, os.WriteFile(sources[1], []byte(quoted(t, "docs/authorization-endpoint.md")), 0o600))
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", filepath.Join(dir, "server")}, sources...)...)
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
}

// The program remembers consents by the model and the line that docs has for it, and by the
// index that it asks for. Without that it says what to write.
func TestConsentIsRememberedByTheLineThatSaysSo(t *testing.T) {
	_, after, ok := strings.Cut(read(t, "docs/authorization-endpoint.md"), "**Consent is remembered**")
	require.True(t, ok)
	prose, _, ok := strings.Cut(after, "```go\n")
	require.True(t, ok)
	require.Contains(t, prose, "the `UserID` of\n`Token` and of `AuthorizationCode` needs the tag `gorm:\"index\"`")
	blocks := goBlock.FindAllStringSubmatch(after, 2)
	require.Len(t, blocks, 2)
	model, line := strings.TrimSpace(blocks[0][1]), strings.TrimSpace(blocks[1][1])
	source := program(t)
	replace := func(old, with string) {
		require.Equal(t, 1, strings.Count(source, old), old)
		source = strings.Replace(source, old, with, 1)
	}
	replace("func main() {", model+"\n\nfunc main() {")
	replace("&AuthorizationCode{}))", "&AuthorizationCode{}, &Consent{}))")
	replace("\tclient := ", line+"\n\tmust(0, err)\n\tclient := ")
	replace("\"github.com/gormoauth/gormoauth/server\"", "\"github.com/gormoauth/gormoauth/server\"\n\t\"github.com/gormoauth/gormoauth/server/grant\"")
	replace("log.Fatal(web.ListenAndServe())", "_ = web")
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
	assert.Contains(t, output, "main.Token has no index on UserID, which finding a user's rows needs; add the tag `gorm:\"index\"`")
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

// anchor returns the anchor of a heading, as GitHub makes it.
func anchor(heading string) string {
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
	return strings.ReplaceAll(heading, " ", "-")
}

// Each link of a page leads to a file or a folder, and its anchor to a heading.
func TestLinksLeadSomewhere(t *testing.T) {
	for page, text := range pages(t) {
		prose := regexp.MustCompile("(?s)```.*?```|`[^`]*`").ReplaceAllString(text, "")
		for _, link := range regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(prose, -1) {
			if strings.HasPrefix(link[1], "https://") {
				continue
			}
			target := page
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(page), link[1])
			}
			_, err := os.Stat(filepath.Join(root, target))
			if !assert.NoError(t, err, page) || link[2] == "" {
				continue
			}
			var anchors []string
			for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, target), -1) {
				anchors = append(anchors, anchor(heading[1]))
			}
			assert.Contains(t, anchors, link[2], "%s: %s", page, link[0])
		}
	}
}

// Every page of docs is in the index of docs and, if it is not that index, linked to by the README.
func TestEveryPageIsFound(t *testing.T) {
	index, readme := read(t, "docs/README.md"), read(t, "README.md")
	for page := range pages(t) {
		name, ok := strings.CutPrefix(page, "docs/")
		if !ok || name == "README.md" {
			continue
		}
		assert.Contains(t, index, "]("+name+")")
		assert.Contains(t, readme, "]("+page+")")
	}
}

// Each row of docs/standards.md names code and a file that has tests, and each RFC that the
// packages name in their documentation has a row.
func TestTheTableOfStandardsIsTrue(t *testing.T) {
	text := read(t, "docs/standards.md")
	link := regexp.MustCompile(`\]\(\.\./([^)]+)\)`)
	aTest := regexp.MustCompile(`(?m)^func (Test|Fuzz)`)
	rows := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Specification ") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		require.Len(t, cells, 3, line)
		assert.NotEmpty(t, link.FindAllString(cells[1], -1), "no code: %s", line)
		tested := false
		for _, test := range link.FindAllStringSubmatch(cells[2], -1) {
			if strings.HasSuffix(test[1], "_test.go") {
				tested = true
				assert.Regexp(t, aTest, read(t, test[1]), "%s has no test: %s", test[1], line)
			}
		}
		assert.True(t, tested, "no test: %s", line)
	}
	assert.Greater(t, rows, 30)

	rfc := regexp.MustCompile(`RFC [0-9]+`)
	named := rfc.FindAllString(text, -1)
	for _, of := range []string{"grant", "endpoint", "oidc", "clientauth", "resource", "generator", "fapi"} {
		output, err := exec.CommandContext(t.Context(), "go", "doc", "-all", "../../server/"+of).Output()
		require.NoError(t, err)
		for _, one := range rfc.FindAllString(string(output), -1) {
			assert.Contains(t, named, one, "server/%s", of)
		}
	}
}

// Each package that a program imports has an example in its documentation.
func TestEveryPackageHasAnExample(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{.Dir}}", "work")
	list.Dir = root
	output, err := list.Output()
	require.NoError(t, err)
	packages := 0
	for line := range strings.Lines(string(output)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.Contains(path, "/internal/") || strings.Contains(path, "/example") {
			continue
		}
		packages++
		tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		found := slices.ContainsFunc(tests, func(file string) bool {
			text, err := os.ReadFile(file)
			return assert.NoError(t, err) && strings.Contains(string(text), "\nfunc Example")
		})
		assert.True(t, found, path)
	}
	assert.Greater(t, packages, 10)
}
