package workflow

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/graphlayout"
)

// svgStyle has the colours of a drawing for light and for dark pages. The ground
// is part of it, so that a drawing can be read wherever it is shown.
const svgStyle = `
svg{--ground:#f5f6f8;--surface:#fff;--nest:#eceff3;--line:#8b96a3;--ink:#18212b;--quiet:#4a5663;--source:#0b6a8f;--transform:#5b4bb0;--sink:#1b7a4b;--task:#c2571a;--control:#8f5a00;font-family:Inter,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",Arial,sans-serif}
@media (prefers-color-scheme:dark){svg{--ground:#10151b;--surface:#171d25;--nest:#141a21;--line:#66727f;--ink:#e6ebf0;--quiet:#a9b5c1;--source:#66c0e0;--transform:#a99bf0;--sink:#62c795;--task:#f0995c;--control:#e9b45c}}
.ground{fill:var(--ground)}.title{fill:var(--ink);font-size:15px;font-weight:600}.about{fill:var(--quiet);font-size:12px}
.box{fill:var(--surface);stroke:var(--line)}.nest{fill:var(--nest);stroke-dasharray:6 4}
.id{fill:var(--ink);font-size:13px;font-weight:600}.type{fill:var(--quiet);font-size:11px}
.edge{fill:none;stroke:var(--line);stroke-width:1.6}.after{stroke-dasharray:5 4}.head{fill:var(--line)}
.label{fill:var(--quiet);font-size:11px;paint-order:stroke;stroke:var(--ground);stroke-width:3px}
.source{fill:var(--source)}.transform{fill:var(--transform)}.sink{fill:var(--sink)}.task{fill:var(--task)}.control{fill:var(--control)}
`

// SVG draws the graph of the definition: nodes with their types, edges over which
// rows go as lines, those of control as broken ones, the nodes of a foreach or a
// loop within its box. It is a document of its own, without scripts and without
// references, and adapts to light and dark.
//
// Errors: RESOURCE_EXHAUSTED for a graph that is too large to be drawn.
func (d *Definition) SVG() ([]byte, error) {
	g, err := d.draw()
	if err != nil {
		return nil, err
	}
	w := &svgWriter{}
	about := fitting(d.Description, g.layout.Width-2*drawMargin, drawSmallChar)
	top := float64(drawTitle)
	if about != "" {
		top += 18
	}
	width := math.Ceil(max(g.layout.Width, 2*drawMargin+drawIDChar*1.2*float64(utf8.RuneCountInString(d.Name))))
	w.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %[1]s %[2]s" role="img" aria-label="%s">`,
		pixels(width), pixels(math.Ceil(g.layout.Height+top)), escaped("The graph of the workflow "+d.Name))
	w.put("\n<style>%s</style>\n", svgStyle)
	w.put(`<rect class="ground" width="100%%" height="100%%"/><text class="title" x="%d" y="28">%s</text>`+"\n", drawMargin, escaped(d.Name))
	if about != "" {
		w.put(`<text class="about" x="%d" y="46">%s</text>`+"\n", drawMargin, escaped(about))
	}
	w.put(`<g transform="translate(0 %s)">`+"\n", pixels(top))
	for i, b := range g.layout.Boxes { // an outer node stands before those within it
		w.node(d.Nodes[i], b, g.holds[b.ID])
	}
	for i, r := range g.layout.Routes {
		w.arrow(g.arrows[i], r, g.layout)
	}
	w.put("</g>\n</svg>\n")
	return []byte(w.String()), nil
}

type svgWriter struct{ strings.Builder }

func (w *svgWriter) put(format string, args ...any) { fmt.Fprintf(&w.Builder, format, args...) }

func (w *svgWriter) node(n Node, b graphlayout.Box, holds bool) {
	class := "box"
	if holds {
		class = "box nest"
	}
	tip := n.ID + " (" + n.Type + ")"
	if n.Doc != "" {
		tip += "\n" + n.Doc
	}
	w.put(`<g><title>%s</title><rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="7"/>`,
		escaped(tip), class, pixels(b.X), pixels(b.Y), pixels(b.Width), pixels(b.Height))
	w.put(`<rect class="%s" x="%s" y="%s" width="4" height="26" rx="2"/>`, n.Role, pixels(b.X+7), pixels(b.Y+10))
	room := b.Width - drawTextRoom + 8
	w.put(`<text class="id" x="%s" y="%s">%s</text>`, pixels(b.X+18), pixels(b.Y+20), escaped(fitting(n.ID, room, drawIDChar)))
	w.put(`<text class="type" x="%s" y="%s">%s</text></g>`+"\n", pixels(b.X+18), pixels(b.Y+36), escaped(fitting(n.Type, room, drawSmallChar)))
}

// headLength is the length of the head of an arrow.
const headLength = 7

func (w *svgWriter) arrow(a arrow, r graphlayout.Route, l graphlayout.Layout) {
	down := l.Direction == graphlayout.Down
	points := r.Points
	last := points[len(points)-1]
	end := last
	if down {
		end.Y -= headLength
	} else {
		end.X -= headLength
	}
	class := "edge"
	if a.control {
		class = "edge after"
	}
	w.put(`<path class="%s" d="M%s`, class, at(points[0]))
	for i := 1; i < len(points); i++ {
		from, to := points[i-1], points[i]
		if i == len(points)-1 {
			to = end
		}
		switch {
		case i%2 == 0:
			w.put("L%s", at(to))
		case down:
			middle := (from.Y + to.Y) / 2
			w.put("C%s %s %s", at(graphlayout.Point{X: from.X, Y: middle}), at(graphlayout.Point{X: to.X, Y: middle}), at(to))
		default:
			middle := (from.X + to.X) / 2
			w.put("C%s %s %s", at(graphlayout.Point{X: middle, Y: from.Y}), at(graphlayout.Point{X: middle, Y: to.Y}), at(to))
		}
	}
	left, right := graphlayout.Point{X: end.X, Y: end.Y - 4}, graphlayout.Point{X: end.X, Y: end.Y + 4}
	if down {
		left, right = graphlayout.Point{X: end.X - 4, Y: end.Y}, graphlayout.Point{X: end.X + 4, Y: end.Y}
	}
	w.put(`"/><path class="head" d="M%sL%sL%sZ"/>`, at(left), at(last), at(right))
	w.label(a.leaves, points[0], down, false)
	w.label(a.enters, last, down, true)
	w.put("\n")
}

// label writes a name beside an end of an edge.
func (w *svgWriter) label(text string, p graphlayout.Point, down, atEnd bool) {
	if text == "" {
		return
	}
	x, y, anchor := p.X+5, p.Y-5, "start"
	switch {
	case down && atEnd:
		y = p.Y - headLength - 3
	case down:
		y = p.Y + 13
	case atEnd:
		x, anchor = p.X-headLength-3, "end"
	}
	w.put(`<text class="label" x="%s" y="%s" text-anchor="%s">%s</text>`, pixels(x), pixels(y), anchor, escaped(text))
}

func at(p graphlayout.Point) string { return pixels(p.X) + " " + pixels(p.Y) }

// pixels is a length with at most two digits behind the point.
func pixels(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".")
}

// escaped is a text for XML.
func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes all
	return b.String()
}
