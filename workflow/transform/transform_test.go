package transform

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/workflow"
)

var weather = workflow.MustSchema(
	workflow.Column{Name: "day", Kind: workflow.KindDate},
	workflow.Column{Name: "rain", Kind: workflow.KindFloat},
	workflow.Column{Name: "n", Kind: workflow.KindInt},
	workflow.Column{Name: "sky", Kind: workflow.KindString},
)

func days(t *testing.T) workflow.Batch {
	return rowsOf(t, weather,
		"2012-01-01 0   1 sun",
		"2012-01-02 2.5 0 rain",
		"2012-02-01 1.5 3 rain",
		"2012-02-02 - 4 -",
		"2013-01-01 4   5 fog",
	)
}

// Req W2
func TestFilter(t *testing.T) {
	t.Parallel()
	f, schema := build(t, filterType, weather, `where: 10 / n > 2 && rain > 0.0`)
	got := run(t, f, schema, days(t))
	want := result{
		rows:    []string{"2012-02-01 1.5 3 rain"},
		side:    []string{"else: 2012-01-01 0 1 sun", "else: 2012-02-02 - 4 -", "else: 2013-01-01 4 5 fog"},
		lines:   []int{4},
		rejects: []string{"in.csv:3  [2012-01-02,2.5,0,rain] where: division by zero"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFilterThatKeepsAllCopiesNothing(t *testing.T) {
	t.Parallel()
	f, _ := build(t, filterType, weather, `where: n >= 0`)
	in := days(t)
	out, err := f.Apply(t.Context(), in)
	if err != nil || len(out.Batch.Rows) != 5 || &out.Batch.Rows[0] != &in.Rows[0] {
		t.Errorf("%d rows, %v", len(out.Batch.Rows), err)
	}
}

// Req W2
func TestMap(t *testing.T) {
	t.Parallel()
	in := days(t)
	before := show(in.Rows[0])
	c, schema := build(t, mapType, weather, `
columns:
  rain: rain / 10.0
  rate: 12 / n
  wet: rain > 2.0
`)
	got := run(t, c, schema, in)
	want := result{
		rows: []string{
			"2012-01-01 0 1 sun 12 false",
			"2012-02-01 0.15 3 rain 4 false",
			"2012-02-02 - 4 - 3 -",
			"2013-01-01 0.4 5 fog 2 true",
		},
		lines:   []int{2, 4, 5, 6},
		rejects: []string{"in.csv:3 rate [2012-01-02,2.5,0,rain] division by zero"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if s := schema.String(); s != "day date, rain float, n int, sky string, rate int, wet bool" {
		t.Errorf("schema = %s", s)
	}
	if show(in.Rows[0]) != before {
		t.Error("the rows of the input were changed")
	}
}

func TestSelectAndRename(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		with   string
		rename bool
		schema string
		first  string
	}{
		{"list", `columns: [sky, day]`, false, "sky string, day date", "sun 2012-01-01"},
		{"mapping", "columns:\n  mm: rain\n  day: day\n  again: rain", false, "mm float, day date, again float", "0 2012-01-01 0"},
		{"rename", `columns: {rain: mm, sky: rain}`, true, "day date, mm float, n int, rain string", "2012-01-01 0 1 sun"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var p workflow.Transform
			var schema workflow.Schema
			if tt.rename {
				p, schema = build(t, renameType, weather, tt.with)
			} else {
				p, schema = build(t, selectType, weather, tt.with)
			}
			got := run(t, p, schema, days(t))
			if schema.String() != tt.schema || got.rows[0] != tt.first || len(got.rows) != 5 || len(got.lines) != 5 {
				t.Errorf("schema %s, result %+v", schema, got)
			}
		})
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	s, schema := build(t, sortType, weather, `by: [sky desc, rain]`)
	in := days(t)
	first, second := in, in
	first.Rows, first.Lines = in.Rows[:2], in.Lines[:2]
	second.Rows, second.Lines = in.Rows[2:], in.Lines[2:]
	got := run(t, s, schema, first, second)
	want := result{
		rows: []string{
			"2012-01-01 0 1 sun",
			"2012-02-01 1.5 3 rain",
			"2012-01-02 2.5 0 rain",
			"2013-01-01 4 5 fog",
			"2012-02-02 - 4 -",
		},
		lines: []int{2, 4, 3, 6, 5},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	s, schema = build(t, sortType, weather, `by: [n]`)
	second.File = "other.csv"
	if got := run(t, s, schema, first, second); got.lines != nil {
		t.Errorf("rows of two files have the lines %v", got.lines)
	}

	s, _ = build(t, sortType, weather, "by: [n]\nmax_rows: 4")
	if _, err := s.Apply(t.Context(), in); err == nil || !strings.Contains(err.Error(), "more than 4 rows to sort") {
		t.Errorf("beyond max_rows: %v", err)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	l, schema := build(t, limitType, weather, `rows: 7`)
	got := run(t, l, schema, days(t), days(t), days(t))
	if len(got.rows) != 7 || got.dropped != 8 || got.rows[6] != "2012-01-02 2.5 0 rain" || len(got.lines) != 7 {
		t.Errorf("%+v", got)
	}
}

// Req W1, S5
func TestProblems(t *testing.T) {
	t.Parallel()
	check := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	tests := []struct {
		with  string
		check func(with string) error
		want  []string
	}{
		{`where: rainn > 1.0`, planOf(filterType), []string{`w.yaml:8:14: nodes[1].with.where: `, `"rainn"`, `did you mean "rain"?`}},
		{`where: n + 1`, planOf(filterType), []string{`w.yaml:8:14: `, "gives int; expected bool"}},
		{`wher: n > 1`, planOf(filterType), []string{`w.yaml:8:7: `, `did you mean "where"?`}},
		{"columns: {}", planOf(mapType), []string{"there is nothing to compute"}},
		{"columns: {a: n +}", planOf(mapType), []string{"w.yaml:8:"}},
		{"columns: [sky, dayy]", planOf(selectType), []string{`w.yaml:8:22: nodes[1].with.columns[1]: `, `did you mean "day"?`}},
		{"columns: {a: dayy}", planOf(selectType), []string{`w.yaml:8:20: nodes[1].with.columns.a: `, `did you mean "day"?`}},
		{"columns: [day, day]", planOf(selectType), []string{`column "day" stands twice`}},
		{"columns: []", planOf(selectType), []string{`no columns are selected`}},
		{"columns: {skyy: a}", planOf(renameType), []string{`did you mean "sky"?`}},
		{"columns: {sky: day}", planOf(renameType), []string{`column "day" stands twice`}},
		{"by: [skyy desc]", planOf(sortType), []string{`w.yaml:8:12: `, `did you mean "sky"?`}},
		{"by: []", planOf(sortType), []string{`no columns to sort by`}},
		{"by: [sky]\nmax_rows: 0", planOf(sortType), []string{`w.yaml:9:17: `, `expected 1 or more`}},
		{"rows: -1", planOf(limitType), []string{`expected 0 or more`}},
		{"by: [skyy]\ncolumns: {a: count}", planOf(aggregateType), []string{`w.yaml:8:12: nodes[1].with.by[0]: `, `did you mean "sky"?`}},
		{"by: {m: month(dayy)}\ncolumns: {a: count}", planOf(aggregateType), []string{`w.yaml:8:21: nodes[1].with.by.m: `, `did you mean "day"?`}},
		{"columns: {a: sum}", planOf(aggregateType), []string{`w.yaml:8:20: nodes[1].with.columns.a: `, `such as {sum: precipitation}`}},
		{"columns: {a: {summ: n}}", planOf(aggregateType), []string{`w.yaml:8:21: `, `unknown function "summ"`, `did you mean "sum"?`}},
		{"columns: {a: {sum: n, avg: n}}", planOf(aggregateType), []string{`one function`}},
		{"columns: {a: {sum: sky}}", planOf(aggregateType), []string{`w.yaml:8:26: nodes[1].with.columns.a.sum: `, `sum does not take values of the type string; expected int or float`}},
		{"columns: {a: {count_if: n}}", planOf(aggregateType), []string{`expected bool`}},
		{"columns: {a: {sum: nn}}", planOf(aggregateType), []string{`w.yaml:8:26: nodes[1].with.columns.a.sum: `, `unknown column "nn"; expected one of day, rain, n, sky`}},
		{"columns: {}", planOf(aggregateType), []string{`there is nothing to aggregate`}},
		{"by: [sky]\ncolumns: {sky: count}", planOf(aggregateType), []string{`column "sky" stands twice`}},
		{"columns: {a: count}\nmax_groups: 0", planOf(aggregateType), []string{`w.yaml:9:19: `, `expected 1 or more`}},
	}
	for _, tt := range tests {
		got := check(tt.check(tt.with))
		for _, part := range tt.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s\n got %s\nwant %s", tt.with, got, part)
			}
		}
		if strings.Count(got, "\n") > 0 {
			t.Errorf("%s\nmore than one problem: %s", tt.with, got)
		}
	}
}

func planOf[C any](typ workflow.TransformType[C]) func(with string) error {
	return func(with string) error {
		_, err := plan(typ, weather, with)
		return err
	}
}

// The documentation of every type shows a configuration that works.
func TestExamplesOfTypes(t *testing.T) {
	t.Parallel()
	var columns []workflow.Column
	for _, name := range []string{"temp_max", "temp_min", "precipitation", "rain_mm"} {
		columns = append(columns, workflow.Column{Name: name, Kind: workflow.KindFloat})
	}
	columns = append(columns, workflow.Column{Name: "year", Kind: workflow.KindInt}, workflow.Column{Name: "month", Kind: workflow.KindInt},
		workflow.Column{Name: "weather", Kind: workflow.KindString}, workflow.Column{Name: "date", Kind: workflow.KindDate})
	schema := workflow.MustSchema(columns...)
	stations := workflow.MustSchema(workflow.Column{Name: "at", Kind: workflow.KindTime}, workflow.Column{Name: "station", Kind: workflow.KindString},
		workflow.Column{Name: "date", Kind: workflow.KindDate}, workflow.Column{Name: "mm", Kind: workflow.KindFloat},
		workflow.Column{Name: "id", Kind: workflow.KindInt}, workflow.Column{Name: "tags", Kind: workflow.KindString})
	r := workflow.NewRegistry()
	Register(r)
	for _, err := range []error{
		exampleOf(filterType, schema), exampleOf(mapType, schema), exampleOf(selectType, schema), exampleOf(renameType, without(schema, "rain_mm")),
		exampleOf(aggregateType, without(schema, "rain_mm")), exampleOf(sortType, schema), exampleOf(limitType, schema),
		exampleOf(windowType, stations), exampleOf(distinctType, stations), exampleOf(jqType, stations),
		exampleOf(batchType, stations), exampleOf(throttleType, stations),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if n := len(r.Types()) - len(workflow.NewRegistry().Types()); n != 13 {
		t.Errorf("%d types are registered", n)
	}
}

func exampleOf[C any](typ workflow.TransformType[C], schema workflow.Schema) error {
	_, err := plan(typ, schema, typ.Example)
	return err
}

func without(schema workflow.Schema, name string) workflow.Schema {
	return workflow.MustSchema(slices.DeleteFunc(schema.Columns(), func(c workflow.Column) bool { return c.Name == name })...)
}
