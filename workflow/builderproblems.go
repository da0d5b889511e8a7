package workflow

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// callSite is where a method of a builder was called.
type callSite struct {
	file string
	line int
}

func (s callSite) pos() yamldoc.Pos { return yamldoc.Pos{File: s.file, Line: s.line} }

// String is the place for a text, without the folder.
func (s callSite) String() string { return filepath.Base(s.file) + ":" + strconv.Itoa(s.line) }

// builderMethods begin the names of the functions that a builder consists of.
var builderMethods = func() []string {
	pkg := reflect.TypeFor[Builder]().PkgPath() + "."
	return []string{pkg + "NewBuilder", pkg + "put", pkg + "(*Builder).", pkg + "(*Scope).", pkg + "(*NodeBuilder).", pkg + "(*InputBuilder)."}
}()

// caller is the call that led into the builder.
func caller() callSite {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !slices.ContainsFunc(builderMethods, func(p string) bool { return strings.HasPrefix(f.Function, p) }) {
			return callSite{f.File, f.Line}
		}
		if !more {
			return callSite{}
		}
	}
}

// assembly makes a document of what was built, and mistakes at calls of mistakes
// in the document.
type assembly struct {
	registry *Registry
	sites    map[string]callSite // by path in the document
	names    map[string]string   // what paths of nodes are called in messages: by their ids
	silent   map[string]bool     // paths of which everything below is reported as well
	lost     map[string]bool     // paths of nodes a reference of which is reported
	ids      map[string]callSite
	problems yamldoc.Errors
}

func (a *assembly) report(at callSite, path, hint, format string, args ...any) {
	a.problems = append(a.problems, &Problem{Pos: at.pos(), Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (a *assembly) document(b *Builder) tree {
	a.sites[""] = b.site
	t := tree{Tag: yamldoc.TagMap, Keys: []yamldoc.TreeKey{{Name: "name", Value: yamldoc.TextTree(b.name)}}}
	t.Keys = a.keys(t.Keys, "", b.settings)
	inputs := tree{Tag: yamldoc.TagMap}
	for _, in := range b.inputs {
		path := KeyPath("inputs", in.name)
		if first, taken := a.sites[path]; taken {
			a.report(in.site, path, "", "the input is declared already, at %s", first)
			continue
		}
		a.sites[path] = in.site
		inputs.Keys = append(inputs.Keys, yamldoc.TreeKey{Name: in.name, Value: tree{Tag: yamldoc.TagMap, Keys: a.keys(nil, path, in.keys)}})
	}
	if len(inputs.Keys) > 0 {
		t.Keys = append(t.Keys, yamldoc.TreeKey{Name: "inputs", Value: inputs})
	}
	t.Keys = append(t.Keys, yamldoc.TreeKey{Name: "nodes", Value: a.scope(&b.Scope, "nodes")})
	t.Keys = append(t.Keys, a.defined("schedules", b.schedules)...)
	t.Keys = append(t.Keys, a.defined("triggers", b.triggers)...)
	return t
}

// defined are the schedules or the triggers.
func (a *assembly) defined(list string, all []builtDefined) []yamldoc.TreeKey {
	t := tree{Tag: yamldoc.TagMap}
	for _, d := range all {
		path := KeyPath(list, d.name)
		if first, taken := a.sites[path]; taken {
			a.report(d.site, path, "", "the name is taken, at %s", first)
			continue
		}
		if d.taken != "" {
			a.report(d.site, path, "leave it empty", "%s is what the workflow itself says", d.taken)
		}
		a.sites[path] = d.site
		t.Keys = append(t.Keys, yamldoc.TreeKey{Name: d.name, Value: d.value})
	}
	if len(t.Keys) == 0 {
		return nil
	}
	return []yamldoc.TreeKey{{Name: list, Value: t}}
}

// keys adds keys that lie below a path.
func (a *assembly) keys(to []yamldoc.TreeKey, path string, keys []builtKey) []yamldoc.TreeKey {
	for _, k := range keys {
		a.sites[KeyPath(path, k.name)] = k.site
		to = append(to, yamldoc.TreeKey{Name: k.name, Value: k.value})
	}
	return to
}

func (a *assembly) scope(s *Scope, path string) tree {
	t := tree{Tag: yamldoc.TagList}
	for i, n := range s.nodes {
		t.List = append(t.List, a.node(n, IndexPath(path, i)))
	}
	return t
}

func (a *assembly) node(n *NodeBuilder, path string) tree {
	a.sites[path], a.names[path] = n.site, n.id
	if first, taken := a.ids[n.id]; taken {
		a.report(n.site, n.id, "", "the id is taken by the node that is made at %s", first)
		a.silent[path+".id"] = true
	} else {
		a.ids[n.id] = n.site
	}
	t := tree{Tag: yamldoc.TagMap, Keys: []yamldoc.TreeKey{{Name: "id", Value: yamldoc.TextTree(n.id)}, {Name: "type", Value: yamldoc.TextTree(n.kind)}}}
	t.Keys = a.keys(t.Keys, path, n.keys)
	a.checkConfig(path+".with", n.kind, n.config)
	for _, k := range n.keys {
		if k.name == "undo" {
			a.checkConfig(path+".undo.with", k.value.Get("type").Text, n.undoConfig)
		}
	}
	for _, r := range []struct {
		name       string
		references []builtReference
	}{{"from", n.from}, {"after", n.after}} {
		if references := a.references(n, path, r.name, r.references); !references.IsNull() {
			t.Keys = append(t.Keys, yamldoc.TreeKey{Name: r.name, Value: references})
		}
	}
	if n.body != nil {
		t.Keys = append(t.Keys, yamldoc.TreeKey{Name: "do", Value: a.scope(n.body, path+".do")})
	}
	return t
}

// checkConfig reports the struct of another node type.
func (a *assembly) checkConfig(path, kind string, config reflect.Type) {
	t, known := a.registry.types[kind]
	if config == nil || !known {
		return
	}
	if want := reflect.TypeOf(t.config()); config != want {
		a.report(a.siteOf(path), a.named(path), "use workflow.Settings for keys without a struct", "a %s takes the configuration %s, not %s", kind, want, config)
		a.silent[path] = true // what follows from it would be noise
	}
}

// references is the value of from or after.
func (a *assembly) references(n *NodeBuilder, path, name string, list []builtReference) tree {
	lists := map[string]*tree{}
	sites := map[string][]callSite{}
	var inputs []string
	for _, r := range list {
		var from *NodeBuilder
		handle := ""
		if r.outlet != nil {
			from, handle = r.outlet.outlet()
		}
		if from == nil || from.scope.builder != n.scope.builder {
			what := "there is no node"
			if from != nil {
				what = "the node " + quote(from.id) + " is one of another builder"
			}
			a.report(r.site, a.named(KeyPath(path, name)), "", "%s", what)
			a.lost[path] = true
			continue
		}
		text := from.id
		if handle != "" {
			text += "." + handle
		}
		if lists[r.input] == nil {
			lists[r.input] = &tree{Tag: yamldoc.TagList}
			inputs = append(inputs, r.input)
		}
		lists[r.input].List = append(lists[r.input].List, yamldoc.TextTree(text))
		sites[r.input] = append(sites[r.input], r.site)
	}
	if len(inputs) == 0 {
		return tree{Tag: yamldoc.TagNull}
	}
	plain := len(inputs) == 1 && inputs[0] == ""
	out := tree{Tag: yamldoc.TagMap}
	for _, input := range inputs {
		at := path + "." + name
		a.sites[at] = sites[input][0]
		if !plain {
			at = KeyPath(at, input)
			a.sites[at] = sites[input][0]
		}
		for i, site := range sites[input] {
			a.sites[IndexPath(at, i)] = site
		}
		out.Keys = append(out.Keys, yamldoc.TreeKey{Name: input, Value: *lists[input]})
	}
	if plain {
		return *lists[""]
	}
	return out
}

// take puts mistakes in the document at the calls that made it so.
func (a *assembly) take(problems Problems) {
	for _, p := range problems {
		if a.isSilent(p.Path) {
			continue
		}
		at := *p
		if p.Line > 0 { // else it is one of the options
			at.Pos = a.siteOf(p.Path).pos()
		}
		at.Path = a.named(p.Path)
		a.problems = append(a.problems, &at)
	}
}

func (a *assembly) isSilent(path string) bool {
	for p := range a.silent {
		if within(path, p) {
			return true
		}
	}
	return a.lost[path]
}

// within reports whether a path is another one or lies below it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// siteOf is the call that made what lies at a path, or that around it.
func (a *assembly) siteOf(path string) callSite {
	longest := ""
	for p := range a.sites {
		if len(p) > len(longest) && within(path, p) {
			longest = p
		}
	}
	return a.sites[longest]
}

// nodeOf is the path of the node in which a path lies, empty if it lies in none.
func (a *assembly) nodeOf(path string) string {
	longest := ""
	for p := range a.names {
		if len(p) > len(longest) && within(path, p) {
			longest = p
		}
	}
	return longest
}

// named is a path that begins with the id of its node instead of its place.
func (a *assembly) named(path string) string {
	if node := a.nodeOf(path); node != "" {
		return a.names[node] + strings.TrimPrefix(path, node)
	}
	return path
}
