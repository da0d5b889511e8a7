package transform

import (
	"fmt"
	"slices"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// Bounds of what a join holds where nothing is said.
const (
	DefaultJoinRows  = 1_000_000
	DefaultJoinBytes = 256 << 20
)

// The inputs of a join.
const (
	leftInput  = "left"
	rightInput = "right"
)

// What a join does with rows that have no match.
const (
	joinInner = "inner"
	joinLeft  = "left"
	joinRight = "right"
	joinFull  = "full"
	joinSemi  = "semi"
	joinAnti  = "anti"
)

var joins = []string{joinInner, joinLeft, joinRight, joinFull, joinSemi, joinAnti}

// JoinConfig is the "with" block of a node of the type join.
type JoinConfig struct {
	How         string `yaml:"how" doc:"inner keeps pairs; left, right and full keep rows of that side, or of both, without a match as well; semi keeps the rows of left that have a match, anti those that have none."`
	On          Pairs  `yaml:"on,required" doc:"The columns that have to be equal: a list of names, or a mapping of names in left to names in right. A null is equal to nothing."`
	RightPrefix string `yaml:"right_prefix" doc:"Put in front of the names of right's columns."`
	MaxRows     int    `yaml:"max_rows" doc:"How many rows are held at most, and made of one batch; the run fails beyond."`
	MaxBytes    int    `yaml:"max_bytes" doc:"How much memory the rows that are held take at most, in bytes; the run fails beyond."`
}

// Pairs are the columns by which rows are joined.
type Pairs []Pair

// Pair is one of [Pairs].
type Pair struct {
	Left, Right string
	path        string
}

// UnmarshalNode reads a list of names, or a mapping of names in left to names
// in right.
func (p *Pairs) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() {
		var named workflow.Mapping[string]
		errs := d.Decode(n, &named)
		for _, item := range named {
			*p = append(*p, Pair{Left: item.Key, Right: item.Value, path: workflow.KeyPath("on", item.Key)})
		}
		return errs
	}
	var names []string
	errs := d.Decode(n, &names)
	for i, name := range names {
		*p = append(*p, Pair{Left: name, Right: name, path: workflow.IndexPath("on", i)})
	}
	return errs
}

// MarshalTree writes a list if the names are the same in left and right.
func (p Pairs) MarshalTree() yamldoc.Tree {
	return renamedTree(p, func(pair Pair) (name, other string) { return pair.Left, pair.Right })
}

// YAMLType names the type in the documentation of the node type.
func (Pairs) YAMLType() string {
	return "list of columns, or mapping of column in left to column in right"
}

var joinType = workflow.TransformType[JoinConfig]{
	Name: "join",
	Doc: "Pairs the rows of left with those of right that are equal in some columns: from: {left: a, right: b}. " +
		"It holds the rows of right in memory, and those of left that come before right has ended. " +
		"The rows that leave have the columns of left, then those of right without the ones that are joined by; these have the value of the side that there is.",
	Example: "how: left\non: {station: id}\nright_prefix: station_",
	Inputs:  []string{leftInput, rightInput},
	Default: JoinConfig{How: joinInner, MaxRows: DefaultJoinRows, MaxBytes: DefaultJoinBytes},
	Plan:    planJoin,
}

// joinPlan is a checked configuration.
type joinPlan struct {
	how                 string
	schema              workflow.Schema
	leftKeys, rightKeys []int
	rest                []int // columns of right that leave
	width               int   // columns of left
	rowsMax, bytesMax   int
}

func planJoin(c *workflow.Check, config JoinConfig) workflow.TransformPlan {
	if !slices.Contains(joins, config.How) {
		c.Unknown("how", "kind of join", config.How, joins)
	}
	if len(config.On) == 0 {
		c.Report("on", "no columns to join by", "name at least one")
	}
	if config.MaxRows < 1 {
		c.Errorf("max_rows", "%d is out of range; expected 1 or more", config.MaxRows)
	}
	if config.MaxBytes < 1 {
		c.Errorf("max_bytes", "%d is out of range; expected 1 or more", config.MaxBytes)
	}
	left, right := c.InputOf(leftInput), c.InputOf(rightInput)
	p := joinPlan{how: config.How, width: left.Len(), rowsMax: config.MaxRows, bytesMax: config.MaxBytes}
	for _, pair := range config.On {
		l, inLeft := left.Index(pair.Left)
		r, inRight := right.Index(pair.Right)
		if !inLeft {
			c.Unknown(pair.path, "column of left", pair.Left, left.Names())
		}
		if !inRight {
			c.Unknown(pair.path, "column of right", pair.Right, right.Names())
		}
		if !inLeft || !inRight {
			continue
		}
		if a, b := left.Column(l).Kind, right.Column(r).Kind; a != b {
			c.Report(pair.path, fmt.Sprintf("%s of left is a %s, %s of right a %s", pair.Left, a, pair.Right, b), "convert one of them by a compute in front of the join")
		}
		p.leftKeys, p.rightKeys = append(p.leftKeys, l), append(p.rightKeys, r)
	}
	columns := left.Columns()
	if config.How != joinSemi && config.How != joinAnti {
		for i, column := range right.Columns() {
			if slices.Contains(p.rightKeys, i) {
				continue
			}
			column.Name = config.RightPrefix + column.Name
			if _, taken := left.Index(column.Name); taken {
				c.Report("", fmt.Sprintf("both sides have a column %q", column.Name), "set right_prefix, or rename it in front of the join")
				continue
			}
			p.rest = append(p.rest, i)
			columns = append(columns, column)
		}
	}
	if c.Failed() {
		return workflow.TransformPlan{}
	}
	schema, ok := c.Schema("", columns...)
	if !ok {
		return workflow.TransformPlan{}
	}
	p.schema = schema
	return workflow.TransformPlan{Schema: schema, New: func(*workflow.Env) (workflow.Transform, error) {
		return &join{joinPlan: p, right: map[string][]*joined{}}, nil
	}}
}
