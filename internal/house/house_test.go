// Package house holds the rules that keep the packages in their rooms.
package house

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
)

const module = "github.com/gormoauth/gormoauth"

// floors: a package imports what is below it, never what is on its own floor
// or above.
var floors = []struct {
	path  string
	floor int
}{
	{module + "/models", 0},
	{module + "/server/ratelimit", 0},
	{module + "/server/locale", 0},
	{module + "/server/secret", 0},
	{module + "/server/budget", 0},
	{module + "/server/cache", 0},
	{module + "/server/cnf", 0},
	{module + "/server/finding", 0},
	{module + "/server/indicator", 0},
	{module + "/server/jwk", 0},
	{module + "/server/logging", 0},
	{module + "/server/reason", 0},
	{module + "/server/forwarded", 1},
	{module + "/server/fetch", 1},
	{module + "/server/assertion", 1},
	{module + "/server/storage", 1},
	{module + "/server/clientmeta", 1},
	{module + "/server/display", 1},
	{module + "/server", 2},
	{module + "/server/device", 3},
	{module + "/server/par", 3},
	{module + "/server/dpop", 3},
	{module + "/server/eventlog", 3},
	{module + "/server/on", 3},
	{module + "/server/generator", 4},
	{module + "/server/grant", 4},
	{module + "/server/endpoint", 4},
	{module + "/server/clientauth", 4},
	{module + "/server/resource", 4},
	{module + "/server/oidc", 4},
	{module + "/server/fapi", 4},
	{module + "/server/doctor", 4},
	{module + "/otel", 4},
	{module + "/gormstore", 5},
	{module, 6},
	{module + "/gormstore/clientcache", 6},
	{module + "/gormstore/storetest", 7},
	{module + "/example", 8},
	{module + "/example/minimal", 8},
}

func floorOf(path string) (int, bool) {
	for _, f := range floors {
		if f.path == path {
			return f.floor, true
		}
	}
	return 0, false
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "work")
	output, err := cmd.Output()
	require.NoError(t, err)
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(output))); decoder.More(); {
		var p listed
		require.NoError(t, decoder.Decode(&p))
		all = append(all, p)
	}
	require.NotEmpty(t, all)
	return all
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		floor, ok := floorOf(p.ImportPath)
		if !ok {
			assert.True(t, strings.HasPrefix(p.ImportPath, module+"/internal/"), "%s has no floor", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if below, ok := floorOf(imported); ok {
				assert.Less(t, below, floor, "%s imports %s", p.ImportPath, imported)
			}
		}
		if floor < 5 {
			for _, dep := range p.Deps {
				assert.False(t, strings.HasPrefix(dep, "gorm.io/"), "%s reaches %s", p.ImportPath, dep)
			}
		}
	}
}

// Two pure-Go SQLite drivers in one binary panic, so the library brings none.
func TestTheLibraryBringsNoDriver(t *testing.T) {
	banned := []string{"gorm.io/driver/", "modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/jackc/pgx", "github.com/stretchr/testify"}
	for _, p := range packages(t) {
		if _, ok := floorOf(p.ImportPath); !ok || strings.HasPrefix(p.ImportPath, module+"/example") {
			continue
		}
		for _, dep := range p.Deps {
			for _, prefix := range banned {
				assert.False(t, strings.HasPrefix(dep, prefix), "%s reaches %s", p.ImportPath, dep)
			}
		}
	}
}

// modFile is what go mod edit and go work edit say of a file.
type modFile struct {
	Module  struct{ Path string }
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Use []struct{ DiskPath string }
}

func readModFile(t *testing.T, kind, path string) (file modFile) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", kind, "edit", "-json", path).Output()
	require.NoError(t, err, path)
	require.NoError(t, json.Unmarshal(output, &file))
	return file
}

// modules returns the go.mod files of the repository by their directories, but that of the tools.
func modules(t *testing.T) map[string]modFile {
	t.Helper()
	all := make(map[string]modFile)
	require.NoError(t, filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "tools", "node_modules", "testdata"}, entry.Name()):
			return filepath.SkipDir
		case entry.Name() == "go.mod":
			dir, err := filepath.Rel("../..", filepath.Dir(path))
			require.NoError(t, err)
			all[dir] = readModFile(t, "mod", path)
		}
		return nil
	}))
	return all
}

// A program pays for each module that this one requires, be it for a test alone.
func TestAProgramPullsInLittle(t *testing.T) {
	var direct []string
	for _, required := range modules(t)["."].Require {
		if !required.Indirect {
			direct = append(direct, required.Path)
		}
	}
	assert.LessOrEqual(t, len(direct), 12, "%v: write what needs one more in a module of its own, as internal/engines is", direct)
}

// What is tested together is what a program gets: no module has another version of what
// the library requires, and each is either tested with it by go.work or by itself.
func TestTheModulesFitTogether(t *testing.T) {
	all := modules(t)
	versions := make(map[string]string)
	for _, required := range all["."].Require {
		versions[required.Path] = required.Version
	}
	var together []string
	for _, used := range readModFile(t, "work", "../../go.work").Use {
		together = append(together, filepath.Clean(used.DiskPath))
	}
	for dir, file := range all {
		assert.Equal(t, path.Join(module, filepath.ToSlash(dir)), file.Module.Path, "users find a module by its directory")
		for _, required := range file.Require {
			if version, ok := versions[required.Path]; ok {
				assert.Equal(t, version, required.Version, "%s requires another %s than the library", dir, required.Path)
			}
		}
		if own := filepath.Join("..", "..", dir, "go.work"); !slices.Contains(together, dir) {
			assert.FileExists(t, own, "add %s to go.work, or give it a go.work of its own", dir)
		}
	}
	assert.Subset(t, slices.Collect(maps.Keys(all)), together)
}

var mixins = []any{&models.ClientMixin{}, &models.TokenMixin{}, &models.AuthorizationCodeMixin{}, &models.DeviceCodeMixin{}, &models.PushedRequestMixin{}, &models.SigningKeyMixin{}, &models.ReplayMixin{},
	&models.SessionMixin{}, &models.LogoutMixin{}, &models.ConsentMixin{}, &models.AuditMixin{}}

// A method of these names on a mixin is promoted to the model and takes the
// place of what GORM or encoding/json would have done.
func TestAMixinPromotesNothingThatBreaksItsModel(t *testing.T) {
	forbidden := []string{
		"TableName", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "Value", "Scan", "String", "GoString", "Format", "Error",
		"BeforeSave", "AfterSave", "BeforeCreate", "AfterCreate", "BeforeUpdate", "AfterUpdate", "BeforeDelete", "AfterDelete", "AfterFind",
		"GormDataType", "GormDBDataType",
	}
	for _, mixin := range mixins {
		for _, name := range forbidden {
			_, found := reflect.TypeOf(mixin).MethodByName(name)
			assert.False(t, found, "%T has a method %s", mixin, name)
		}
	}
}

func TestTheTagsOfAMixinFitEveryTable(t *testing.T) {
	for _, mixin := range mixins {
		typ := reflect.TypeOf(mixin).Elem()
		for i := range typ.NumField() {
			field := typ.Field(i)
			for setting := range strings.SplitSeq(field.Tag.Get("gorm"), ";") {
				name, value, _ := strings.Cut(setting, ":")
				if name == "index" || name == "uniqueIndex" {
					assert.True(t, value == "" || strings.HasPrefix(value, ",composite:") || strings.HasPrefix(value, ",where:"), "%s.%s: an index with a fixed name fails in the second table", typ, field.Name)
				}
				assert.NotEqual(t, "primaryKey", name, "%s.%s: the primary key is the program's", typ, field.Name)
			}
			assert.True(t, field.IsExported(), "%s.%s", typ, field.Name)
		}
	}
}

// What a client presents is never written to JSON, digest or not.
func TestDigestsStayOutOfJSON(t *testing.T) {
	for _, name := range []string{"ClientSecret", "AccessToken", "RefreshToken", "GrantID", "Code", "CodeChallenge", "DeviceCode", "UserCode", "RequestURI", "PrivateKey", "ReplayKey", "RegistrationAccessToken", "PreviousClientSecret", "SessionID", "ConsentKey"} {
		found := false
		for _, mixin := range mixins {
			if field, ok := reflect.TypeOf(mixin).Elem().FieldByName(name); ok {
				found = true
				assert.Equal(t, "-", field.Tag.Get("json"), "%T.%s", mixin, name)
			}
		}
		assert.True(t, found, name)
	}
}

// A mixin's methods read its own fields: a call of one another's getters would
// look as if overriding the getter changed it, which Go does not do.
func TestMixinMethodsCallNoOtherMethods(t *testing.T) {
	eachFile(t, "../../models", func(path string, file *ast.File) {
		for _, declaration := range file.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Recv == nil || len(method.Recv.List[0].Names) == 0 {
				continue
			}
			receiver := method.Recv.List[0].Names[0].Name
			ast.Inspect(method.Body, func(node ast.Node) bool {
				call, ok := node.(*ast.CallExpr)
				if !ok {
					return true
				}
				if selector, ok := call.Fun.(*ast.SelectorExpr); ok {
					if x, ok := selector.X.(*ast.Ident); ok && x.Name == receiver {
						t.Errorf("%s: %s calls %s.%s", path, method.Name.Name, receiver, selector.Sel.Name)
					}
				}
				return true
			})
		}
	})
}

// No globals that change, no init: nothing happens that nobody asked for.
func TestNoInitFunctions(t *testing.T) {
	for _, room := range []string{"../../models", "../../server", "../../gormstore", "../.."} {
		eachFile(t, room, func(path string, file *ast.File) {
			for _, declaration := range file.Decls {
				if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s has an init function", path)
				}
			}
		})
	}
}

// What the library writes into the header of an answer is a constant, or goes through
// internal/header, which has a strict alphabet.
func TestHeadersAreWrittenInOnePlace(t *testing.T) {
	isHeader := func(node ast.Expr) bool { // w.Header()
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return false
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		return ok && selector.Sel.Name == "Header" && len(call.Args) == 0
	}
	isConstant := func(node ast.Expr) bool {
		switch value := node.(type) {
		case *ast.BasicLit:
			return true
		case *ast.SelectorExpr:
			name, ok := value.X.(*ast.Ident)
			return ok && name.Name == "http"
		}
		return false
	}
	for _, room := range []string{"../../server", "../../otel", "../.."} {
		eachFile(t, room, func(path string, file *ast.File) {
			ast.Inspect(file, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.IndexExpr:
					assert.False(t, isHeader(node.X), "%s writes w.Header()[...]: use header.Set", path)
				case *ast.CallExpr:
					selector, ok := node.Fun.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					if method := selector.Sel.Name; isHeader(selector.X) && (method == "Set" || method == "Add") {
						assert.True(t, isConstant(node.Args[len(node.Args)-1]), "%s writes a header that is not constant: use header.Set", path)
					}
					if from, ok := selector.X.(*ast.Ident); ok && from.Name == "http" {
						assert.NotEqual(t, "Redirect", selector.Sel.Name, "%s: use header.Redirect", path)
					}
					for _, argument := range node.Args {
						assert.False(t, isHeader(argument), "%s hands on w.Header(): use header.Copy", path)
					}
				}
				return true
			})
		})
	}
}

func eachFile(t *testing.T, root string, f func(path string, file *ast.File)) {
	t.Helper()
	skip := []string{".git", "example", "internal", "tools", "e2e", "bench"}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != root && slices.Contains(skip, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			f(path, file)
		}
		return err
	}))
}

// What others write is read by package strictjson alone, and JWTs by package jwt:
// encoding/json folds case, and lets the last of two members of one name win.
func TestJSONIsReadInOneWay(t *testing.T) {
	readers := map[string][]string{ // what may not be called, by package
		"encoding/json":                               {"Unmarshal", "NewDecoder"},
		"github.com/go-json-experiment/json":          {"Unmarshal", "UnmarshalRead", "UnmarshalDecode"},
		"github.com/go-json-experiment/json/jsontext": {"NewDecoder"},
		"github.com/go-jose/go-jose/v4": {
			"ParseSigned", "ParseSignedCompact", "ParseSignedJSON", "ParseDetached", "ParseEncrypted", "ParseEncryptedCompact", "ParseEncryptedJSON",
		},
		"github.com/go-jose/go-jose/v4/jwt":  {"ParseSigned", "ParseEncrypted", "ParseSignedAndEncrypted"},
		"github.com/go-jose/go-jose/v4/json": {"Unmarshal", "NewDecoder"},
	}
	roots := []string{"../..", "../../example"}
	rooms, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, room := range rooms {
		// The two readers, and what helps tests to read what this module has answered.
		if !slices.Contains([]string{"strictjson", "jwt", "attack", "house", "oauthtest", "readme"}, room.Name()) {
			roots = append(roots, filepath.Join("..", room.Name()))
		}
	}
	files := 0
	for _, root := range roots {
		eachFile(t, root, func(path string, file *ast.File) {
			files++
			forbidden := make(map[string][]string) // by the name of the package in this file
			for _, imported := range file.Imports {
				packagePath, _ := strconv.Unquote(imported.Path.Value)
				name := packageName(packagePath)
				if imported.Name != nil {
					name = imported.Name.Name
				}
				if names, ok := readers[packagePath]; ok {
					assert.NotEqual(t, ".", name, "%s: %s is imported without its name", path, packagePath)
					forbidden[name] = names
				}
			}
			ast.Inspect(file, func(node ast.Node) bool {
				selector, ok := node.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if of, ok := selector.X.(*ast.Ident); ok && slices.Contains(forbidden[of.Name], selector.Sel.Name) {
					t.Errorf("%s: %s.%s: read what others write by internal/strictjson, JWTs by internal/jwt or assertion.Parse, and key sets by jwk.ParseSet", path, of.Name, selector.Sel.Name)
				}
				return true
			})
		})
	}
	assert.Greater(t, files, 100)
}

// packageName is what a package is called by its path.
func packageName(packagePath string) string {
	base := path.Base(packagePath)
	if version := regexp.MustCompile(`^v[0-9]+$`); version.MatchString(base) {
		base = path.Base(path.Dir(packagePath))
	}
	return strings.TrimPrefix(base, "go-")
}

// Each row of the tables in docs/threats.md has a file and a test, and they are there.
func TestTheTablesOfThreatsAreTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/threats.md")
	require.NoError(t, err)
	tables, _, found := strings.Cut(string(text), "## An hour of fuzzing")
	require.True(t, found)
	link := regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`)
	rows := 0
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || len(cells) != 4 || strings.Contains(line, "| Code |") {
			continue
		}
		rows++
		for _, cell := range cells {
			assert.NotEmpty(t, strings.TrimSpace(cell), line)
		}
		tests := link.FindAllStringSubmatch(cells[3], -1)
		assert.NotEmpty(t, tests, line)
		assert.NotEmpty(t, link.FindAllStringSubmatch(cells[2], -1), line)
		for _, one := range append(tests, link.FindAllStringSubmatch(cells[2], -1)...) {
			source, err := os.ReadFile(filepath.Join("..", "..", "docs", one[2]))
			if assert.NoError(t, err, line) && !strings.HasSuffix(one[1], ".go") {
				assert.Contains(t, string(source), "func "+one[1]+"(", line)
			}
		}
	}
	assert.Greater(t, rows, 60)
}
