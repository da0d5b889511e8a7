package workflow

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// DiffKind says how something differs between two definitions.
type DiffKind string

// The kinds of differences.
const (
	DiffAdded   DiffKind = "added"
	DiffRemoved DiffKind = "removed"
	DiffChanged DiffKind = "changed"
	// DiffRenamed is a node that has another id, and nothing else is different.
	DiffRenamed DiffKind = "renamed"
)

// Diff is what differs between two definitions, as far as it matters: comments,
// layout and the order of nodes do not (but for which is the last in a loop), nor does a setting that is written out
// where its default is the same. Its lists are empty where nothing differs. Its
// String is for people, its JSON for programs.
type Diff struct {
	Workflow string `json:"workflow"`
	// From and To are the versions, 0 for a definition that is none.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Settings are those of the workflow itself, such as its description or its
	// output.
	Settings []DiffSetting `json:"settings,omitempty"`
	Inputs   []DiffPart    `json:"inputs,omitempty"`
	Nodes    []DiffPart    `json:"nodes,omitempty"`
	Edges    []DiffEdge    `json:"edges,omitempty"`
}

// Same reports whether both definitions say the same.
func (d *Diff) Same() bool { return len(d.Settings)+len(d.Inputs)+len(d.Nodes)+len(d.Edges) == 0 }

// DiffPart is a node or an input that differs.
type DiffPart struct {
	Kind DiffKind `json:"kind"`
	// Name is the id of the node or the name of the input, in the newer definition
	// if it is there.
	Name string `json:"name"`
	// Was is the former id of a node that was renamed.
	Was string `json:"was,omitempty"`
	// Type is the node type, or the type of the input.
	Type string `json:"type,omitempty"`
	// Settings are those that differ; of what was added or removed, all.
	Settings []DiffSetting `json:"settings,omitempty"`
}

// DiffSetting is one setting that differs.
type DiffSetting struct {
	// Path leads to it: "retry.max", "with.columns.date"; "in" is the foreach or
	// loop that a node lies in, "last" the node within one whose output is its own.
	Path string `json:"path"`
	// Old and New are its values, JSON; nil where there is none.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

// DiffEdge is an edge that only one of the definitions has. Edges of nodes that
// were renamed bear the new ids.
type DiffEdge struct {
	Kind   DiffKind `json:"kind"` // added or removed
	From   string   `json:"from"`
	Handle string   `json:"handle"`
	To     string   `json:"to"`
	Input  string   `json:"input,omitempty"`
	// Control tells that no rows go over it: To runs after From.
	Control bool `json:"control,omitempty"`
}

// Diff compares two versions of a workflow; 0 is the active one. Errors:
// NOT_FOUND, and those of the store.
func (e *Engine) Diff(ctx context.Context, name string, from, to int64) (Diff, error) {
	var definitions [2]*Definition
	for i, version := range []*int64{&from, &to} {
		if *version == 0 {
			active, err := e.active(ctx, name)
			if err != nil {
				return Diff{}, err
			}
			*version = active
		}
		var err error
		if definitions[i], err = e.Definition(ctx, name, *version); err != nil {
			return Diff{}, err
		}
	}
	d := DiffDefinitions(definitions[0], definitions[1])
	d.From, d.To = from, to
	return d, nil
}

// DiffDefinitions compares two definitions.
func DiffDefinitions(from, to *Definition) Diff {
	d := differ{from: newDiffSide(from), to: newDiffSide(to)}
	d.renamed = d.renames()
	out := Diff{Workflow: to.Name}
	out.Settings = d.settings("", d.from.rest, d.to.rest, yamldoc.Describe(definitionText{}))
	out.Inputs = d.inputs()
	out.Nodes = d.nodes()
	out.Edges = d.edges()
	return out
}

// diffSide is a definition as it is compared.
type diffSide struct {
	definition *Definition
	rest       tree // without inputs and nodes
	inputs     tree
	nodes      []diffNode
	byID       map[string]*diffNode
	edges      []DiffEdge
}

// diffNode is a node as it is compared.
type diffNode struct {
	id, kind, parent string
	last             string // of the nodes within it: its output is that of the node
	settings         tree   // without id, edges, and the nodes within it
	fields           []Field
}

func newDiffSide(d *Definition) *diffSide {
	document := d.document()
	s := &diffSide{definition: d, inputs: document.Get("inputs"), rest: document.Without("inputs", "nodes"), byID: map[string]*diffNode{}}
	s.collect(document.Get("nodes"), "", d.registry)
	for i := range s.nodes {
		s.byID[s.nodes[i].id] = &s.nodes[i]
	}
	for _, e := range d.Edges {
		s.edges = append(s.edges, DiffEdge{From: e.From, Handle: e.Handle, To: e.To, Input: e.Input})
	}
	for _, e := range d.After {
		s.edges = append(s.edges, DiffEdge{From: e.From, Handle: e.Handle, To: e.To, Control: true})
	}
	return s
}

func (s *diffSide) collect(list tree, parent string, r *Registry) {
	for _, n := range list.List {
		node := diffNode{id: n.Get("id").Text, kind: n.Get("type").Text, parent: parent, settings: n.Without("id", "type", "from", "after", "do")}
		node.fields = slices.Clone(nodeFields)
		if info, ok := r.Lookup(node.kind); ok {
			at := slices.IndexFunc(node.fields, func(f Field) bool { return f.Name == "with" })
			node.fields[at].Fields = info.Config
		}
		if inner := n.Get("do").List; len(inner) > 0 {
			node.last = inner[len(inner)-1].Get("id").Text
		}
		s.nodes = append(s.nodes, node)
		s.collect(n.Get("do"), node.id, r)
	}
}

type differ struct {
	from, to *diffSide
	renamed  map[string]string // new ids by old ones
}

// now is the id that a node of the older definition has in the newer one.
func (d *differ) now(id string) string {
	if to, ok := d.renamed[id]; ok {
		return to
	}
	return id
}

// stepReference finds the id of a node in an expression.
var stepReference = regexp.MustCompile(`\bsteps\s*(?:\.\s*|\[\s*["'])([A-Za-z][A-Za-z0-9_-]*)`)

// translated is a value of the older definition with references to nodes that
// were renamed turned into those to their new ids.
func (d *differ) translated(t tree) tree {
	if len(d.renamed) == 0 {
		return t
	}
	t.Text = stepReference.ReplaceAllStringFunc(t.Text, func(found string) string {
		id := stepReference.FindStringSubmatch(found)[1]
		return strings.TrimSuffix(found, id) + d.now(id)
	})
	t.List = slices.Clone(t.List)
	for i := range t.List {
		t.List[i] = d.translated(t.List[i])
	}
	t.Keys = slices.Clone(t.Keys)
	for i := range t.Keys {
		t.Keys[i].Value = d.translated(t.Keys[i].Value)
	}
	return t
}

func (d *differ) inputs() []DiffPart {
	fields := yamldoc.Describe(inputText{})
	var out []DiffPart
	for _, k := range d.from.inputs.Keys {
		is := d.to.inputs.Get(k.Name)
		part := DiffPart{Kind: DiffChanged, Name: k.Name, Type: k.Value.Get("type").Text, Settings: d.settings("", k.Value, is, fields)}
		if is.IsNull() {
			part.Kind = DiffRemoved
		} else {
			part.Type = is.Get("type").Text
		}
		if len(part.Settings) > 0 {
			out = append(out, part)
		}
	}
	for _, k := range d.to.inputs.Keys {
		if d.from.inputs.Get(k.Name).IsNull() {
			out = append(out, DiffPart{Kind: DiffAdded, Name: k.Name, Type: k.Value.Get("type").Text, Settings: d.settings("", tree{}, k.Value, fields)})
		}
	}
	return out
}

func (d *differ) nodes() []DiffPart {
	var out []DiffPart
	for i := range d.to.nodes {
		n := &d.to.nodes[i]
		was := d.before(n.id)
		if was == nil {
			out = append(out, DiffPart{Kind: DiffAdded, Name: n.id, Type: n.kind, Settings: d.nodeSettings(nil, n)})
			continue
		}
		part := DiffPart{Kind: DiffChanged, Name: n.id, Type: n.kind, Settings: d.nodeSettings(was, n)}
		if was.id != n.id {
			part.Kind, part.Was = DiffRenamed, was.id
		}
		if len(part.Settings) > 0 || part.Kind == DiffRenamed {
			out = append(out, part)
		}
	}
	for i := range d.from.nodes {
		if n := &d.from.nodes[i]; d.to.byID[d.now(n.id)] == nil {
			out = append(out, DiffPart{Kind: DiffRemoved, Name: n.id, Type: n.kind, Settings: d.nodeSettings(n, nil)})
		}
	}
	return out
}

// before finds what a node of the newer definition was in the older one.
func (d *differ) before(id string) *diffNode {
	for old, now := range d.renamed {
		if now == id {
			return d.from.byID[old]
		}
	}
	return d.from.byID[id]
}

// nodeSettings compares two nodes, one of which may be nil.
func (d *differ) nodeSettings(was, is *diffNode) []DiffSetting {
	of := func(n *diffNode, old bool) tree {
		if n == nil {
			return tree{}
		}
		t := tree{Tag: yamldoc.TagMap, Keys: []yamldoc.TreeKey{{Name: "type", Value: yamldoc.TextTree(n.kind)}}}
		for _, place := range []struct{ name, id string }{{"in", n.parent}, {"last", n.last}} {
			if place.id != "" && old {
				place.id = d.now(place.id)
			}
			if place.id != "" {
				t.Keys = append(t.Keys, yamldoc.TreeKey{Name: place.name, Value: yamldoc.TextTree(place.id)})
			}
		}
		t.Keys = append(t.Keys, n.settings.Keys...)
		if old {
			return d.translated(t)
		}
		return t
	}
	a, b := of(was, true), of(is, false)
	if was == nil || is == nil {
		a, b = a.Without("type"), b.Without("type") // the part tells it
	}
	some := is
	if is == nil {
		some = was
	}
	return d.settings("", a, b, some.fields)
}

// settings compares what lies at a path.
func (d *differ) settings(path string, a, b tree, fields []Field) []DiffSetting {
	var out []DiffSetting
	names := make([]string, 0, len(a.Keys)+len(b.Keys))
	for _, k := range slices.Concat(a.Keys, b.Keys) {
		if !slices.Contains(names, k.Name) {
			names = append(names, k.Name)
		}
	}
	for _, name := range names {
		field := Field{Name: name}
		if i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name }); i >= 0 {
			field = fields[i]
		}
		out = append(out, d.setting(KeyPath(path, name), a.Get(name), b.Get(name), field)...)
	}
	return out
}

func (d *differ) setting(path string, a, b tree, field Field) []DiffSetting {
	isDefault := func(given, other tree) bool {
		return other.IsNull() && field.Default != "" && given.Text == field.Default
	}
	switch {
	case a.Equal(b), isDefault(a, b), isDefault(b, a):
		return nil
	case a.Tag == yamldoc.TagMap && b.Tag == yamldoc.TagMap || a.Tag == yamldoc.TagMap && b.IsNull() || b.Tag == yamldoc.TagMap && a.IsNull():
		if inner := d.settings(path, a, b, field.Fields); len(inner) > 0 || len(field.Fields) > 0 {
			return inner
		}
		// Only the order of its keys differs, or it is there and empty.
	case a.Tag == yamldoc.TagList && b.Tag == yamldoc.TagList && len(a.List) == len(b.List):
		if d.structured(a) || d.structured(b) {
			var out []DiffSetting
			for i := range a.List {
				out = append(out, d.setting(IndexPath(path, i), a.List[i], b.List[i], Field{Fields: field.Fields})...)
			}
			return out
		}
	}
	return []DiffSetting{{Path: path, Old: jsonOf(a), New: jsonOf(b)}}
}

// structured reports whether a list has lists or mappings in it.
func (d *differ) structured(t tree) bool {
	return slices.ContainsFunc(t.List, func(e tree) bool { return e.Tag == yamldoc.TagList || e.Tag == yamldoc.TagMap })
}

func jsonOf(t tree) json.RawMessage {
	if t.IsNull() {
		return nil
	}
	out, _ := t.MarshalJSON() // of texts, which does not fail
	return out
}

func (d *differ) edges() []DiffEdge {
	var out []DiffEdge
	before := map[DiffEdge]bool{}
	for _, e := range d.from.edges {
		e.From, e.To = d.now(e.From), d.now(e.To)
		before[e] = true
	}
	after := map[DiffEdge]bool{}
	for _, e := range d.to.edges {
		after[e] = true
		if !before[e] {
			e.Kind = DiffAdded
			out = append(out, e)
		}
	}
	for _, e := range d.from.edges {
		e.From, e.To = d.now(e.From), d.now(e.To)
		if !after[e] {
			e.Kind = DiffRemoved
			out = append(out, e)
		}
	}
	return out
}
