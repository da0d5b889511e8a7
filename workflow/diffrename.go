package workflow

import (
	"maps"
	"slices"
)

// A node was renamed if it is the only one that was removed, and the other one
// the only one that was added, of the same type, settings and place, and if what
// leads into them and out of them is the same but for their ids.

// renames finds the nodes that were renamed, as new ids by old ones. They are
// paired in rounds: a node that is found tells others like it apart.
func (d *differ) renames() map[string]string {
	d.renamed = map[string]string{}
	for {
		found := d.renameRound()
		if len(found) == 0 {
			break
		}
		maps.Copy(d.renamed, found)
	}
	for d.dropDoubtful() {
	}
	return d.renamed
}

// renameRound pairs the nodes for which there is but one choice.
func (d *differ) renameRound() map[string]string {
	taken := map[string]bool{}
	for _, to := range d.renamed {
		taken[to] = true
	}
	choices, chosen := map[string][]string{}, map[string]int{}
	for i := range d.from.nodes {
		was := &d.from.nodes[i]
		if d.renamed[was.id] != "" || d.to.byID[was.id] != nil {
			continue
		}
		for j := range d.to.nodes {
			is := &d.to.nodes[j]
			if d.from.byID[is.id] == nil && !taken[is.id] && d.alike(was, is, false) {
				choices[was.id] = append(choices[was.id], is.id)
				chosen[is.id]++
			}
		}
	}
	found := map[string]string{}
	for was, all := range choices {
		if len(all) == 1 && chosen[all[0]] == 1 {
			found[was] = all[0]
		}
	}
	return found
}

// dropDoubtful takes back pairs whose edges turned out not to be the same.
func (d *differ) dropDoubtful() bool {
	dropped := false
	for was, is := range d.renamed {
		if !d.alike(d.from.byID[was], d.to.byID[is], true) {
			delete(d.renamed, was)
			dropped = true
		}
	}
	return dropped
}

// alike reports whether two nodes may be the same one under another id. As long
// as not all names are known, a node that is in one of the definitions only may
// be any.
func (d *differ) alike(was, is *diffNode, strict bool) bool {
	old := func(id string) string {
		if d.to.byID[d.now(id)] == nil && !strict {
			return "?"
		}
		return d.now(id)
	}
	known := map[string]bool{}
	for _, to := range d.renamed {
		known[to] = true
	}
	now := func(id string) string {
		if d.from.byID[id] == nil && !known[id] && !strict {
			return "?"
		}
		return id
	}
	if was.kind != is.kind || was.parent != "" && is.parent == "" || was.parent == "" && is.parent != "" ||
		was.parent != "" && old(was.parent) != now(is.parent) {
		return false
	}
	if strict && !d.translated(was.settings).Equal(is.settings) || !strict && !anonymous(was.settings).Equal(anonymous(is.settings)) {
		return false
	}
	return slices.Equal(links(d.from.edges, was.id, old), links(d.to.edges, is.id, now))
}

// anonymous is a value without the ids of the nodes that its expressions refer to.
func anonymous(t tree) tree {
	t.Text = stepReference.ReplaceAllString(t.Text, "steps.?")
	t.List = slices.Clone(t.List)
	for i := range t.List {
		t.List[i] = anonymous(t.List[i])
	}
	t.Keys = slices.Clone(t.Keys)
	for i := range t.Keys {
		t.Keys[i].Value = anonymous(t.Keys[i].Value)
	}
	return t
}

// links lists the edges of a node, sorted, by the names of the nodes at their
// other ends.
func links(edges []DiffEdge, id string, name func(string) string) []string {
	var out []string
	for _, e := range edges {
		kind := " "
		if e.Control {
			kind = "!"
		}
		switch id {
		case e.From:
			out = append(out, "to "+name(e.To)+kind+e.Handle+kind+e.Input)
		case e.To:
			out = append(out, "from "+name(e.From)+kind+e.Handle+kind+e.Input)
		}
	}
	slices.Sort(out)
	return out
}
