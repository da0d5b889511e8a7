package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// SourceConfig is the "with" block of a node of the type source.parquet.
type SourceConfig struct {
	Path    string   `yaml:"path,required" doc:"File to read. A relative path is relative to the definition."`
	Columns []string `yaml:"columns" doc:"The columns to read, in that order. Without it all are."`
}

var sourceType = workflow.SourceType[SourceConfig]{
	Name:    "source.parquet",
	Doc:     "Reads the flat columns of a Parquet file. Rows with a value that has no kind of its own here are set aside.",
	Example: "path: weather.parquet\ncolumns: [date, temp_max]",
	Plan: func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		file, ok := c.Open("path", config.Path)
		if !ok {
			return workflow.SourcePlan{}
		}
		defer func() { _ = file.Close() }() // nothing was written
		opened, err := openFile(file, config.Path)
		if err != nil {
			f := fault.From(err)
			message := f.Message
			if f.Cause != nil {
				message = f.Cause.Error()
			}
			c.Report("path", config.Path+": "+message, f.Hint)
			return workflow.SourcePlan{}
		}
		columns := chooseColumns(c, opened, config.Columns)
		declared := make([]workflow.Column, len(columns))
		for i, column := range columns {
			declared[i] = workflow.Column{Name: column.name, Kind: column.kind}
		}
		schema, ok := c.Schema("columns", declared...)
		if !ok || c.Failed() {
			return workflow.SourcePlan{}
		}
		return workflow.SourcePlan{Schema: schema, New: func(env *workflow.Env) (workflow.Source, error) {
			return &source{open: env.Open, path: config.Path, names: config.Columns, schema: schema}, nil
		}}
	},
}

// openFile reads the end of a file, which says what is in it. What is wrong with
// it can make the library panic.
func openFile(file fs.File, path string) (opened *parquet.File, err error) {
	defer recovered(&err, path)
	info, err := file.Stat()
	if err != nil {
		return nil, workflow.FileError("parquet.Open", path, err)
	}
	at, ok := file.(io.ReaderAt)
	if !ok {
		return nil, &fault.Error{Code: fault.InvalidArgument, Op: "parquet.Open", Target: path, Message: "it cannot be read at any place", Hint: "choose a regular file"}
	}
	opened, err = parquet.OpenFile(at, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, damaged("parquet.Open", path, err)
	}
	return opened, nil
}

func damaged(op, path string, err error) error {
	// An offset that makes no sense comes from the file's own text.
	if _, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, syscall.EINVAL) {
		return workflow.FileError(op, path, err)
	}
	return &fault.Error{
		Code: fault.DataLoss, Op: op, Target: path, Message: "it is no Parquet file, or is damaged: " + strings.Join(strings.Fields(err.Error()), " "),
		Hint: "write it again",
	}
}

// recovered turns a panic of the library into an error about the file.
func recovered(err *error, path string) {
	if p := recover(); p != nil {
		*err = damaged("parquet.Read", path, fmt.Errorf("%v", p))
	}
}

// column is one column of a file.
type column struct {
	name  string
	leaf  int // its position among the leaves
	kind  workflow.Kind
	value func(parquet.Value) (workflow.Value, string)
}

// columnsOf lists the flat columns of a file, and the names of the others.
func columnsOf(file *parquet.File) (flat []column, others []string) {
	leaf := 0
	for _, field := range file.Schema().Fields() {
		if !field.Leaf() {
			others = append(others, field.Name())
			leaf += leaves(field)
			continue
		}
		if field.Repeated() {
			others = append(others, field.Name())
		} else {
			kind, value := reading(field.Type())
			flat = append(flat, column{name: field.Name(), leaf: leaf, kind: kind, value: value})
		}
		leaf++
	}
	return flat, others
}

// leaves counts the leaves below a node.
func leaves(n parquet.Node) (count int) {
	if n.Leaf() {
		return 1
	}
	for _, f := range n.Fields() {
		count += leaves(f)
	}
	return count
}

func chooseColumns(c *workflow.Check, file *parquet.File, names []string) []column {
	flat, others := columnsOf(file)
	if names == nil {
		if len(others) > 0 {
			c.Report("path", "the columns "+strings.Join(others, ", ")+" are nested or repeated", "name the columns to read, without them")
		}
		return flat
	}
	known := make([]string, len(flat))
	for i, column := range flat {
		known[i] = column.name
	}
	var chosen []column
	for i, name := range names {
		at := slices.Index(known, name)
		switch {
		case at >= 0:
			chosen = append(chosen, flat[at])
		case slices.Contains(others, name):
			c.Errorf(workflow.IndexPath("columns", i), "the column %q is nested or repeated", name)
		default:
			c.Unknown(workflow.IndexPath("columns", i), "column", name, known)
		}
	}
	return chosen
}

// reading is how values of a type are read.
func reading(t parquet.Type) (workflow.Kind, func(parquet.Value) (workflow.Value, string)) {
	if logical := t.LogicalType(); logical != nil {
		switch logical := logical.Value.(type) {
		case *format.DateType:
			return workflow.KindDate, func(v parquet.Value) (workflow.Value, string) {
				return workflow.Date(time.Unix(int64(v.Int32())*secondsPerDay, 0).UTC()), ""
			}
		case *format.TimestampType:
			return workflow.KindTime, readTime(logical.Unit)
		case *format.DecimalType:
			return workflow.KindFloat, readDecimal(t.Kind(), int(logical.Scale))
		case *format.UUIDType:
			return workflow.KindString, readUUID
		case *format.IntType:
			if !logical.IsSigned {
				return workflow.KindInt, readUnsigned
			}
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return workflow.KindBool, func(v parquet.Value) (workflow.Value, string) { return workflow.Bool(v.Boolean()), "" }
	case parquet.Int32:
		return workflow.KindInt, func(v parquet.Value) (workflow.Value, string) { return workflow.Int(int64(v.Int32())), "" }
	case parquet.Int64:
		return workflow.KindInt, func(v parquet.Value) (workflow.Value, string) { return workflow.Int(v.Int64()), "" }
	case parquet.Int96:
		return workflow.KindTime, func(v parquet.Value) (workflow.Value, string) { return workflow.Time(timeOf96(v.Int96())), "" }
	case parquet.Float:
		return workflow.KindFloat, func(v parquet.Value) (workflow.Value, string) { return workflow.Float(float64(v.Float())), "" }
	case parquet.Double:
		return workflow.KindFloat, func(v parquet.Value) (workflow.Value, string) { return workflow.Float(v.Double()), "" }
	}
	return workflow.KindString, readText
}

func readText(v parquet.Value) (workflow.Value, string) {
	if b := v.ByteArray(); !utf8.Valid(b) {
		return workflow.Value{}, fmt.Sprintf("%d bytes that are not UTF-8", len(b))
	}
	return workflow.String(string(v.ByteArray())), ""
}

func readUUID(v parquet.Value) (workflow.Value, string) {
	b := v.ByteArray()
	if len(b) != 16 {
		return workflow.Value{}, fmt.Sprintf("a UUID of %d bytes", len(b))
	}
	return workflow.String(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])), ""
}

func readUnsigned(v parquet.Value) (workflow.Value, string) {
	if v.Kind() == parquet.Int32 {
		return workflow.Int(int64(v.Uint32())), ""
	}
	u := v.Uint64()
	if u > math.MaxInt64 {
		return workflow.Value{}, fmt.Sprintf("%d is more than an integer of 64 bits with a sign holds", u)
	}
	return workflow.Int(int64(u)), ""
}

func readTime(unit format.TimeUnit) func(parquet.Value) (workflow.Value, string) {
	return func(v parquet.Value) (workflow.Value, string) {
		switch n := v.Int64(); unit.Value.(type) {
		case *format.MilliSeconds:
			return workflow.Time(time.UnixMilli(n)), ""
		case *format.MicroSeconds:
			return workflow.Time(time.UnixMicro(n)), ""
		default:
			return workflow.Time(time.Unix(0, n)), ""
		}
	}
}

// readDecimal reads a number without its point, which stands scale digits from
// the end.
func readDecimal(kind parquet.Kind, scale int) func(parquet.Value) (workflow.Value, string) {
	return func(v parquet.Value) (workflow.Value, string) {
		n := new(big.Int)
		switch kind {
		case parquet.Int32:
			n.SetInt64(int64(v.Int32()))
		case parquet.Int64:
			n.SetInt64(v.Int64())
		default:
			b := v.ByteArray()
			n.SetBytes(b)
			if len(b) > 0 && b[0] >= 0x80 { // two's complement
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
		}
		value, err := workflow.ParseValue(workflow.KindFloat, fmt.Sprintf("%se%d", n, -scale))
		if err != nil {
			return value, err.Error()
		}
		return value, ""
	}
}

// timeOf96 reads nanoseconds of a day and the day's Julian number, as Impala
// and old versions of Spark write times.
func timeOf96(v deprecated.Int96) time.Time {
	const julianEpoch = 2440588
	nanos := uint64(v[1])<<32 | uint64(v[0])
	return time.Unix((int64(v[2])-julianEpoch)*secondsPerDay, int64(nanos)).UTC() //nolint:gosec // below a day
}

// source reads one file. It implements [workflow.Source] and
// [workflow.Counter].
type source struct {
	open   func(string) (fs.File, error)
	path   string
	names  []string
	schema workflow.Schema

	file    fs.File
	columns []column
	groups  []parquet.RowGroup
	rows    parquet.Rows // of the group under way
	cells   []parquet.Value
	buffer  []parquet.Row
	read    int64
}

// Open opens the file and compares its columns with those it had when the
// definition was checked.
func (s *source) Open(context.Context) (err error) {
	if s.file, err = s.open(s.path); err != nil {
		return workflow.FileError("parquet.Open", s.path, err)
	}
	opened, err := openFile(s.file, s.path)
	if err != nil {
		return err
	}
	defer recovered(&err, s.path)
	flat, _ := columnsOf(opened)
	for _, want := range s.schema.Columns() {
		at := slices.IndexFunc(flat, func(c column) bool { return c.name == want.Name && c.kind == want.Kind })
		if at < 0 {
			return &fault.Error{
				Code: fault.FailedPrecondition, Op: "parquet.Open", Target: s.path,
				Message: fmt.Sprintf("the file has no column %s %s any more", want.Name, want.Kind), Hint: "load the definition again",
			}
		}
		s.columns = append(s.columns, flat[at])
	}
	s.groups = opened.RowGroups()
	return nil
}

// Read returns the next rows. Their lines are their numbers.
func (s *source) Read(ctx context.Context, max int) (batch workflow.Batch, rejects []workflow.Reject, err error) {
	batch = workflow.Batch{Schema: s.schema, File: s.path}
	if err := ctx.Err(); err != nil {
		return batch, nil, err
	}
	defer recovered(&err, s.path)
	for s.rows == nil {
		if len(s.groups) == 0 {
			return batch, nil, io.EOF
		}
		s.rows, s.groups = s.groups[0].Rows(), s.groups[1:]
	}
	if len(s.buffer) != max {
		s.buffer = make([]parquet.Row, max)
	}
	n, err := s.rows.ReadRows(s.buffer)
	rows, lines := workflow.NewRows(n, s.schema.Len()), make([]int, 0, n)
	for _, from := range s.buffer[:n] {
		s.read++
		if name, reason := s.fill(from, rows[len(lines)]); reason != "" {
			rejects = append(rejects, workflow.Reject{File: s.path, Line: int(s.read), Column: name, Reason: reason, Raw: fmt.Sprintf("%v", from)})
			continue
		}
		lines = append(lines, int(s.read))
	}
	batch.Rows, batch.Lines = rows[:len(lines)], lines
	switch {
	case errors.Is(err, io.EOF):
		err := s.rows.Close()
		s.rows = nil
		if err != nil {
			return batch, rejects, damaged("parquet.Read", s.path, err)
		}
		return batch, rejects, nil
	case err != nil:
		return batch, rejects, damaged("parquet.Read", s.path, fmt.Errorf("after row %d: %w", s.read, err))
	}
	return batch, rejects, nil
}

// fill takes the columns' values out of a row of the file. Nested columns may
// have any number of values.
func (s *source) fill(from parquet.Row, row workflow.Row) (name, reason string) {
	s.cells = s.cells[:0]
	for _, v := range from {
		for len(s.cells) <= v.Column() {
			s.cells = append(s.cells, parquet.Value{})
		}
		s.cells[v.Column()] = v
	}
	for i, c := range s.columns {
		if c.leaf >= len(s.cells) || s.cells[c.leaf].IsNull() {
			continue
		}
		v, reason := c.value(s.cells[c.leaf])
		if reason != "" {
			return c.name, reason
		}
		row[i] = v
	}
	return "", ""
}

// RowsRead counts the rows met so far, good or bad.
func (s *source) RowsRead() int64 { return s.read }

// Close closes the file.
func (s *source) Close() error {
	if s.rows != nil {
		_ = s.rows.Close() // it was only read
	}
	if s.file == nil {
		return nil
	}
	return workflow.FileError("parquet.Close", s.path, s.file.Close())
}
