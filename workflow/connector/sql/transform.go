package sql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// DefaultMaxRows bounds the rows that the transform sql holds where nothing
	// is said, and those of its result.
	DefaultMaxRows = 1_000_000
	// rowsTable is the table that the query of the transform reads.
	rowsTable = "rows"
)

// TransformConfig is the "with" block of a node of the type sql.
type TransformConfig struct {
	Query   Query                           `yaml:"query,required" doc:"The query over the table rows, in the SQL of SQLite, with a ? for each of params."`
	Params  []workflow.Expr                 `yaml:"params" doc:"The values of the placeholders, in order: expressions over the inputs, such as inputs.since."`
	Columns workflow.Mapping[workflow.Kind] `yaml:"columns" doc:"Names and types of the result's columns, in order. Needed where SQLite does not tell them."`
	MaxRows int                             `yaml:"max_rows" doc:"How many rows are held at most, and how many the result has; the run fails beyond."`
}

var transformType = workflow.TransformType[TransformConfig]{
	Name: "sql",
	Doc: "Runs a query of SQLite over all rows that come in, which stand in the table rows in memory. " +
		"Values come into the query as bound parameters only. Rows of the result with a value that is not of its column's type are set aside.",
	Example: "query: SELECT station, mm, rank() OVER (PARTITION BY station ORDER BY mm DESC) AS place FROM rows WHERE day >= ?\nparams: [inputs.since]\ncolumns: {station: string, mm: float, place: int}",
	Default: TransformConfig{MaxRows: DefaultMaxRows},
	Plan:    planTransform,
}

func planTransform(c *workflow.Check, config TransformConfig) workflow.TransformPlan {
	params := planParams(c, config.Params)
	if config.MaxRows < 1 {
		c.Errorf("max_rows", "%d is out of range; expected 1 or more", config.MaxRows)
	}
	if n := c.Input().Len(); n > ColumnsMax {
		c.Errorf("", "%d columns come in; at most %d are allowed", n, ColumnsMax)
	}
	if c.Failed() {
		return workflow.TransformPlan{}
	}
	t := &rowsQuery{query: string(config.Query), params: params, in: c.Input(), most: config.MaxRows}
	declared := t.describe(c, config)
	schema, ok := c.Schema("columns", declared...)
	if !ok || c.Failed() {
		return workflow.TransformPlan{}
	}
	return workflow.TransformPlan{Schema: schema, New: func(*workflow.Env) (workflow.Transform, error) {
		return &rowsQuery{query: t.query, params: params, in: t.in, out: schema, most: t.most}, nil
	}}
}

// rowsQuery holds rows in a database in memory until Flush.
type rowsQuery struct {
	query   string
	params  []workflow.Value
	in, out workflow.Schema
	most    int

	tx     *transaction
	writer writer
	rows   int
}

// begin makes the database. It ends with the context, which is the run's.
func (t *rowsQuery) begin(ctx context.Context) error {
	if t.tx != nil {
		return nil
	}
	at := location{dialect: sqliteDialect{}, target: "table " + rowsTable}
	db, err := sql.Open("sqlite", "file::memory:?_dqs=0&_error_rc=1")
	if err != nil {
		return at.fault("sql.Apply", err)
	}
	db.SetMaxOpenConns(1)
	context.AfterFunc(ctx, func() { _ = db.Close() }) // nothing of it is kept
	conn, err := db.Conn(ctx)
	if err != nil {
		return at.fault("sql.Apply", err)
	}
	t.tx = &transaction{at: at, db: db, conn: conn}
	table := target{table: rowsTable, mode: modeInsert}
	for _, statement := range []string{createTable(at.dialect, table, t.in), "BEGIN"} {
		if err := t.tx.exec(ctx, statement); err != nil {
			return at.fault("sql.Apply", err)
		}
	}
	t.writer = at.dialect.writer(t.tx, table, t.in)
	return nil
}

// Apply takes the rows of a batch into the table.
func (t *rowsQuery) Apply(ctx context.Context, in workflow.Batch) (workflow.Output, error) {
	if err := t.begin(ctx); err != nil {
		return workflow.Output{}, err
	}
	if t.rows += len(in.Rows); t.rows > t.most {
		return workflow.Output{}, t.tooMany("come in")
	}
	if err := t.writer.rows(ctx, in.Rows); err != nil {
		return workflow.Output{}, err
	}
	return workflow.Output{Held: len(in.Rows)}, nil
}

func (t *rowsQuery) tooMany(what string) error {
	return &fault.Error{
		Code: fault.FailedPrecondition, Op: "sql.Apply",
		Message: fmt.Sprintf("more than %d rows %s", t.most, what), Hint: "filter or aggregate in front of it, or raise max_rows",
	}
}

// Flush runs the query.
func (t *rowsQuery) Flush(ctx context.Context) (workflow.Output, error) {
	var out workflow.Output
	if err := t.begin(ctx); err != nil {
		return out, err
	}
	result, err := t.tx.conn.QueryContext(ctx, t.query, bind(t.tx.at.dialect, t.params)...)
	if err != nil {
		return out, t.tx.fault("sql.Flush", err)
	}
	defer func() { _ = result.Close() }() // result.Err tells what went wrong
	if names, err := result.Columns(); err != nil || len(names) != t.out.Len() {
		return out, fault.New(fault.FailedPrecondition, "sql.Flush", "the query gives %d columns; expected %d", len(names), t.out.Len())
	}
	s := &source{schema: t.out}
	s.values, s.into = scanTargets(t.out.Len())
	out.Batch.Schema = t.out
	bytes := 0
	for n := 1; result.Next(); n++ {
		if n > t.most {
			return out, t.tooMany("are in the result")
		}
		if err := result.Scan(s.into...); err != nil {
			return out, t.tx.fault("sql.Flush", err)
		}
		row := make(workflow.Row, t.out.Len())
		if column, reason := s.row(row, &bytes); reason != "" {
			out.Rejects = append(out.Rejects, workflow.Reject{Column: column, Reason: fmt.Sprintf("row %d of the result: %s", n, reason), Raw: s.raw()})
			continue
		}
		out.Batch.Rows = append(out.Batch.Rows, row)
	}
	return out, t.tx.fault("sql.Flush", result.Err())
}

// describe finds the columns of the result by running the query over one row.
func (t *rowsQuery) describe(c *workflow.Check, config TransformConfig) []workflow.Column {
	ctx, cancel := context.WithTimeout(context.Background(), describeTimeout)
	defer cancel()
	err := t.begin(ctx)
	if err == nil {
		err = t.writer.rows(ctx, []workflow.Row{sampleRow(t.in)})
	}
	if err != nil {
		report(c, "", err, "")
		return nil
	}
	types, known, err := t.probe(ctx)
	switch {
	case err != nil:
		report(c, "query", err, "")
		return nil
	case config.Columns == nil:
		for i, column := range types {
			if !known[i] {
				c.Report("query", fmt.Sprintf("SQLite does not tell the type of the column %q", column.Name), "declare columns")
			}
		}
		return types
	case len(config.Columns) != len(types):
		c.Errorf("columns", "the query gives %d columns; %d are declared", len(types), len(config.Columns))
		return nil
	}
	declared := make([]workflow.Column, len(types))
	for i, item := range config.Columns {
		if item.Key != types[i].Name {
			c.Report(workflow.KeyPath("columns", item.Key), fmt.Sprintf("column %d of the query is %q", i+1, types[i].Name), "declare the columns in the order of the query")
		}
		declared[i] = workflow.Column{Name: item.Key, Kind: item.Value}
	}
	return declared
}

// probe runs the query and looks at its columns and its first row.
func (t *rowsQuery) probe(ctx context.Context) (columns []workflow.Column, known []bool, err error) {
	result, err := t.tx.conn.QueryContext(ctx, t.query, bind(t.tx.at.dialect, t.params)...)
	if err != nil {
		return nil, nil, t.tx.fault("sql.Open", err)
	}
	defer func() { _ = result.Close() }() // result.Err tells what went wrong
	types, err := result.ColumnTypes()
	if err != nil {
		return nil, nil, t.tx.fault("sql.Open", err)
	}
	values, into := scanTargets(len(types))
	if result.Next() {
		if err := result.Scan(into...); err != nil {
			return nil, nil, t.tx.fault("sql.Open", err)
		}
	}
	for i, column := range types {
		kind, ok := t.tx.at.dialect.kindOf(column.DatabaseTypeName())
		if !ok && values[i] != nil {
			kind, ok = kindOfValue(values[i]), true
		}
		columns, known = append(columns, workflow.Column{Name: column.Name(), Kind: kind}), append(known, ok)
	}
	return columns, known, t.tx.fault("sql.Open", result.Err())
}

// sampleRow has a value of each column's kind.
func sampleRow(schema workflow.Schema) workflow.Row {
	day := time.Date(2012, 1, 31, 12, 0, 0, 0, time.UTC)
	row := make(workflow.Row, schema.Len())
	for i, c := range schema.Columns() {
		row[i] = map[workflow.Kind]workflow.Value{
			workflow.KindBool: workflow.Bool(true), workflow.KindInt: workflow.Int(1), workflow.KindFloat: workflow.Float(1.5),
			workflow.KindString: workflow.String("text"), workflow.KindDate: workflow.Date(day), workflow.KindTime: workflow.Time(day),
		}[c.Kind]
	}
	return row
}
