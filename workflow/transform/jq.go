package transform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/itchyny/gojq"

	"github.com/troupe-dev/troupe/workflow"
)

const (
	// FilterMax bounds the length of a jq filter in bytes.
	FilterMax = 16 << 10
	// jqResults is how many results a row may have.
	jqResults = 10_000
	// jqTimeout bounds the time for one row.
	jqTimeout = 5 * time.Second
)

// JQConfig is the "with" block of a node of the type jq.
type JQConfig struct {
	Filter  string                          `yaml:"filter,required" doc:"The jq filter. Its input is the row as an object. Each of its results is an object, and makes a row; none drops the row."`
	JSON    []string                        `yaml:"json" doc:"String columns whose text is JSON, which the filter gets as what it stands for."`
	Columns workflow.Mapping[workflow.Kind] `yaml:"columns,required" doc:"Names and types of the columns that the results have. A string column takes lists and objects as JSON."`
}

var jqType = workflow.TransformType[JQConfig]{
	Name: "jq",
	Doc: "Changes rows by a filter of jq (https://jqlang.org), which may make several of one. Rows for which it fails, or whose results are not as declared, are set aside. " +
		"A row has at most 10,000 results and 5 seconds.",
	Example:  "filter: '. as $row | .tags[] | {id: $row.id, tag: .}'\njson: [tags]\ncolumns: {id: int, tag: string}",
	Parallel: true,
	Plan: func(c *workflow.Check, config JQConfig) workflow.TransformPlan {
		if len(config.Filter) > FilterMax {
			c.Errorf("filter", "the filter has %d bytes; at most %d are allowed", len(config.Filter), FilterMax)
			return workflow.TransformPlan{}
		}
		code := compileJQ(c, config.Filter)
		parsed := map[int]bool{}
		for i, name := range config.JSON {
			path := workflow.IndexPath("json", i)
			at, column, ok := c.Column(path, name)
			if ok && column.Kind != workflow.KindString {
				c.Errorf(path, "the column %q is a %s; expected a string", name, column.Kind)
			}
			parsed[at] = true
		}
		var columns []workflow.Column
		for _, item := range config.Columns {
			columns = append(columns, workflow.Column{Name: item.Key, Kind: item.Value})
		}
		schema, ok := c.Schema("columns", columns...)
		if !ok || c.Failed() {
			return workflow.TransformPlan{}
		}
		return workflow.TransformPlan{Schema: schema, New: func(*workflow.Env) (workflow.Transform, error) {
			return &jq{code: code, schema: schema, parsed: parsed}, nil
		}}
	},
}

// compileJQ compiles a filter that reaches neither variables of the environment
// nor modules.
func compileJQ(c *workflow.Check, text string) *gojq.Code {
	query, err := gojq.Parse(text)
	if err != nil {
		c.Errorf("filter", "not a jq filter: %s", err)
		return nil
	}
	code, err := gojq.Compile(query)
	if err != nil {
		c.Errorf("filter", "not a jq filter: %s", err)
		return nil
	}
	return code
}

type jq struct {
	stateless
	code   *gojq.Code
	schema workflow.Schema
	parsed map[int]bool // columns that are JSON
}

// Apply runs the filter for each row. A row's results go on together or not at
// all.
func (t *jq) Apply(ctx context.Context, in workflow.Batch) (workflow.Output, error) {
	out := workflow.Output{Batch: workflow.Batch{Schema: t.schema, File: in.File}}
	for i, row := range in.Rows {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		rows, column, err := t.run(ctx, in.Schema, row)
		switch {
		case err != nil:
			out.Rejects = append(out.Rejects, in.Reject(i, column, err.Error()))
			continue
		case len(rows) == 0:
			out.Filtered++
			continue
		}
		out.Made += len(rows) - 1
		out.Batch.Rows = append(out.Batch.Rows, rows...)
		if in.Lines != nil {
			for range rows {
				out.Batch.Lines = append(out.Batch.Lines, in.Lines[i])
			}
		}
	}
	return out, nil
}

func (t *jq) run(ctx context.Context, schema workflow.Schema, row workflow.Row) (rows []workflow.Row, column string, err error) {
	input, column, err := t.input(schema, row)
	if err != nil {
		return nil, column, err
	}
	ctx, cancel := context.WithTimeout(ctx, jqTimeout)
	defer cancel()
	results := t.code.RunWithContext(ctx, input)
	for {
		result, more := results.Next()
		if !more {
			return rows, "", nil
		}
		if err, failed := result.(error); failed {
			if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.Value() == nil {
				return rows, "", nil
			}
			return nil, "", fmt.Errorf("filter: %w", err)
		}
		if len(rows) == jqResults {
			return nil, "", fmt.Errorf("filter: more than %d results", jqResults)
		}
		made, column, err := t.row(result)
		if err != nil {
			return nil, column, err
		}
		rows = append(rows, made)
	}
}

// input is a row as jq takes it.
func (t *jq) input(schema workflow.Schema, row workflow.Row) (object map[string]any, column string, err error) {
	object = make(map[string]any, len(row))
	for i, v := range row {
		name := schema.Column(i).Name
		switch v.Kind() {
		case workflow.KindNull:
			object[name] = nil
		case workflow.KindBool:
			object[name] = v.Bool()
		case workflow.KindInt:
			object[name] = int(v.Int())
		case workflow.KindFloat:
			object[name] = v.Float()
		default:
			object[name] = v.String()
		}
		if t.parsed[i] && !v.IsNull() {
			var value any
			if err := json.Unmarshal([]byte(v.Text()), &value); err != nil {
				return nil, name, fmt.Errorf("it is not JSON: %w", err)
			}
			object[name] = value
		}
	}
	return object, "", nil
}

// row makes a row of a result.
func (t *jq) row(result any) (row workflow.Row, column string, err error) {
	object, ok := result.(map[string]any)
	if !ok {
		return nil, "", fmt.Errorf("filter: expected an object as the result, found %s", gojq.TypeOf(result))
	}
	row = make(workflow.Row, t.schema.Len())
	for i, c := range t.schema.Columns() {
		if row[i], err = valueOf(c.Kind, object[c.Name]); err != nil {
			return nil, c.Name, err
		}
	}
	return row, "", nil
}

// valueOf makes a value of a kind from one of jq.
func valueOf(kind workflow.Kind, v any) (workflow.Value, error) {
	switch v := v.(type) {
	case nil:
		return workflow.Null(), nil
	case string:
		return workflow.ParseValue(kind, v)
	case bool:
		if kind == workflow.KindBool {
			return workflow.Bool(v), nil
		}
	case int:
		switch kind {
		case workflow.KindInt:
			return workflow.Int(int64(v)), nil
		case workflow.KindFloat:
			return workflow.Float(float64(v)), nil
		}
	case float64:
		switch {
		case kind == workflow.KindFloat:
			return workflow.Float(v), nil
		case kind == workflow.KindInt && v == math.Trunc(v) && math.Abs(v) <= 1<<53:
			return workflow.Int(int64(v)), nil
		}
	case *big.Int:
		if kind == workflow.KindFloat {
			f, _ := v.Float64()
			return workflow.Float(f), nil
		}
	}
	if kind == workflow.KindString {
		text, err := gojq.Marshal(v)
		return workflow.String(string(text)), err
	}
	return workflow.Value{}, fmt.Errorf("expected a %s, found %s", kind, gojq.Preview(v))
}
