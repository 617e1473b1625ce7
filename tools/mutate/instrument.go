package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

//go:embed mutant/mutant.go
var runtime []byte

// program is the packages to mutate, the chosen mutants, and the overlay that has them.
type program struct {
	dir     string // from which the paths of files are given
	switchP string // the import path of the switch, internal to the outermost module
	switchD string // its directory, which exists only in the overlay
	mutants []mutant
}

// load chooses up to n mutants of each package.
func load(dir string, patterns []string, seed uint64, n int) (*program, error) {
	loaded, err := packages.Load(&packages.Config{
		Dir: dir,
		Mode: packages.NeedName | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedTypes |
			packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes | packages.NeedModule,
	}, patterns...)
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(loaded) > 0 || len(loaded) == 0 {
		return nil, fmt.Errorf("%s do not load", strings.Join(patterns, " "))
	}
	p := &program{dir: dir}
	// The outermost module is that of the shortest path: the others may import what is internal to it.
	outermost, err := output(dir, "go", "list", "-m", "-f", "{{.Path}}\t{{.Dir}}")
	if err != nil {
		return nil, err
	}
	modules := strings.Fields(outermost)
	p.switchP, p.switchD = modules[0]+"/internal/mutant", filepath.Join(modules[1], "internal", "mutant")

	for _, pkg := range loaded {
		chosen, err := p.choose(pkg, seed, n)
		if err != nil {
			return nil, err
		}
		p.mutants = append(p.mutants, chosen...)
	}
	for i := range p.mutants {
		p.mutants[i].id = i + 1
	}
	return p, nil
}

// choose draws mutants of a package until there are n that compile. The same
// seed draws the same ones for as long as the package stays the same.
func (p *program) choose(pkg *packages.Package, seed uint64, n int) ([]mutant, error) {
	var found []mutant
	sources := make(map[string][]byte)
	for i, file := range pkg.Syntax {
		path := pkg.CompiledGoFiles[i]
		if ast.IsGenerated(file) {
			continue
		}
		src, err := os.ReadFile(path) //nolint:gosec // a file of the package
		if err != nil {
			return nil, err
		}
		sources[path] = src
		found = append(found, find(pkg, file, src)...)
	}
	hash := fnv.New64a()
	hash.Write([]byte(pkg.PkgPath))
	random := rand.New(rand.NewPCG(seed, hash.Sum64())) //nolint:gosec // a sample, to be drawn again
	random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })

	var chosen []mutant
	taken := make(map[string]bool)
	for _, m := range found {
		if len(chosen) == n {
			break
		}
		relative, err := filepath.Rel(p.dir, m.path)
		if err != nil {
			return nil, err
		}
		m.File = filepath.ToSlash(relative)
		m.id = 1
		if taken[m.key()] || !p.compiles(pkg, m, sources[m.path]) {
			continue
		}
		taken[m.key()] = true
		chosen = append(chosen, m)
	}
	slices.SortFunc(chosen, func(a, b mutant) int { return strings.Compare(a.key(), b.key()) })
	return chosen, nil
}

// compiles reports whether a package compiles with one mutant.
func (p *program) compiles(pkg *packages.Package, m mutant, src []byte) bool {
	text := p.render(src, []mutant{m})
	file, err := parser.ParseFile(pkg.Fset, m.path, text, parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	files := slices.Clone(pkg.Syntax)
	files[slices.Index(pkg.CompiledGoFiles, m.path)] = file
	version := ""
	if pkg.Module != nil {
		version = "go" + pkg.Module.GoVersion
	}
	config := types.Config{Importer: importer{p, pkg}, Sizes: pkg.TypesSizes, GoVersion: version}
	_, err = config.Check(pkg.PkgPath, pkg.Fset, files, nil)
	return err == nil
}

type importer struct {
	p   *program
	pkg *packages.Package
}

func (i importer) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if path == i.p.switchP {
		on := types.NewPackage(path, "mutant")
		id := types.NewTuple(types.NewParam(token.NoPos, on, "id", types.Typ[types.Int]))
		yes := types.NewTuple(types.NewParam(token.NoPos, on, "", types.Typ[types.Bool]))
		on.Scope().Insert(types.NewFunc(token.NoPos, on, "On", types.NewSignatureType(nil, nil, nil, id, yes, false)))
		on.MarkComplete()
		return on, nil
	}
	return i.pkg.Imports[path].Types, nil
}

// render is a file with all of its mutants.
func (p *program) render(src []byte, mutants []mutant) []byte {
	mutants = slices.Clone(mutants)
	slices.SortStableFunc(mutants, func(a, b mutant) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end // the outer one first
	})
	text := within(src, 0, len(src), mutants)
	// On the line of the package clause, so that all lines keep their numbers.
	end := packageClause.FindStringIndex(text)[1]
	return []byte(text[:end] + "; import mutant_ " + strconv.Quote(p.switchP) + text[end:])
}

func within(src []byte, start, end int, mutants []mutant) string {
	var text strings.Builder
	for len(mutants) > 0 {
		outer := mutants[0]
		inner := 1
		for inner < len(mutants) && mutants[inner].start < outer.end {
			inner++
		}
		text.Write(src[start:outer.start])
		original := within(src, outer.start, outer.end, mutants[1:inner])
		text.WriteString(outer.text(fmt.Sprintf("mutant_.On(%d)", outer.id), original))
		start, mutants = outer.end, mutants[inner:]
	}
	text.Write(src[start:end])
	return text.String()
}

// overlay writes the instrumented files into a directory, and returns the file
// that tells the go command about them.
func (p *program) overlay(to string) (string, error) {
	files := make(map[string][]mutant)
	for _, m := range p.mutants {
		files[m.path] = append(files[m.path], m)
	}
	replaced := map[string]string{filepath.Join(p.switchD, "mutant.go"): filepath.Join(to, "mutant.go")}
	if err := os.WriteFile(filepath.Join(to, "mutant.go"), runtime, 0o600); err != nil {
		return "", err
	}
	for path, mutants := range files {
		src, err := os.ReadFile(path) //nolint:gosec // a file of a package
		if err != nil {
			return "", err
		}
		replaced[path] = filepath.Join(to, strconv.Itoa(len(replaced))+".go")
		if err := os.WriteFile(replaced[path], p.render(src, mutants), 0o600); err != nil { //nolint:gosec // in the directory that it was given
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(to, "overlay.json")
	return path, os.WriteFile(path, content, 0o600)
}
