package transform

import (
	"fmt"
	"slices"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// Defaults of what an aggregate may hold.
const (
	DefaultMaxGroups   = 1_000_000
	DefaultMaxDistinct = 1_000_000
)

// AggregateConfig is the "with" block of a node of the type aggregate.
type AggregateConfig struct {
	By          Keys                        `yaml:"by" doc:"What to group by: a list of columns, or a mapping of names to expressions. Without it all rows are one group."`
	Columns     workflow.Mapping[Aggregate] `yaml:"columns,required" doc:"The aggregates by the name of their column: count for the number of rows, or {FUNCTION: EXPRESSION}."`
	MaxGroups   int                         `yaml:"max_groups" doc:"How many groups are held at most; the run fails beyond."`
	MaxDistinct int                         `yaml:"max_distinct" doc:"How many values all count_distinct of the node remember at most; the run fails beyond."`
}

// Keys is what rows are grouped by.
type Keys []Key

// Key is one of [Keys].
type Key struct {
	Name string
	Expr workflow.Expr
	path string // where Expr stands
}

// UnmarshalNode reads a column, a list of columns, or a mapping of names to
// expressions.
func (k *Keys) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() {
		var named workflow.Mapping[workflow.Expr]
		errs := d.Decode(n, &named)
		for _, item := range named {
			*k = append(*k, Key{Name: item.Key, Expr: item.Value, path: workflow.KeyPath("by", item.Key)})
		}
		return errs
	}
	var names []string
	errs := d.Decode(n, &names)
	for i, name := range names {
		*k = append(*k, Key{Name: name, path: workflow.IndexPath("by", i)})
	}
	return errs
}

// MarshalTree writes a list if all are columns.
func (k Keys) MarshalTree() yamldoc.Tree {
	list, named := yamldoc.Tree{Tag: yamldoc.TagList}, yamldoc.Tree{Tag: yamldoc.TagMap}
	computed := false
	for _, key := range k {
		list.List = append(list.List, yamldoc.TextTree(key.Name))
		expr := key.Expr
		if expr == "" {
			expr = workflow.Expr(key.Name)
		}
		named.Keys = append(named.Keys, yamldoc.TreeKey{Name: key.Name, Value: yamldoc.TreeOf(expr)})
		computed = computed || key.Expr != ""
	}
	if computed {
		return named
	}
	return list
}

// YAMLType names the type in the documentation of the node type.
func (Keys) YAMLType() string { return "list of columns, or mapping of name to expression" }

// Aggregate is a function and the expression whose values it takes.
type Aggregate struct {
	Function string
	Expr     workflow.Expr // empty: rows are counted
}

// UnmarshalNode reads count, or a mapping of one function to an expression.
func (a *Aggregate) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsString() {
		a.Function = n.Text()
		if a.Function != countRows {
			err := n.Errorf("%q is no aggregate", n.Text())
			err.Hint = "write count for the number of rows, or a mapping such as {sum: precipitation}"
			return yamldoc.Errors{err}
		}
		return nil
	}
	if !n.IsMapping() || n.Len() != 1 {
		err := n.Errorf("expected count, or a mapping of one function to an expression")
		err.Hint = "such as {sum: precipitation}"
		return yamldoc.Errors{err}
	}
	entry := n.Entries()[0]
	a.Function = entry.Key.Text()
	if functions[a.Function] == nil {
		return yamldoc.Errors{entry.Key.Unknown("function", a.Function, functionNames)}
	}
	return d.Decode(entry.Value, &a.Expr)
}

// MarshalTree writes count, or a mapping of the function to its expression.
func (a Aggregate) MarshalTree() yamldoc.Tree {
	if a.Expr == "" {
		return yamldoc.TextTree(a.Function)
	}
	return yamldoc.Tree{Tag: yamldoc.TagMap, Keys: []yamldoc.TreeKey{{Name: a.Function, Value: yamldoc.TreeOf(a.Expr)}}}
}

// YAMLType names the type in the documentation of the node type.
func (Aggregate) YAMLType() string { return "count, or mapping of function to expression" }

var aggregateType = workflow.TransformType[AggregateConfig]{
	Name: "aggregate",
	Doc: "Groups rows and gives one row for each group, sorted by what they are grouped by. " +
		"Functions: count, count_if, count_distinct, sum, avg, min, max, first, last. As in SQL they leave nulls out, and give null where nothing is left, the counts 0. " +
		"Sums are exact and rounded once, so they do not depend on the order of rows; first and last do.",
	Example: `by: [year, month]
columns:
  days: count
  rain_mm: {sum: precipitation}
  warm_days: {count_if: temp_max >= 25.0}`,
	Default: AggregateConfig{MaxGroups: DefaultMaxGroups, MaxDistinct: DefaultMaxDistinct},
	Plan:    planAggregate,
}

func planAggregate(c *workflow.Check, config AggregateConfig) workflow.TransformPlan {
	a, ok := planGroups(c, config, nil)
	if !ok {
		return workflow.TransformPlan{}
	}
	return workflow.TransformPlan{
		Schema: a.schema,
		New:    func(*workflow.Env) (workflow.Transform, error) { return newAggregate(a), nil },
	}
}

// planGroups checks what to group by and what to fold. The groups have further
// keys, and columns for them, in front.
func planGroups(c *workflow.Check, config AggregateConfig, keys []key, columns ...workflow.Column) (aggregatePlan, bool) {
	a := aggregatePlan{keys: keys, groupsMax: config.MaxGroups, distinctMax: config.MaxDistinct}
	for _, k := range config.By {
		key, kind, ok := planKey(c, k)
		if !ok {
			continue
		}
		a.keys = append(a.keys, key)
		columns = append(columns, workflow.Column{Name: k.Name, Kind: kind})
	}
	for _, item := range config.Columns {
		m, ok := planMeasure(c, item.Key, item.Value)
		if !ok {
			continue
		}
		a.measures = append(a.measures, m)
		columns = append(columns, workflow.Column{Name: item.Key, Kind: m.kind})
	}
	if len(config.Columns) == 0 {
		c.Report("columns", "there is nothing to aggregate", "add NAME: count, or NAME: {sum: EXPRESSION}")
	}
	for path, limit := range map[string]int{"max_groups": config.MaxGroups, "max_distinct": config.MaxDistinct} {
		if limit < 1 {
			c.Errorf(path, "%d is out of range; expected 1 or more", limit)
		}
	}
	if c.Failed() {
		return a, false
	}
	schema, ok := c.Schema("columns", columns...)
	a.schema = schema
	return a, ok
}

// planKey checks one of what to group by.
func planKey(c *workflow.Check, k Key) (key, workflow.Kind, bool) {
	if k.Expr == "" {
		at, column, ok := c.Column(k.path, k.Name)
		return key{name: k.Name, of: operand{column: at}}, column.Kind, ok
	}
	program, ok := c.Compile(k.path, k.Expr)
	if !ok {
		return key{}, workflow.KindNull, false
	}
	return key{name: k.Name, of: operandOf(c.Input(), program)}, program.Kind(), true
}

// planMeasure checks one aggregate.
func planMeasure(c *workflow.Check, name string, config Aggregate) (measure, bool) {
	m := measure{name: name, function: config.Function, kind: workflow.KindInt}
	if config.Expr == "" && config.Function == countRows {
		m.rows = true
		m.start = func(*aggregate) accumulator { return &count{} }
		return m, true
	}
	path := workflow.KeyPath(workflow.KeyPath("columns", name), config.Function)
	program, ok := c.Compile(path, config.Expr)
	if !ok {
		return m, false
	}
	f := functions[config.Function]
	if len(f.takes) > 0 && !slices.Contains(f.takes, program.Kind()) {
		c.Report(path, fmt.Sprintf("%s does not take values of the type %s", config.Function, program.Kind()), fmt.Sprintf("expected %s", kinds(f.takes)))
		return m, false
	}
	m.of = operandOf(c.Input(), program)
	if f.gives != nil {
		m.kind = f.gives(program.Kind())
	}
	kind := program.Kind()
	m.start = func(a *aggregate) accumulator { return f.start(a, kind) }
	return m, true
}
