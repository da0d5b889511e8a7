package transform

import (
	"context"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

// SelectConfig is the "with" block of a node of the type select.
type SelectConfig struct {
	Columns Selection `yaml:"columns,required" doc:"The columns to keep, in their new order: a list of names, or a mapping of new names to present ones."`
}

// Selection is a list of columns with the names they get.
type Selection []Selected

// Selected is one column of a [Selection].
type Selected struct {
	Name   string // what it is called from here on
	Column string // what it was called
	path   string // where Column stands
}

// UnmarshalNode reads a list of names, or a mapping of new to present names.
func (s *Selection) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() {
		var named workflow.Mapping[string]
		errs := d.Decode(n, &named)
		for _, item := range named {
			*s = append(*s, Selected{Name: item.Key, Column: item.Value, path: workflow.KeyPath("columns", item.Key)})
		}
		return errs
	}
	var names []string
	errs := d.Decode(n, &names)
	for i, name := range names {
		*s = append(*s, Selected{Name: name, Column: name, path: workflow.IndexPath("columns", i)})
	}
	return errs
}

// MarshalTree writes a list if no column gets another name.
func (s Selection) MarshalTree() yamldoc.Tree {
	return renamedTree(s, func(c Selected) (name, other string) { return c.Name, c.Column })
}

// renamedTree is a list of names, or a mapping if one of them stands for another.
func renamedTree[E any](all []E, pair func(E) (name, other string)) yamldoc.Tree {
	list, named := yamldoc.Tree{Tag: yamldoc.TagList}, yamldoc.Tree{Tag: yamldoc.TagMap}
	differ := false
	for _, e := range all {
		name, other := pair(e)
		list.List = append(list.List, yamldoc.TextTree(name))
		named.Keys = append(named.Keys, yamldoc.TreeKey{Name: name, Value: yamldoc.TextTree(other)})
		differ = differ || name != other
	}
	if differ {
		return named
	}
	return list
}

// YAMLType names the type in the documentation of the node type.
func (Selection) YAMLType() string { return "list of columns, or mapping of new name to column" }

var selectType = workflow.TransformType[SelectConfig]{
	Name: "select",
	Doc:  "Keeps the columns that are named, in that order, under the same or other names.",
	Example: `columns:
  day: date
  rain_mm: precipitation`,
	Parallel: true,
	Plan: func(c *workflow.Check, config SelectConfig) workflow.TransformPlan {
		if len(config.Columns) == 0 {
			c.Report("columns", "no columns are selected", "name at least one")
		}
		var columns []workflow.Column
		var from []int
		for _, s := range config.Columns {
			if at, column, ok := c.Column(s.path, s.Column); ok {
				columns = append(columns, workflow.Column{Name: s.Name, Kind: column.Kind})
				from = append(from, at)
			}
		}
		return planProjection(c, columns, from)
	},
}

// RenameConfig is the "with" block of a node of the type rename.
type RenameConfig struct {
	Columns workflow.Mapping[string] `yaml:"columns,required" doc:"The new names by the present ones. All other columns stay as they are."`
}

var renameType = workflow.TransformType[RenameConfig]{
	Name:     "rename",
	Doc:      "Gives columns other names and leaves the rest as it is.",
	Example:  `columns: {precipitation: rain_mm}`,
	Parallel: true,
	Plan: func(c *workflow.Check, config RenameConfig) workflow.TransformPlan {
		columns := c.Input().Columns()
		from := make([]int, len(columns))
		for i := range from {
			from[i] = i
		}
		for _, item := range config.Columns {
			if at, _, ok := c.Column(workflow.KeyPath("columns", item.Key), item.Key); ok {
				columns[at].Name = item.Value
			}
		}
		return planProjection(c, columns, from)
	},
}

func planProjection(c *workflow.Check, columns []workflow.Column, from []int) workflow.TransformPlan {
	if c.Failed() {
		return workflow.TransformPlan{}
	}
	schema, ok := c.Schema("columns", columns...)
	if !ok {
		return workflow.TransformPlan{}
	}
	return workflow.TransformPlan{
		Schema: schema,
		New:    func(*workflow.Env) (workflow.Transform, error) { return &projection{schema: schema, from: from}, nil },
	}
}

// projection takes each column of its output from a column of its input.
type projection struct {
	stateless
	schema workflow.Schema
	from   []int
}

// Apply rearranges the rows of a batch.
func (p *projection) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	rows := workflow.NewRows(len(in.Rows), len(p.from))
	for i, row := range in.Rows {
		for to, from := range p.from {
			rows[i][to] = row[from]
		}
	}
	in.Schema, in.Rows = p.schema, rows
	return workflow.Output{Batch: in}, nil
}
