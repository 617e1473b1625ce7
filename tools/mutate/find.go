package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"math/big"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// A mutant is one change of one file. Its text in the instrumented file holds
// both the original and the change, and chooses by the switch of its number.
type mutant struct {
	Package  string `json:"package"`
	File     string `json:"file"` // from the directory in which the tool runs
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Function string `json:"function"`
	Original string `json:"original"`
	Mutated  string `json:"mutated"`

	id         int
	path       string
	start, end int                              // what it replaces, in the file as it is
	text       func(on, original string) string // the replacement; on is the call that asks for its switch
}

// key names a mutant for as long as its place and its text stay the same.
func (m mutant) key() string {
	return fmt.Sprintf("%s:%d:%d: %s -> %s", m.File, m.Line, m.Column, m.Original, m.Mutated)
}

// finder finds the mutants of one file.
type finder struct {
	pkg   *packages.Package
	file  *ast.File
	src   []byte
	above []ast.Node // the path to the current node, which is the last
	found []mutant
}

func find(pkg *packages.Package, file *ast.File, src []byte) []mutant {
	f := &finder{pkg: pkg, file: file, src: src}
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			f.above = f.above[:len(f.above)-1]
			return true
		}
		if declaration, ok := n.(*ast.GenDecl); ok && declaration.Tok != token.VAR {
			return false // what is in an import, a type or a constant cannot depend on a switch
		}
		f.above = append(f.above, n)
		f.visit(n)
		return true
	})
	return f.found
}

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
	case *ast.IfStmt:
		f.negate(n.Cond)
		if isFailure(n.Cond) {
			f.add(n.Cond, "false", func(on, original string) string { return "((" + original + ") && !" + on + ")" })
		}
	case *ast.ForStmt:
		f.negate(n.Cond)
	case *ast.BinaryExpr:
		f.operator(n)
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Ident:
		if f.pkg.TypesInfo.Uses[n] == types.Universe.Lookup("true") || f.pkg.TypesInfo.Uses[n] == types.Universe.Lookup("false") {
			f.add(n, "!"+n.Name, func(on, original string) string { return "(" + original + " != " + on + ")" })
		}
	case *ast.CompositeLit:
		f.elements(n)
	}
}

// isFailure reports whether a condition is "err != nil".
func isFailure(condition ast.Expr) bool {
	binary, ok := condition.(*ast.BinaryExpr)
	if !ok || binary.Op != token.NEQ {
		return false
	}
	x, isX := binary.X.(*ast.Ident)
	y, isY := binary.Y.(*ast.Ident)
	return isX && isY && strings.HasPrefix(x.Name, "err") && y.Name == "nil"
}

// negate adds the opposite of a condition, unless changing its operator does the same.
func (f *finder) negate(condition ast.Expr) {
	if condition == nil || f.constant(condition) {
		return
	}
	if binary, ok := condition.(*ast.BinaryExpr); ok && (binary.Op == token.EQL || binary.Op == token.NEQ) {
		return
	}
	f.add(condition, "!("+f.raw(condition)+")", func(on, original string) string { return "((" + original + ") != " + on + ")" })
}

//nolint:gochecknoglobals // a constant
var opposite = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL,
	token.AND: token.OR, token.OR: token.AND, token.SHL: token.SHR, token.SHR: token.SHL,
}

func (f *finder) operator(n *ast.BinaryExpr) {
	other, ok := opposite[n.Op]
	if !ok {
		return
	}
	mutated := fmt.Sprintf("(%s) %s (%s)", f.raw(n.X), other, f.raw(n.Y))
	shown := f.raw(n.X) + " " + other.String() + " " + f.raw(n.Y)
	switch n.Op {
	case token.LAND, token.LOR:
		for _, operand := range []ast.Expr{n.X, n.Y} {
			if _, binary := operand.(*ast.BinaryExpr); !binary {
				f.negate(operand)
			}
		}
		fallthrough
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		// It must not evaluate both, and needs no name of a type for that.
		f.add(n, shown, func(on, original string) string {
			return fmt.Sprintf("(%s && (%s) || !%s && (%s))", on, mutated, on, original)
		})
	default:
		f.value(n, f.pkg.TypesInfo.TypeOf(n), mutated, shown)
	}
}

func (f *finder) literal(n *ast.BasicLit) {
	value := f.pkg.TypesInfo.Types[n].Value
	if value == nil || f.isWording(n) || f.isBesideError(n) {
		return
	}
	var mutated string
	switch n.Kind {
	case token.INT:
		number, ok := new(big.Int).SetString(value.ExactString(), 10)
		if !ok {
			return
		}
		mutated = number.Add(number, big.NewInt(1)).String()
	case token.FLOAT:
		mutated = n.Value + " + 1"
	case token.STRING:
		mutated = `""`
		if value.ExactString() == `""` {
			mutated = `"mutant"`
		}
	default:
		return
	}
	f.value(n, f.pkg.TypesInfo.TypeOf(n), mutated, mutated)
}

// isWording reports whether a literal is the text of an error, a panic or a line of a log.
func (f *finder) isWording(n *ast.BasicLit) bool {
	if n.Kind != token.STRING {
		return false
	}
	for i := len(f.above) - 2; i >= 0; i-- {
		switch above := f.above[i].(type) {
		case *ast.BinaryExpr: // a sum of texts
		case *ast.CallExpr:
			return f.takesWords(above) && strings.Contains(n.Value, " ")
		default:
			return false
		}
	}
	return false
}

// isBesideError reports whether a literal is a result beside an error, at which no caller looks.
func (f *finder) isBesideError(n *ast.BasicLit) bool {
	statement, ok := f.above[len(f.above)-2].(*ast.ReturnStmt)
	if !ok || len(statement.Results) < 2 {
		return false
	}
	last := statement.Results[len(statement.Results)-1]
	if last == ast.Expr(n) || !isError(f.pkg.TypesInfo.TypeOf(last)) {
		return false
	}
	if call, ok := last.(*ast.CallExpr); ok { // that of another function may return nil
		_, isInterface := f.pkg.TypesInfo.TypeOf(last).Underlying().(*types.Interface)
		return !isInterface || f.raw(call.Fun) == "fmt.Errorf" || f.raw(call.Fun) == "errors.New"
	}
	for _, above := range slices.Backward(f.above) {
		if condition, ok := above.(*ast.IfStmt); ok && isFailure(condition.Cond) {
			return true
		}
	}
	return false
}

func (f *finder) takesWords(call *ast.CallExpr) bool {
	name := call.Fun
	if selector, ok := name.(*ast.SelectorExpr); ok {
		name = selector.Sel
	}
	ident, ok := name.(*ast.Ident)
	if !ok {
		return false
	}
	used := f.pkg.TypesInfo.Uses[ident]
	if used == nil {
		return false
	}
	if used == types.Universe.Lookup("panic") || used.Pkg() != nil && strings.HasPrefix(used.Pkg().Path(), "log") {
		return true
	}
	signature, ok := used.Type().(*types.Signature)
	return ok && signature.Results().Len() == 1 && isError(signature.Results().At(0).Type())
}

func isError(t types.Type) bool {
	return types.Implements(t, types.Universe.Lookup("error").Type().Underlying().(*types.Interface))
}

// elements adds, for each element of a composite literal, the literal without it.
func (f *finder) elements(n *ast.CompositeLit) {
	whole, prefix := ast.Expr(n), ""
	t := f.pkg.TypesInfo.TypeOf(n)
	if parent, ok := f.above[len(f.above)-2].(*ast.UnaryExpr); ok && parent.Op == token.AND {
		whole, prefix, t = parent, "&", types.NewPointer(t)
	}
	if n.Type == nil {
		return // its type, and whether it is a pointer, depend on the literal around it
	}
	for i := range n.Elts {
		kept := make([]string, 0, len(n.Elts))
		for _, element := range slices.Delete(slices.Clone(n.Elts), i, i+1) {
			kept = append(kept, f.raw(element))
		}
		name := prefix + f.raw(n.Type)
		f.value(whole, t, name+"{"+strings.Join(kept, ", ")+"}", name+"{… without "+f.raw(n.Elts[i])+"}")
		f.found[len(f.found)-1].Original = f.raw(n.Elts[i])
		f.place(&f.found[len(f.found)-1], n.Elts[i].Pos())
	}
}

func (f *finder) statements(list []ast.Stmt) {
	for _, statement := range list {
		if labeled, ok := statement.(*ast.LabeledStmt); ok {
			statement = labeled.Stmt
		}
		switch n := statement.(type) {
		case *ast.ExprStmt, *ast.DeferStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.GoStmt:
			f.drop(n)
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				f.drop(n)
			}
		case *ast.BranchStmt:
			switch {
			case n.Label != nil:
			case n.Tok == token.CONTINUE:
				f.instead(n, "break")
			case n.Tok == token.BREAK:
				f.instead(n, "continue")
			}
		case *ast.ReturnStmt:
			f.returned(n)
		}
	}
}

func (f *finder) drop(statement ast.Stmt) {
	f.add(statement, "", func(on, original string) string { return "if !" + on + " { " + original + " }" })
}

// instead adds a statement that leaves the block before the original is executed.
func (f *finder) instead(n ast.Stmt, mutated string) {
	f.add(n, mutated, func(on, original string) string { return "if " + on + " { " + mutated + " }; " + original })
}

// returned adds, for each result, a return with its zero value.
func (f *finder) returned(n *ast.ReturnStmt) {
	results := f.signature().Results()
	if len(n.Results) == 1 && results.Len() > 1 { // return f()
		zeros := make([]string, results.Len())
		for i := range zeros {
			zeros[i] = f.zero(results.At(i).Type())
		}
		f.instead(n, "return "+strings.Join(zeros, ", "))
		return
	}
	for i, result := range n.Results {
		t := results.At(i).Type()
		if basic, ok := t.Underlying().(*types.Basic); ok && basic.Info()&types.IsBoolean != 0 {
			if _, binary := result.(*ast.BinaryExpr); !binary {
				f.negate(result)
			}
			continue
		}
		zero := f.zero(t)
		if _, literal := result.(*ast.BasicLit); literal || f.raw(result) == zero {
			continue
		}
		texts := make([]string, len(n.Results))
		for j, other := range n.Results {
			texts[j] = f.raw(other)
		}
		texts[i] = zero
		f.instead(n, "return "+strings.Join(texts, ", "))
	}
}

func (f *finder) signature() *types.Signature {
	for _, above := range slices.Backward(f.above) {
		switch n := above.(type) {
		case *ast.FuncLit:
			return f.pkg.TypesInfo.TypeOf(n).(*types.Signature)
		case *ast.FuncDecl:
			return f.pkg.TypesInfo.Defs[n.Name].Type().(*types.Signature)
		}
	}
	panic("a return outside of a function")
}

func (f *finder) zero(t types.Type) string {
	if _, generic := t.(*types.TypeParam); generic {
		return "*new(" + f.spell(t) + ")"
	}
	switch under := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case under.Info()&types.IsBoolean != 0:
			return "false"
		case under.Info()&types.IsString != 0:
			return `""`
		default:
			return "0"
		}
	case *types.Struct, *types.Array:
		return f.spell(t) + "{}"
	default:
		return "nil"
	}
}

// value adds another value of an expression.
func (f *finder) value(n ast.Expr, t types.Type, mutated, shown string) {
	name := f.spell(types.Default(t))
	f.add(n, shown, func(on, original string) string {
		return fmt.Sprintf("func() %s { if %s { return %s }; return %s }()", name, on, mutated, original)
	})
}

// spell writes a type as this file would. What the file has no name for does
// not compile, and is not among the mutants therefore.
func (f *finder) spell(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == f.pkg.Types {
			return ""
		}
		for _, imported := range f.file.Imports {
			name, ok := f.pkg.TypesInfo.Implicits[imported].(*types.PkgName)
			if imported.Name != nil {
				name, ok = f.pkg.TypesInfo.Defs[imported.Name].(*types.PkgName)
			}
			if ok && name.Imported() == other {
				return name.Name()
			}
		}
		return "unnamed"
	})
}

func (f *finder) constant(n ast.Expr) bool { return f.pkg.TypesInfo.Types[n].Value != nil }

func (f *finder) raw(n ast.Node) string {
	return string(f.src[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) offset(pos token.Pos) int { return f.pkg.Fset.Position(pos).Offset }

func (f *finder) add(n ast.Node, mutated string, text func(on, original string) string) {
	m := mutant{
		Package: f.pkg.PkgPath, Original: f.raw(n), Mutated: mutated,
		start: f.offset(n.Pos()), end: f.offset(n.End()), text: text,
	}
	for _, above := range f.above {
		if declaration, ok := above.(*ast.FuncDecl); ok {
			m.Function = declaration.Name.Name
		}
	}
	f.place(&m, n.Pos())
	f.found = append(f.found, m)
}

func (f *finder) place(m *mutant, pos token.Pos) {
	position := f.pkg.Fset.Position(pos)
	m.path, m.File, m.Line, m.Column = position.Filename, filepath.Base(position.Filename), position.Line, position.Column
}
