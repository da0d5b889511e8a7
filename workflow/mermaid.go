package workflow

import (
	"fmt"
	"strconv"
	"strings"
)

// Mermaid writes the graph of the definition as a flowchart of Mermaid, which
// many places that show Markdown draw: edges over which rows go are lines, those
// of control dotted ones, a foreach or a loop is a subgraph around its nodes.
func (d *Definition) Mermaid() string {
	m := &mermaidWriter{names: make(map[string]string, len(d.Nodes)), within: map[string][]Node{}}
	for i, n := range d.Nodes {
		m.names[n.ID] = "n" + strconv.Itoa(i) // an id may be a word of Mermaid, such as end
		m.within[n.Parent] = append(m.within[n.Parent], n)
	}
	m.put("---\ntitle: %s\n---\nflowchart LR\n", quote(d.Name))
	m.nodes("", "  ")
	for _, a := range d.arrows() {
		line, label := "-->", a.leaves
		if a.control {
			line = "-.->"
		}
		if a.enters != "" {
			label = strings.TrimPrefix(label+" → "+a.enters, " ")
		}
		if label != "" {
			line += `|"` + mermaidText(label) + `"|`
		}
		m.put("  %s %s %s\n", m.names[a.from], line, m.names[a.to])
	}
	for _, role := range []Role{RoleSource, RoleTransform, RoleSink, RoleTask, RoleControl} {
		var of []string
		for _, n := range d.Nodes {
			if n.Role == role {
				of = append(of, m.names[n.ID])
			}
		}
		if len(of) > 0 {
			m.put("  classDef %s stroke:%s,stroke-width:2px\n  class %s %[1]s\n", role, mermaidColours[role], strings.Join(of, ","))
		}
	}
	return m.String()
}

// mermaidColours can be told from light and from dark grounds.
var mermaidColours = map[Role]string{
	RoleSource: "#2389b0", RoleTransform: "#7c6bd6", RoleSink: "#2f9c66", RoleTask: "#d97035", RoleControl: "#b17f1c",
}

type mermaidWriter struct {
	strings.Builder
	names  map[string]string
	within map[string][]Node
}

func (m *mermaidWriter) put(format string, args ...any) { fmt.Fprintf(&m.Builder, format, args...) }

func (m *mermaidWriter) nodes(parent, indent string) {
	for _, n := range m.within[parent] {
		text := `"` + mermaidText(n.ID) + "<br/>" + mermaidText(n.Type) + `"`
		if len(m.within[n.ID]) > 0 {
			m.put("%ssubgraph %s[%s]\n", indent, m.names[n.ID], text)
			m.nodes(n.ID, indent+"  ")
			m.put("%send\n", indent)
			continue
		}
		open, close := "[", "]"
		switch n.Role {
		case RoleSource, RoleSink:
			open, close = "[(", ")]"
		case RoleControl:
			open, close = "{{", "}}"
		}
		m.put("%s%s%s%s%s\n", indent, m.names[n.ID], open, text, close)
	}
}

// mermaidText escapes a text with Mermaid's codes of characters.
func mermaidText(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\"#&<>;`\\\n|{}[]()", r) {
			fmt.Fprintf(&b, "#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
