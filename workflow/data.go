package workflow

import (
	"fmt"
	"slices"
)

// Row holds one value for each column of its batch's schema.
type Row []Value

// Batch is a run of rows that travels along an edge. It is handed over with
// everything in it: who has passed a batch on no longer writes to it, and who
// receives one only reads it (after a fan-out several nodes hold the same
// rows). A transform that changes rows makes new ones; one that only drops
// rows may reuse the rows it keeps in a new slice.
type Batch struct {
	// Schema describes every row.
	Schema Schema
	// Rows are the data. Their length is the schema's.
	Rows []Row
	// File names what the rows were read from, for the messages about rows
	// that are set aside; empty if there is no such thing. All rows of one
	// batch come from one file.
	File string
	// Lines gives for each row the line of File at which it starts, from 1.
	// It is nil, or as long as Rows. A transform that keeps, drops or changes
	// single rows keeps Lines in step; one that makes rows of its own, such
	// as an aggregate, leaves it nil.
	Lines []int
	// Input is the named input by which the batch has come in, of a node whose
	// type has several. The engine sets it.
	Input string
}

// Line is the line of row i, or 0 if it is not known.
func (b Batch) Line(i int) int {
	if i < len(b.Lines) {
		return b.Lines[i]
	}
	return 0
}

// Reject describes row i as set aside in the named column for a reason. The
// raw text is the row's values joined by commas. Column may be empty.
func (b Batch) Reject(i int, column, reason string) Reject {
	var raw []byte
	for c, v := range b.Rows[i] {
		if c > 0 {
			raw = append(raw, ',')
		}
		raw = v.AppendText(raw)
	}
	return Reject{File: b.File, Line: b.Line(i), Column: column, Reason: reason, Raw: string(raw)}
}

// slice is the part of b from row i up to row j.
func (b Batch) slice(i, j int) Batch {
	b.Rows = b.Rows[i:j:j]
	if b.Lines != nil {
		b.Lines = b.Lines[i:j:j]
	}
	return b
}

// check reports a batch that does not keep its promises.
func (b Batch) check(schema Schema) error {
	if !b.Schema.Equal(schema) {
		return fmt.Errorf("its columns are %s; promised were %s", b.Schema, schema)
	}
	if i := slices.IndexFunc(b.Rows, func(r Row) bool { return len(r) != schema.Len() }); i >= 0 {
		return fmt.Errorf("row %d has %d values for %d columns", i, len(b.Rows[i]), schema.Len())
	}
	if b.Lines != nil && len(b.Lines) != len(b.Rows) {
		return fmt.Errorf("it has %d lines for %d rows", len(b.Lines), len(b.Rows))
	}
	return nil
}

// describe says where the rows come from.
func (b Batch) describe() string {
	if b.File == "" || len(b.Lines) == 0 {
		return fmt.Sprintf("a batch of %d rows", len(b.Rows))
	}
	return fmt.Sprintf("a batch of %d rows from %s:%d on", len(b.Rows), b.File, b.Lines[0])
}

// NewRows makes n rows of the given width that share one allocation. Each row
// is cut to its width, so that appending to one does not touch the next.
func NewRows(n, width int) []Row {
	cells := make([]Value, n*width)
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = cells[i*width : (i+1)*width : (i+1)*width]
	}
	return rows
}

// Reject is a row that could not be processed and was set aside: where it
// stood, why, and what it was, so that nothing is lost.
type Reject struct {
	// Node is the id of the node that set the row aside. The engine fills it in.
	Node string `json:"node"`
	// File is what the row was read from; empty if it has no such origin.
	File string `json:"file,omitempty"`
	// Line is the line of File at which the row starts, from 1; 0 if unknown.
	Line int `json:"line,omitempty"`
	// Column names the column at fault; empty if it is the row as a whole.
	Column string `json:"column,omitempty"`
	// Reason says what was wrong and what was expected.
	Reason string `json:"reason"`
	// Raw is the row's text as it was read, or its values joined by commas
	// where there is no such text. A very long text is cut by whoever keeps it.
	Raw string `json:"raw"`
}
