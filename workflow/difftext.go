package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
)

// String is the difference for people, some lines, each of which begins with + for
// what was added, - for what was removed and ~ for what changed.
func (d *Diff) String() string {
	w := &diffWriter{}
	switch {
	case d.From > 0 && d.To > 0:
		w.put("%s: version %d → %d\n", d.Workflow, d.From, d.To)
	default:
		w.put("%s\n", d.Workflow)
	}
	if d.Same() {
		w.put("no difference\n")
	}
	for _, s := range d.Settings {
		w.setting("", s)
	}
	for _, p := range d.Inputs {
		w.part("input", p)
	}
	for _, p := range d.Nodes {
		w.part("node", p)
	}
	for _, e := range d.Edges {
		arrow, from, to := "→", e.From, e.To
		if e.Control {
			arrow = "⇢"
		}
		if e.Handle != OutHandle && e.Handle != doneHandle {
			from += "." + e.Handle
		}
		if e.Input != "" {
			to += " (" + e.Input + ")"
		}
		w.put("%s edge %s %s %s\n", signs[e.Kind], from, arrow, to)
	}
	return w.String()
}

var signs = map[DiffKind]string{DiffAdded: "+", DiffRemoved: "-", DiffChanged: "~", DiffRenamed: "~"}

type diffWriter struct{ strings.Builder }

func (w *diffWriter) put(format string, args ...any) { fmt.Fprintf(&w.Builder, format, args...) }

func (w *diffWriter) part(what string, p DiffPart) {
	if p.Kind == DiffRenamed {
		w.put("~ %s %s was %s (%s)\n", what, p.Name, p.Was, p.Type)
	} else {
		w.put("%s %s %s (%s)\n", signs[p.Kind], what, p.Name, p.Type)
	}
	for _, s := range p.Settings {
		w.setting("    ", s)
	}
}

// setting writes one setting; a text of several lines is written line by line,
// without those that both have at the beginning and at the end.
func (w *diffWriter) setting(indent string, s DiffSetting) {
	sign := "~ "
	switch {
	case s.Old == nil:
		sign = "+ "
	case s.New == nil:
		sign = "- "
	}
	was, is, lines := textLines(s)
	if !lines {
		switch {
		case s.Old == nil:
			w.put("%s%s%s: %s\n", indent, sign, s.Path, shown(s.New))
		case s.New == nil:
			w.put("%s%s%s: %s\n", indent, sign, s.Path, shown(s.Old))
		default:
			w.put("%s%s%s: %s → %s\n", indent, sign, s.Path, shown(s.Old), shown(s.New))
		}
		return
	}
	w.put("%s%s%s:\n", indent, sign, s.Path)
	same := 0
	for same < min(len(was), len(is)) && was[same] == is[same] {
		same++
	}
	was, is = was[same:], is[same:]
	for len(was) > 0 && len(is) > 0 && was[len(was)-1] == is[len(is)-1] {
		was, is = was[:len(was)-1], is[:len(is)-1]
	}
	for _, line := range was {
		w.put("%s    - %s\n", indent, line)
	}
	for _, line := range is {
		w.put("%s    + %s\n", indent, line)
	}
}

// unescaped takes back what encoding/json does for HTML.
var unescaped = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

func shown(data json.RawMessage) string { return unescaped.Replace(string(data)) }

// textLines are the lines of the values of a setting, if one of them is a text of
// several.
func textLines(s DiffSetting) (was, is []string, several bool) {
	split := func(data json.RawMessage) []string {
		var text string
		if data == nil || json.Unmarshal(data, &text) != nil {
			return nil
		}
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	was, is = split(s.Old), split(s.New)
	return was, is, len(was) > 1 || len(is) > 1
}
