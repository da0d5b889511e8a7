package troupe_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A rule is a house rule that a machine can check. It returns one message per
// breach, each beginning with a position.
type rule struct {
	name  string
	check func(sourceTree) []string
}

// rules fail the build. House_samples_test.go shows for each that it can.
var rules = []rule{
	{"package has a doc comment", packageDocs},
	{"exported identifier has a doc comment", exportedDocs},
	{"test does not sleep", noSleep},
	{"nothing is left for later", noLeftovers},
	{"file and function stay readable", tooLarge},
}

// advice is printed by "go test -v" and fails nothing.
var advice = []rule{
	{"file and function sizes", large},
	{"public package has an example", withoutExample},
}

// Sizes in lines. Beyond the first the house advises to split, beyond the second
// it refuses. Generated files are not counted.
const (
	fileAdvised, fileMax = 500, 800
	funcAdvised, funcMax = 70, 150
)

func TestHouseRules(t *testing.T) {
	t.Parallel()
	tree := loadRepository(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, breach := range r.check(tree) {
				t.Error(breach)
			}
		})
	}
	for _, r := range advice {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for _, hint := range r.check(tree) {
				t.Log(hint)
			}
		})
	}
}

// packageDocs asks for a comment "Package x …" in one file of each package, and
// for any comment in programs.
func packageDocs(tree sourceTree) []string {
	var found []string
	for _, p := range tree.sorted() {
		name := p.name()
		if name == "" {
			continue
		}
		documented := slices.ContainsFunc(p.files, func(f *goFile) bool {
			text := f.ast.Doc.Text()
			return !f.test && text != "" && (name == "main" || strings.HasPrefix(text, "Package "+name+" "))
		})
		if !documented {
			found = append(found, fmt.Sprintf("%s: package %s has no comment that says what it is for", p.dir, name))
		}
	}
	return found
}

// exportedDocs asks for a comment on each exported identifier of each package
// that can be imported. A comment on a group of constants or variables counts
// for all of them. The method of a one-method interface may be described by the
// comment of the interface; what every Go programmer knows needs none.
func exportedDocs(tree sourceTree) []string {
	var found []string
	for _, p := range tree.sorted() {
		if p.name() == "main" {
			continue
		}
		for _, f := range p.files {
			if f.test || f.generated() {
				continue
			}
			for _, id := range undocumented(f.ast) {
				found = append(found, fmt.Sprintf("%s: exported %s has no doc comment", f.at(id), id.Name))
			}
		}
	}
	return found
}

// undocumented returns the exported identifiers of a file that lack a comment.
func undocumented(file *ast.File) []*ast.Ident {
	var out []*ast.Ident
	need := func(id *ast.Ident, docs ...*ast.CommentGroup) {
		has := slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d.Text() != "" })
		if id.IsExported() && !has {
			out = append(out, id)
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || exportedReceiver(d) && !slices.Contains(wellKnown, d.Name.Name) {
				need(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, id := range s.Names {
						need(id, d.Doc, s.Doc, s.Comment)
					}
				case *ast.TypeSpec:
					docs := []*ast.CommentGroup{s.Doc, s.Comment}
					if len(d.Specs) == 1 {
						docs = append(docs, d.Doc)
					}
					need(s.Name, docs...)
					if s.Name.IsExported() {
						for _, m := range ownMethods(s.Type) {
							need(m.Names[0], m.Doc, m.Comment)
						}
					}
				}
			}
		}
	}
	return out
}

// ownMethods returns the methods that an interface type of more than one lists
// itself.
func ownMethods(typ ast.Expr) []*ast.Field {
	it, ok := typ.(*ast.InterfaceType)
	if !ok {
		return nil
	}
	own := slices.DeleteFunc(slices.Clone(it.Methods.List), func(f *ast.Field) bool { return len(f.Names) == 0 })
	if len(own) == 1 {
		return nil
	}
	return own
}

// wellKnown are methods whose comment could only repeat their name.
var wellKnown = []string{"Error", "String", "Unwrap"}

// exportedReceiver reports whether a method is one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	for expr := d.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

// noSleep refuses time.Sleep and a bare <-time.After in tests and in packages
// for tests: both guess how long something takes. Allowed is what runs on the
// virtual time of a testing/synctest bubble: a function literal given to
// synctest.Test or to actortest, or a function whose comment says that it runs
// in synctest.
func noSleep(tree sourceTree) []string {
	var found []string
	for _, p := range tree.sorted() {
		for _, f := range p.files {
			if !f.test && !p.testHelper() {
				continue
			}
			for _, n := range sleeps(f) {
				found = append(found, f.at(n)+": test sleeps; wait for a signal, or use virtual time (testing/synctest)")
			}
		}
	}
	return found
}

// sleeps returns the statements of a file that wait on the real clock.
func sleeps(f *goFile) []ast.Node {
	var out []ast.Node
	choice := map[ast.Stmt]bool{} // the cases of select statements
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !strings.Contains(n.Doc.Text(), "synctest")
		case *ast.CommClause:
			choice[n.Comm] = true
		case *ast.CallExpr:
			if startsBubble(f, n) {
				return false
			}
			if isCall(f, n, "time", "Sleep") {
				out = append(out, n)
			}
		case *ast.ExprStmt:
			if recv, ok := n.X.(*ast.UnaryExpr); ok && recv.Op == token.ARROW && !choice[n] {
				if call, ok := recv.X.(*ast.CallExpr); ok && isCall(f, call, "time", "After") {
					out = append(out, n)
				}
			}
		}
		return true
	})
	return out
}

// startsBubble reports whether a call runs its argument on virtual time.
func startsBubble(f *goFile, call *ast.CallExpr) bool {
	const actortest = modulePath + "/actor/actortest"
	return isCall(f, call, "testing/synctest", "Test") ||
		isCall(f, call, actortest, "Run") || isCall(f, call, actortest, "RunWith") ||
		isCall(f, call, actortest, "Explore") || isCall(f, call, actortest, "ExploreWith")
}

// isCall reports whether call is pkg.name(…), under whatever name the file
// imports pkg.
func isCall(f *goFile, call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	spec := f.imports()[pkg]
	if spec == nil {
		return false
	}
	local := pkg[strings.LastIndex(pkg, "/")+1:]
	if spec.Name != nil {
		local = spec.Name.Name
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == local
}

var (
	// The words are spelt so that this file keeps its own rule.
	leftoverComment = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|(?i)\bfor ` + `now\b`)
	leftoverPanic   = regexp.MustCompile(`(?i)\b(todo|fixme|not (yet )?implemented|unimplemented|implement me|not supported yet)\b`)
)

// noLeftovers refuses comments that put work off, panics in place of code, and
// contexts of unknown origin. What is not done is an issue, not a comment.
func noLeftovers(tree sourceTree) []string {
	var found []string
	for _, f := range tree.files() {
		if f.generated() {
			continue
		}
		report := func(n ast.Node, what string) {
			found = append(found, fmt.Sprintf("%s: %s; do it, or file an issue", f.at(n), what))
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				if word := leftoverComment.FindString(c.Text); word != "" {
					report(c, fmt.Sprintf("comment says %q", word))
				}
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if isCall(f, call, "context", "TODO") {
				report(call, "context of unknown origin")
			}
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" && leftoverPanic.MatchString(literals(call)) {
				report(call, "panic in place of code")
			}
			return true
		})
	}
	return found
}

// literals returns the string literals below a node, one per line.
func literals(n ast.Node) string {
	var all []string
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				all = append(all, text)
			}
		}
		return true
	})
	return strings.Join(all, "\n")
}

// tooLarge refuses files and functions that nobody can keep in mind.
func tooLarge(tree sourceTree) []string { return sizes(tree, fileMax, funcMax) }

// large lists what should be split at the next occasion.
func large(tree sourceTree) []string { return sizes(tree, fileAdvised, funcAdvised) }

// sizes lists files and functions that have more lines than given.
func sizes(tree sourceTree, fileLines, funcLines int) []string {
	var found []string
	for _, f := range tree.files() {
		if f.generated() {
			continue
		}
		if n := f.fset.File(f.ast.Pos()).LineCount(); n > fileLines {
			found = append(found, fmt.Sprintf("%s: %d lines, more than %d", f.path, n, fileLines))
		}
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := f.fset.Position(d.End()).Line - f.fset.Position(d.Pos()).Line + 1
			if n > funcLines {
				found = append(found, fmt.Sprintf("%s: %s has %d lines, more than %d", f.at(d), d.Name.Name, n, funcLines))
			}
		}
	}
	return found
}

// withoutExample lists the public packages that show no runnable example.
func withoutExample(tree sourceTree) []string {
	var found []string
	for _, p := range tree.sorted() {
		name := p.name()
		if name == "" || name == "main" || p.dir == "." || p.nested || under(p.dir, []string{"internal"}) {
			continue
		}
		has := slices.ContainsFunc(p.files, func(f *goFile) bool {
			return f.test && slices.ContainsFunc(f.ast.Decls, func(decl ast.Decl) bool {
				d, ok := decl.(*ast.FuncDecl)
				return ok && d.Recv == nil && strings.HasPrefix(d.Name.Name, "Example")
			})
		})
		if !has {
			found = append(found, p.dir+": no Example in its tests")
		}
	}
	return found
}
