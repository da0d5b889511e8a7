package yamldoc

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// coreTags are the types a value can have; a document may also write them out.
var coreTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp"}

// structureCheck walks a document once, without following aliases into the
// same value again, and remembers how large each value is with its aliases
// expanded.
type structureCheck struct {
	doc    *Document
	limits Limits
	sizes  map[*yaml.Node]size
	errs   Errors // limits that are exceeded
}

// size is the extent of a value with its aliases expanded.
type size struct {
	nodes int
	depth int
	open  bool // still being measured: met again, it contains itself
}

// checkStructure returns the limits that d exceeds, and keeps its flaws in d.
func (d *Document) checkStructure(limits Limits) Errors {
	d.flaws = map[*yaml.Node]Errors{}
	c := &structureCheck{doc: d, limits: limits, sizes: map[*yaml.Node]size{}}
	c.measure(d.Root(), 1)
	return c.errs
}

func (c *structureCheck) fail(n Node, format string, args ...any) {
	c.errs = append(c.errs, n.Errorf(format, args...))
}

// measure returns the extent of n, and reports what is wrong below it. It
// stops at the first limit that is exceeded: the rest would only repeat it.
func (c *structureCheck) measure(n Node, depth int) size {
	if n.y.Kind == yaml.AliasNode {
		return c.measureAlias(n, depth)
	}
	if depth > c.limits.DepthMax {
		c.fail(n, "nested deeper than %d levels", c.limits.DepthMax)
		return size{nodes: 1, depth: 1}
	}
	if s, seen := c.sizes[n.y]; seen {
		return s
	}
	c.sizes[n.y] = size{open: true}
	c.checkTag(n)
	total := size{nodes: 1, depth: 1}
	keys := map[string]Pos{}
	for i, child := range n.y.Content {
		sub := Node{doc: n.doc, y: child, path: n.path}
		switch {
		case n.y.Kind == yaml.SequenceNode:
			sub.path = indexPath(n.path, i)
		case i%2 == 0:
			c.checkKey(n, sub, keys)
		default:
			sub.path = keyPath(n.path, n.y.Content[i-1].Value)
		}
		s := c.measure(sub, depth+1)
		total.nodes += s.nodes
		total.depth = max(total.depth, s.depth+1)
		if total.nodes > c.limits.NodesMax {
			c.fail(sub, "more than %d values", c.limits.NodesMax)
			total.nodes = 1
			break
		}
	}
	c.sizes[n.y] = total
	return total
}

func (c *structureCheck) measureAlias(n Node, depth int) size {
	target := Node{doc: n.doc, y: n.y.Alias, path: n.path}
	s, seen := c.sizes[target.y]
	if !seen { // possible only where a mistake was found before it
		return size{nodes: 1, depth: 1}
	}
	switch {
	case s.open:
		c.fail(n, "the alias *%s stands inside of what it repeats", n.y.Value)
		return size{nodes: 1, depth: 1}
	case depth+s.depth-1 > c.limits.DepthMax:
		c.fail(n, "nested deeper than %d levels by the alias *%s", c.limits.DepthMax, n.y.Value)
		return size{nodes: 1, depth: 1}
	}
	return s
}

func (c *structureCheck) checkTag(n Node) {
	if n.y.Style&yaml.TaggedStyle == 0 {
		return
	}
	if tag := n.y.ShortTag(); !slices.Contains(coreTags, tag) {
		c.flaw(n, n.Errorf("the tag %s is not supported", tag))
	}
}

// checkKey reports a key of a mapping that is not a plain name or stands twice.
func (c *structureCheck) checkKey(mapping, key Node, seen map[string]Pos) {
	if key.y.Kind != yaml.ScalarNode {
		c.flaw(mapping, key.Errorf("a key must be a text, not %s", describe(key.y)))
		return
	}
	if key.y.Tag == "!!merge" {
		c.flaw(mapping, key.Errorf("the merge key << is not supported; expected the keys written out"))
		return
	}
	key.path = keyPath(mapping.path, key.y.Value)
	if first, twice := seen[key.y.Value]; twice {
		err := key.Errorf("the key stands twice")
		err.Hint = fmt.Sprintf("it stands first at %d:%d", first.Line, first.Column)
		c.flaw(mapping, err)
		return
	}
	seen[key.y.Value] = key.Pos()
}

func (c *structureCheck) flaw(of Node, err *Error) {
	c.doc.flaws[of.y] = append(c.doc.flaws[of.y], err)
}

// flawsBelow are the flaws of n and of everything in it. Aliases are left out:
// what they repeat stands elsewhere.
func (n Node) flawsBelow() Errors {
	if len(n.doc.flaws) == 0 {
		return nil
	}
	errs := n.doc.flaws[n.y]
	for _, child := range n.y.Content {
		errs = append(slices.Clip(errs), Node{doc: n.doc, y: child}.flawsBelow()...)
	}
	return errs
}
