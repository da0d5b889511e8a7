package workflow

import (
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// tree is the value of a document without how it is written.
type tree = yamldoc.Tree

// YAML writes the definition in its canonical form: the same keys and values,
// without comments, always in the same order and style. Two texts that say the
// same, but for the order of their nodes, have the same canonical form, and a
// definition that is read from it is the same one.
func (d *Definition) YAML() ([]byte, error) {
	text, err := d.document().YAML()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "workflow.Definition.YAML", err)
	}
	return text, nil
}

// document is the value of the definition's text in its canonical form.
func (d *Definition) document() tree {
	document, err := yamldoc.Parse(d.File, d.text, yamldoc.Limits{BytesMax: FileBytesMax})
	if err != nil {
		return tree{} // not of a definition that was read
	}
	return canonicalDocument(document.Root().Tree(), d.registry)
}

// canonicalDocument puts a definition into its canonical form.
func canonicalDocument(t tree, r *Registry) tree {
	t = t.Shaped(yamldoc.Describe(definitionText{}))
	for i, k := range t.Keys {
		switch k.Name {
		case "inputs":
			for j, input := range k.Value.Keys {
				k.Value.Keys[j].Value = canonicalInput(input.Value.Shaped(yamldoc.Describe(inputText{})))
			}
		case "nodes":
			t.Keys[i].Value = canonicalNodes(k.Value, r)
		case "schedules":
			for j, s := range k.Value.Keys {
				k.Value.Keys[j].Value = s.Value.Shaped(scheduleFields)
			}
		case "triggers":
			for j, s := range k.Value.Keys {
				k.Value.Keys[j].Value = canonicalTrigger(s.Value.Shaped(triggerFields), r)
			}
		}
	}
	return t
}

// canonicalInput writes the default of an input as a value of its type.
func canonicalInput(input tree) tree {
	kind, err := ParseKind(input.Get("type").Text)
	if err != nil {
		return input
	}
	for i, k := range input.Keys {
		if k.Name != "default" || k.Value.Tag == yamldoc.TagMap || k.Value.Tag == yamldoc.TagList {
			continue
		}
		if v, err := ParseValue(kind, k.Value.Text); err == nil {
			input.Keys[i].Value = v.tree()
		}
	}
	return input
}

func canonicalNodes(list tree, r *Registry) tree {
	out := tree{Tag: yamldoc.TagList}
	for _, n := range list.List {
		n = n.Shaped(nodeFields)
		kind := n.Get("type").Text
		for i, k := range n.Keys {
			switch k.Name {
			case "from":
				n.Keys[i].Value = canonicalReferences(k.Value, OutHandle)
			case "after":
				n.Keys[i].Value = canonicalReferences(k.Value, doneHandle)
			case "with":
				n.Keys[i].Value = canonicalWith(k.Value, kind, r)
			case "undo":
				for j, of := range k.Value.Keys {
					if of.Name == "with" {
						k.Value.Keys[j].Value = canonicalWith(of.Value, k.Value.Get("type").Text, r)
					}
				}
			case "do":
				n.Keys[i].Value = canonicalNodes(k.Value, r)
			}
		}
		out.List = append(out.List, n)
	}
	return out
}

// nodeFields describe the keys of a node.
var nodeFields = yamldoc.Describe(nodeText{})

// scheduleFields and triggerFields describe the schedules and triggers of a
// definition.
var (
	scheduleFields = yamldoc.Describe(scheduleText{})
	triggerFields  = yamldoc.Describe(triggerText{})
)

func canonicalTrigger(t tree, r *Registry) tree {
	kind := r.triggers[t.Get("kind").Text]
	for i, k := range t.Keys {
		if k.Name == "with" && kind != nil {
			t.Keys[i].Value = k.Value.Shaped(kind.Info().Config)
		}
	}
	return t
}

// canonicalWith puts a with block into the order in which its type has its keys.
func canonicalWith(with tree, kind string, r *Registry) tree {
	info, ok := r.Lookup(kind)
	if !ok {
		return with
	}
	return with.Shaped(info.Config)
}

// canonicalReferences writes one reference as a text, several as a list, without
// the handle that is meant where none is named.
func canonicalReferences(t tree, usual string) tree {
	switch t.Tag {
	case yamldoc.TagMap:
		out := tree{Tag: yamldoc.TagMap}
		for _, k := range t.Keys {
			out.Keys = append(out.Keys, yamldoc.TreeKey{Name: k.Name, Value: canonicalReferences(k.Value, usual)})
		}
		return out
	case yamldoc.TagList:
		if len(t.List) == 1 {
			return canonicalReferences(t.List[0], usual)
		}
		out := tree{Tag: yamldoc.TagList}
		for _, e := range t.List {
			out.List = append(out.List, canonicalReferences(e, usual))
		}
		return out
	}
	if id, handle, named := strings.Cut(t.Text, "."); named && handle == usual {
		t.Text = id
	}
	return t
}
