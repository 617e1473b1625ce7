package house

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All hooks are declared in hooks.go, and Register accepts a value that implements any of them,
// except those that only one grant, endpoint or client authentication method is asked for.
func TestEveryHookIsInOneFile(t *testing.T) {
	notRegistered := []string{"DefaultExtensionsHook", "AuthMethodHook", "RedeemedByHook", "ClientSecretHook", "DerivedSecretHook", "SecretKeysHook"}
	var hooks, registered []string
	eachFile(t, "../../server", func(path string, file *ast.File) {
		if file.Name.Name != "server" {
			return
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.TypeSpec:
				if _, is := node.Type.(*ast.InterfaceType); is && strings.HasSuffix(node.Name.Name, "Hook") {
					hooks = append(hooks, node.Name.Name)
					assert.Equal(t, "hooks.go", filepath.Base(path), "%s is a hook", node.Name.Name)
				}
			case *ast.FuncDecl:
				if node.Name.Name == "isHook" {
					registered = casesOf(node)
				}
			}
			return true
		})
	})
	require.NotEmpty(t, hooks)
	slices.Sort(hooks)
	all := slices.Concat(registered, notRegistered)
	slices.Sort(all)
	assert.Equal(t, hooks, all, "isHook lists every hook that Register accepts")
}

// casesOf returns the names in the cases of a function's type switch.
func casesOf(function *ast.FuncDecl) (names []string) {
	ast.Inspect(function, func(node ast.Node) bool {
		if clause, ok := node.(*ast.CaseClause); ok {
			for _, of := range clause.List {
				if name, ok := of.(*ast.Ident); ok {
					names = append(names, name.Name)
				}
			}
		}
		return true
	})
	return names
}
