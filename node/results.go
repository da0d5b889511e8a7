package node

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver of the files that sink.sql writes

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// ReadArtifact reads back what a sink wrote: up to limit rows after the first
// offset, in the order in which they were written. The schema is the sink's, as
// [workflow.Node] has it. An empty field of a CSV file is null.
//
// The error has the code NOT_FOUND if the file or the table is not there,
// UNIMPLEMENTED for a kind of store that cannot be read back, and INTERNAL if
// what is there does not fit the schema.
func ReadArtifact(ctx context.Context, artifact workflow.Artifact, schema workflow.Schema, limit, offset int) ([]workflow.Row, error) {
	var rows []workflow.Row
	var err error
	switch artifact.Type {
	case "csv":
		rows, err = readCSV(ctx, artifact.Path, schema, limit, offset)
	case "sqlite":
		rows, err = readSQLite(ctx, artifact, schema, limit, offset)
	default:
		return nil, fault.New(fault.Unimplemented, "node.ReadArtifact", "a result of the type %q cannot be read back", artifact.Type)
	}
	if err != nil {
		return nil, artifactError(artifact, err)
	}
	return rows, nil
}

// artifactError classifies what went wrong with a result.
func artifactError(artifact workflow.Artifact, err error) error {
	if ctx := fault.CodeOf(err); ctx == fault.Canceled || ctx == fault.DeadlineExceeded {
		return fault.Wrap(ctx, "node.ReadArtifact", err)
	}
	code := fault.Internal
	if errors.Is(err, os.ErrNotExist) {
		code, err = fault.NotFound, errors.New("the result is no longer there")
	}
	return &fault.Error{Code: code, Op: "node.ReadArtifact", Target: artifact.Path, Cause: err}
}

// readCSV reads a file that sink.csv wrote. The columns are known, so that its
// first line tells the delimiter, and whether there is a header.
func readCSV(ctx context.Context, path string, schema workflow.Schema, limit, offset int) ([]workflow.Row, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	delimiter, header, err := sniffCSV(file, schema)
	if err != nil {
		return nil, err
	}
	reader := csv.NewReader(file)
	reader.Comma, reader.FieldsPerRecord, reader.ReuseRecord = delimiter, schema.Len(), true
	if header {
		offset++
	}
	var rows []workflow.Row
	nulls := nullText{}
	for n := 0; len(rows) < limit; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if n < offset {
			continue
		}
		row := make(workflow.Row, len(record))
		for i, text := range record {
			if row[i], err = nulls.parse(schema.Column(i).Kind, text); err != nil {
				line, _ := reader.FieldPos(i)
				return nil, fmt.Errorf("line %d, column %s: %w", line, schema.Column(i).Name, err)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// sniffCSV finds the delimiter with which the first line has as many fields as
// the schema, and whether those are its names. It leaves the file at its start.
func sniffCSV(file io.ReadSeeker, schema workflow.Schema) (delimiter rune, header bool, err error) {
	delimiter = ','
	for _, d := range ",;\t|" {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return 0, false, err
		}
		reader := csv.NewReader(file)
		reader.Comma = d
		first, err := reader.Read()
		if err != nil || len(first) != schema.Len() {
			continue
		}
		delimiter, header = d, slices.Equal(first, schema.Names())
		if header {
			break
		}
	}
	_, err = file.Seek(0, io.SeekStart)
	return delimiter, header, err
}

// nullText is the text that stands for null in a file. Only the sink knows it,
// but it takes care that it is no value of any column: so the first text that
// does not parse must be it.
type nullText struct {
	text  string
	known bool
}

// parse reads a field.
func (n *nullText) parse(kind workflow.Kind, text string) (workflow.Value, error) {
	if text == "" || n.known && text == n.text {
		return workflow.Null(), nil
	}
	v, err := workflow.ParseValue(kind, text)
	if err != nil && !n.known {
		n.text, n.known = text, true
		return workflow.Null(), nil
	}
	return v, err
}

// readSQLite reads a table of SQLite that sink.sql wrote.
func readSQLite(ctx context.Context, artifact workflow.Artifact, schema workflow.Schema, limit, offset int) (rows []workflow.Row, err error) {
	if _, err := os.Stat(artifact.Path); err != nil {
		return nil, err // SQLite would only say that it cannot open the file
	}
	source := url.URL{Scheme: "file", OmitHost: true, Path: artifact.Path, RawQuery: "mode=ro&_pragma=busy_timeout(2000)"}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	columns := make([]string, schema.Len())
	for i, name := range schema.Names() {
		columns[i] = quoteIdentifier(name)
	}
	//nolint:gosec // names cannot be bound; they are quoted
	query := fmt.Sprintf("SELECT %s FROM %s ORDER BY rowid LIMIT ? OFFSET ?", strings.Join(columns, ", "), quoteIdentifier(artifact.Table))
	found, err := db.QueryContext(ctx, query, limit, offset)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	cells := make([]any, schema.Len())
	targets := make([]any, schema.Len())
	for i := range cells {
		targets[i] = &cells[i]
	}
	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			return nil, err
		}
		row := make(workflow.Row, len(cells))
		for i, cell := range cells {
			if row[i], err = valueOf(schema.Column(i).Kind, cell); err != nil {
				return nil, fmt.Errorf("row %d, column %s: %w", offset+len(rows)+1, schema.Column(i).Name, err)
			}
		}
		rows = append(rows, row)
	}
	return rows, found.Err()
}

// quoteIdentifier makes a name safe to stand in a statement.
func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// valueOf turns what the driver gives into a value of a column's kind.
func valueOf(kind workflow.Kind, cell any) (workflow.Value, error) {
	switch v := cell.(type) {
	case nil:
		return workflow.Null(), nil
	case int64:
		switch kind {
		case workflow.KindInt:
			return workflow.Int(v), nil
		case workflow.KindFloat:
			return workflow.Float(float64(v)), nil
		case workflow.KindBool:
			return workflow.Bool(v != 0), nil
		}
	case float64:
		if kind == workflow.KindFloat {
			return workflow.Float(v), nil
		}
	case bool:
		if kind == workflow.KindBool {
			return workflow.Bool(v), nil
		}
	case string:
		return workflow.ParseValue(kind, v)
	case time.Time:
		switch kind {
		case workflow.KindDate:
			return workflow.Date(v), nil
		case workflow.KindTime:
			return workflow.Time(v), nil
		}
	}
	return workflow.Value{}, fmt.Errorf("a %T does not fit the type %s", cell, kind)
}
