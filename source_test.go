package troupe_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// modulePath is the import path of the root module.
const modulePath = "github.com/troupe-dev/troupe"

// A goFile is one parsed Go file.
type goFile struct {
	path string // slash-separated, relative to the repository root
	test bool   // its name ends in _test.go
	src  []byte
	ast  *ast.File
	fset *token.FileSet
}

// at returns "file:line:col" of a node, for messages.
func (f *goFile) at(n ast.Node) string {
	p := f.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d:%d", f.path, p.Line, p.Column)
}

// imports returns the import paths of the file with the specs they come from.
func (f *goFile) imports() map[string]*ast.ImportSpec {
	m := make(map[string]*ast.ImportSpec, len(f.ast.Imports))
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			m[p] = spec
		}
	}
	return m
}

// generated reports whether a tool wrote the file.
func (f *goFile) generated() bool { return ast.IsGenerated(f.ast) }

// A goPackage is one directory with Go files: the package and its tests.
type goPackage struct {
	dir    string // relative to the repository root; "." is the root
	nested bool   // part of another module of the repository, such as bench
	files  []*goFile
}

// testHelper reports whether the package exists for tests of its users, by the
// convention of net/http/httptest: actor/actortest, store/storetest.
func (p *goPackage) testHelper() bool { return strings.HasSuffix(path.Base(p.dir), "test") }

// name returns the name of the package, or "" if it consists of tests only.
func (p *goPackage) name() string {
	for _, f := range p.files {
		if !f.test {
			return f.ast.Name.Name
		}
	}
	return ""
}

// A sourceTree is every package of the repository, by directory.
type sourceTree map[string]*goPackage

// sorted returns the packages in the order of their directories.
func (t sourceTree) sorted() []*goPackage {
	var out []*goPackage
	for _, dir := range slices.Sorted(maps.Keys(t)) {
		out = append(out, t[dir])
	}
	return out
}

// files returns every file in the order of the paths.
func (t sourceTree) files() []*goFile {
	var out []*goFile
	for _, p := range t.sorted() {
		out = append(out, p.files...)
	}
	return out
}

// loadTree parses all Go files below the root of fsys, whatever their build
// tags, but not testdata or files marked "ignore".
func loadTree(fsys fs.FS) (sourceTree, error) {
	tree := sourceTree{}
	var modules []string // directories of nested modules, met before their contents
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if unseen(name) {
				return fs.SkipDir
			}
			return nil
		case d.Name() == "go.mod" && name != "go.mod":
			modules = append(modules, path.Dir(name))
			return nil
		case path.Ext(name) != ".go" || unseen(name):
			return nil
		}
		f, err := parseFile(fsys, name)
		if err != nil || ignored(f.src) {
			return err
		}
		dir := path.Dir(name)
		if tree[dir] == nil {
			tree[dir] = &goPackage{dir: dir}
		}
		tree[dir].files = append(tree[dir].files, f)
		return nil
	})
	for _, p := range tree {
		p.nested = under(p.dir, modules)
	}
	return tree, err
}

// unseen reports whether the go command ignores a file or directory of this name.
func unseen(name string) bool {
	base := path.Base(name)
	return base == "testdata" || base != "." && (base[0] == '.' || base[0] == '_')
}

// under reports whether name is one of the slash-separated paths or below one.
func under(name string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
}

func parseFile(fsys fs.FS, name string) (*goFile, error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &goFile{path: name, test: strings.HasSuffix(name, "_test.go"), src: src, ast: tree, fset: fset}, nil
}

// ignored reports whether the file carries "//go:build ignore": a program to be
// run by hand that is part of no package.
func ignored(src []byte) bool {
	for line := range bytes.Lines(src) {
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "package ") {
			break
		}
		if !constraint.IsGoBuild(text) {
			continue
		}
		expr, err := constraint.Parse(text)
		return err == nil && !expr.Eval(func(tag string) bool { return tag != "ignore" })
	}
	return false
}

// repository is the parsed working tree, read once for all tests. Tests of a
// package run in its directory, which here is the repository root.
var repository = sync.OnceValues(func() (sourceTree, error) {
	tree, err := loadTree(os.DirFS("."))
	if err == nil && len(tree) == 0 {
		err = errors.New("no Go files found")
	}
	return tree, err
})

// loadRepository is repository for tests.
func loadRepository(t *testing.T) sourceTree {
	t.Helper()
	tree, err := repository()
	if err != nil {
		t.Fatalf("read the repository: %v", err)
	}
	return tree
}
