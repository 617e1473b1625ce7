package server_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
	"golang.org/x/text/message/catalog"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/locale"
)

func TestDescriptionsComeInTheRequestsLanguage(t *testing.T) {
	const english, chinese, french = "The server does not support this 'grant_type'.", "服务器不支持此 “grant_type”。", "Ce 'grant_type' n'existe pas."
	translator, err := locale.NewTranslator(func(b *catalog.Builder) error { return b.SetString(language.French, english, french) })
	require.NoError(t, err)
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.Translator = translator })
	for accept, want := range map[string]string{
		"":                          english,
		"en-US,en;q=0.5":            english,
		"de":                        english,
		"zh-CN":                     chinese,
		"zh":                        chinese,
		"zh-Hans-SG":                chinese,
		"de, zh-CN;q=0.5":           chinese,
		"fr-CA, zh;q=0.5":           french,
		"%%%":                       english,
		strings.Repeat("zh,", 1000): english,
	} {
		a := p.Token(nil, "grant_type=magic", "Accept-Language", accept)
		assert.Equal(t, want, a.Body["error_description"], "%.40s", accept)
	}
	client := p.NewClient(nil)
	a := p.Consent("client_id="+client.ClientID+"&ui_locales=zh-CN+fr", "Accept-Language", "en")
	assert.Equal(t, "请求缺少 “response_type”。", a.Query.Get("error_description"), "ui_locales goes first")
	a = p.Consent(oauthtest.AuthorizeQuery(client, "scope=nothing&ui_locales=zh-CN"))
	assert.Equal(t, "客户端无法获得权限范围 “nothing”：服务器不认识它，或客户端未注册它。", a.Query.Get("error_description"))
}

// A description without a translation is in English until a release is made: then every
// description has one in each language, and no translation is left over. The test always logs what
// is missing, and fails where GORMOAUTH_RELEASE=1 is set.
func TestTheTranslationsAreComplete(t *testing.T) {
	report := t.Logf
	if os.Getenv("GORMOAUTH_RELEASE") == "1" {
		report = t.Errorf
	}
	found := described(t)
	for tag, sentences := range locale.Translations() {
		for _, english := range found {
			if sentences[english] == "" {
				report("%s: %q has no translation", tag, english)
			}
		}
		for _, english := range slices.Sorted(maps.Keys(sentences)) {
			if !slices.Contains(found, english) {
				report("%s: nothing says %q any more", tag, english)
			}
		}
	}
}

// described returns every description in the source of the library.
func described(t *testing.T) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if strings.HasPrefix(filepath.ToSlash(path), "../example/") {
			return nil // a program of its own, with descriptions of its own
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok {
				if description, ok := descriptionOf(call); ok {
					found = append(found, description)
				} else if isDescribed(call) {
					text, isName := call.Args[1].(*ast.Ident)
					assert.True(t, isName && text.Name == "description", "%s: a description is a literal, so that it can be translated", path)
				}
			}
			return true
		})
		return nil
	}))
	require.NotEmpty(t, found)
	slices.Sort(found)
	return slices.Compact(found)
}

// descriptionOf returns the description in a call of NewError or invalidClient.
func descriptionOf(call *ast.CallExpr) (string, bool) {
	if !isDescribed(call) {
		return "", false
	}
	literal, ok := call.Args[1].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

func isDescribed(call *ast.CallExpr) bool {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	return (name == "NewError" || name == "invalidClient" || name == "TooManyRequests" || name == "TooBusy") && len(call.Args) >= 2
}

// Every translation says what its description says, and names what it names.
func TestTranslationsKeepTheirArguments(t *testing.T) {
	translator, err := locale.NewTranslator(nil)
	require.NoError(t, err)
	for tag, sentences := range locale.Translations() {
		for description, translated := range sentences {
			args := make([]any, strings.Count(description, "%s"))
			for i := range args {
				args[i] = "ARGUMENT"
			}
			text := translator.Describe(get("/?ui_locales="+tag.String()), description, args...)
			assert.Equal(t, strings.ReplaceAll(translated, "%s", "ARGUMENT"), text, description)
			assert.Equal(t, len(args), strings.Count(text, "ARGUMENT"), text)
			assert.NotContains(t, text, "%!", description)
			if tag == language.SimplifiedChinese {
				assert.Regexp(t, `\p{Han}`, text, description)
			}
		}
	}
	chinese := get("/?ui_locales=zh-CN")
	assert.Empty(t, translator.Describe(chinese, ""), "no description needs none")
	assert.Equal(t, "Only here.", translator.Describe(chinese, "Only here."), "a description without a translation is in English")
	assert.Equal(t, "Only 'a' here.", translator.Describe(chinese, "Only '%s' here.", "a"))
}

// ui_locales may come in a body, among other parameters.
func TestUILocalesMayComeInTheBody(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	a := p.Send(http.MethodPost, "response_type=code", "ui_locales=zh-CN", p.User)
	assert.Equal(t, "请求缺少 “client_id”。", a.Body["error_description"])
}

func TestATranslatorThatCannotBeBuiltSaysSo(t *testing.T) {
	broken := errors.New("broken")
	_, err := locale.NewTranslator(func(*catalog.Builder) error { return broken })
	assert.ErrorIs(t, err, broken)
}

// RFC 6749 section 5.2 allows printable ASCII without the quote and the
// backslash, and so do headers.
func TestDescriptionsAreWhatRFC6749Allows(t *testing.T) {
	for _, description := range slices.Concat(described(t), locale.Descriptions()) {
		assert.NotRegexp(t, `[^\x20-\x7e]|["\\]`, description)
	}
}
