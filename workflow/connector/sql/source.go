package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// batchBytesMax bounds the text of the rows in one batch, so that a batch of
	// very long rows stays small enough to be held several times.
	batchBytesMax = 8 << 20
	// describeTimeout bounds how long a database is asked for the columns of a
	// query while a definition is checked.
	describeTimeout = 15 * time.Second
	// QueryMax bounds the length of a query in bytes.
	QueryMax = 64 << 10
)

// Query is the text of a query. Inputs do not become part of it.
type Query string

// UnmarshalNode reads a text that has no ${name} in it.
func (q *Query) UnmarshalNode(_ *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	text := n.Text()
	switch {
	case !n.IsString():
		return yamldoc.Errors{n.Errorf("expected the text of a query")}
	case strings.TrimSpace(text) == "":
		return yamldoc.Errors{n.Errorf("the query is empty")}
	case len(text) > QueryMax:
		return yamldoc.Errors{n.Errorf("the query has %d bytes; at most %d are allowed", len(text), QueryMax)}
	}
	if _, after, found := strings.Cut(text, "${"); found {
		name, _, _ := strings.Cut(after, "}")
		err := n.Errorf("an input is never put into the text of a query")
		err.Hint = "write a placeholder (? or, for PostgreSQL, $1) in its place, and params: [inputs." + name + "]"
		return yamldoc.Errors{err}
	}
	*q = Query(text)
	return nil
}

// YAMLType names the type in the documentation of node types.
func (Query) YAMLType() string { return "SQL query" }

// SourceConfig is the "with" block of a node of the type source.sql.
type SourceConfig struct {
	Database Database                        `yaml:"database,required" doc:"sqlite:PATH, a URL such as postgres://user@host/name or mysql://user@host/name, or env:NAME or file:PATH for what holds the URL. A relative path is relative to the definition."`
	Query    Query                           `yaml:"query,required" doc:"The query, with a placeholder for each of params: $1, $2 for PostgreSQL, ? for the others."`
	Params   []workflow.Expr                 `yaml:"params" doc:"The values of the placeholders, in order: expressions over the inputs, such as inputs.since."`
	Columns  workflow.Mapping[workflow.Kind] `yaml:"columns" doc:"Names and types of the result's columns, in order. Without it the database is asked for them when the definition is checked."`
}

var sourceType = workflow.SourceType[SourceConfig]{
	Name: "source.sql",
	Doc:  "Reads the result of a query of PostgreSQL, MySQL, MariaDB or SQLite, row by row. Values come into the query as bound parameters only. Rows with a value that is not of its column's type are set aside.",
	Example: `database: env:WEATHER_DATABASE
query: SELECT day, mm FROM rain WHERE day >= $1
params: [inputs.since]`,
	Plan: planSource,
}

func planSource(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
	params := planParams(c, config.Params)
	var columns []workflow.Column
	for _, item := range config.Columns {
		columns = append(columns, workflow.Column{Name: item.Key, Kind: item.Value})
	}
	if c.Failed() {
		return workflow.SourcePlan{}
	}
	at := "columns"
	if columns == nil {
		at = "query"
		columns = describe(c, config, params)
	}
	if c.Failed() {
		return workflow.SourcePlan{}
	}
	schema, ok := c.Schema(at, columns...)
	if !ok {
		return workflow.SourcePlan{}
	}
	return workflow.SourcePlan{Schema: schema, New: func(env *workflow.Env) (workflow.Source, error) {
		return &source{database: config.Database, path: env.InputPath, query: string(config.Query), params: params, schema: schema}, nil
	}}
}

// planParams evaluates the values of placeholders.
func planParams(c *workflow.Check, expressions []workflow.Expr) []workflow.Value {
	params := make([]workflow.Value, len(expressions))
	for i, expression := range expressions {
		path := workflow.IndexPath("params", i)
		program, ok := c.Compile(path, expression)
		if !ok {
			continue
		}
		v, err := program.Eval(nil)
		if err != nil {
			c.Errorf(path, "%s", err)
		}
		params[i] = v
	}
	return params
}

// describe asks the database for the columns of the query's result.
func describe(c *workflow.Check, config SourceConfig, params []workflow.Value) []workflow.Column {
	ctx, cancel := context.WithTimeout(context.Background(), describeTimeout)
	defer cancel()
	found := true
	l, err := config.Database.locate(func(file string) (string, error) {
		path, ok := c.InputPath("database", file)
		found = ok
		return path, nil
	})
	if !found {
		return nil // which is reported
	}
	const hint = "if the database is not there while the definition is checked, declare columns"
	if err != nil {
		report(c, "database", err, hint)
		return nil
	}
	columns, err := describeAt(ctx, l, string(config.Query), params)
	if err != nil {
		path := "query"
		if code := fault.CodeOf(err); code != fault.InvalidArgument && code != fault.FailedPrecondition {
			path = "database"
		}
		report(c, path, err, hint)
	}
	return columns
}

// report adds an error of a database to a check.
func report(c *workflow.Check, path string, err error, hint string) {
	f := fault.From(err)
	message := f.Message
	if f.Cause != nil {
		message = strings.TrimPrefix(message+": "+f.Cause.Error(), ": ")
	}
	if f.Hint != "" && path == "query" {
		hint = f.Hint
	}
	c.Report(path, message, hint)
}

func describeAt(ctx context.Context, l location, query string, params []workflow.Value) ([]workflow.Column, error) {
	db, err := l.dialect.open(l)
	if err != nil {
		return nil, l.fault("sql.Open", err)
	}
	defer func() { _ = db.Close() }() // it was only read
	// One row, for SQLite, which knows the types of values alone.
	limit := " LIMIT 0"
	if l.dialect.name() == "sqlite" {
		limit = " LIMIT 1"
	}
	// The line break ends a comment at the end of the query.
	text := "SELECT * FROM (" + strings.TrimRight(query, "; \t\r\n") + "\n) AS described" + limit //nolint:gosec // the definition's own query
	rows, err := db.QueryContext(ctx, text, bind(l.dialect, params)...)
	if err != nil {
		return nil, l.fault("sql.Open", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, l.fault("sql.Open", err)
	}
	columns := make([]workflow.Column, len(types))
	values, into := scanTargets(len(types))
	if rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, l.fault("sql.Open", err)
		}
	}
	for i, t := range types {
		kind, known := l.dialect.kindOf(t.DatabaseTypeName())
		if !known {
			kind = kindOfValue(values[i])
		}
		columns[i] = workflow.Column{Name: t.Name(), Kind: kind}
	}
	return columns, l.fault("sql.Open", rows.Err())
}

func kindOfValue(v any) workflow.Kind {
	switch v.(type) {
	case int64:
		return workflow.KindInt
	case float64:
		return workflow.KindFloat
	case bool:
		return workflow.KindBool
	case time.Time:
		return workflow.KindTime
	}
	return workflow.KindString
}

func bind(d dialect, params []workflow.Value) []any {
	bound := make([]any, len(params))
	for i, v := range params {
		bound[i] = d.bound(v)
	}
	return bound
}

func scanTargets(n int) (values, into []any) {
	values, into = make([]any, n), make([]any, n)
	for i := range values {
		into[i] = &values[i]
	}
	return values, into
}

// source reads the result of one query. It implements [workflow.Source] and
// [workflow.Counter].
type source struct {
	database Database
	path     func(string) (string, error)
	query    string
	params   []workflow.Value
	schema   workflow.Schema

	at     location
	db     *sql.DB
	tx     *sql.Tx
	result *sql.Rows
	values []any
	into   []any
	read   int64
}

// Open runs the query and compares its columns with the declared ones.
func (s *source) Open(ctx context.Context) (err error) {
	if s.at, err = s.database.locate(s.path); err != nil {
		return err
	}
	if s.db, err = s.at.dialect.open(s.at); err != nil {
		return s.fault("sql.Open", err)
	}
	if s.tx, err = s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: s.at.path == ""}); err != nil {
		return s.fault("sql.Open", err)
	}
	if s.result, err = s.tx.QueryContext(ctx, s.query, bind(s.at.dialect, s.params)...); err != nil { //nolint:rowserrcheck // Read does
		return s.fault("sql.Open", err)
	}
	names, err := s.result.Columns()
	if err != nil {
		return s.fault("sql.Open", err)
	}
	if got, want := strings.Join(names, ", "), strings.Join(s.schema.Names(), ", "); got != want {
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sql.Open", Target: s.at.target,
			Message: fmt.Sprintf("the query gives the columns %s; expected %s", got, want), Hint: "declare the columns as the query gives them, in the same order",
		}
	}
	s.values, s.into = scanTargets(len(names))
	return nil
}

// Read returns the next rows of the result. Their lines are their numbers.
func (s *source) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.at.target}
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	var rejects []workflow.Reject
	rows := workflow.NewRows(max, s.schema.Len())
	lines := make([]int, 0, max)
	for bytes := 0; len(lines) < max && len(rejects) < max && bytes < batchBytesMax; {
		if !s.result.Next() {
			batch.Rows, batch.Lines = rows[:len(lines)], lines
			if err := s.result.Err(); err != nil {
				return batch, rejects, s.fault("sql.Read", fmt.Errorf("after row %d of the query: %w", s.read, err))
			}
			return batch, rejects, io.EOF
		}
		s.read++
		if err := s.result.Scan(s.into...); err != nil {
			return batch, rejects, s.fault("sql.Read", fmt.Errorf("row %d of the query: %w", s.read, err))
		}
		column, reason := s.row(rows[len(lines)], &bytes)
		if reason != "" {
			rejects = append(rejects, workflow.Reject{File: s.at.target, Line: int(s.read), Column: column, Reason: reason, Raw: s.raw()})
			continue
		}
		lines = append(lines, int(s.read))
	}
	batch.Rows, batch.Lines = rows[:len(lines)], lines
	return batch, rejects, nil
}

// row fills a row from the values of the driver.
func (s *source) row(row workflow.Row, bytes *int) (column, reason string) {
	for i, raw := range s.values {
		v, reason := convert(s.schema.Column(i).Kind, raw)
		if reason != "" {
			return s.schema.Column(i).Name, reason
		}
		*bytes += len(v.Text())
		row[i] = v
	}
	return "", ""
}

// raw shows the values of the driver.
func (s *source) raw() string {
	texts := make([]string, len(s.values))
	for i, v := range s.values {
		switch v := v.(type) {
		case nil:
		case []byte:
			texts[i] = fmt.Sprintf("%x", v)
			if utf8.Valid(v) {
				texts[i] = string(v)
			}
		case string:
			texts[i] = strings.ToValidUTF8(v, "\ufffd")
		default:
			texts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(texts, ",")
}

// RowsRead counts the rows met so far, good or bad.
func (s *source) RowsRead() int64 { return s.read }

// Close ends the query and the connection.
func (s *source) Close() error {
	var errs []error
	if s.result != nil {
		errs = append(errs, s.result.Close())
	}
	if s.tx != nil {
		if err := s.tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
			errs = append(errs, err)
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	err := errors.Join(errs...)
	if errors.Is(err, context.Canceled) {
		return nil // the run has ended, and the query with it
	}
	return s.fault("sql.Close", err)
}

func (s *source) fault(op string, err error) error { return s.at.fault(op, err) }
