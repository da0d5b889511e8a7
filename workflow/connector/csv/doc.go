// Package csv reads and writes files of comma-separated values: the node types
// source.csv and sink.csv.
//
// The format is RFC 4180, with any single ASCII character as the delimiter,
// and with PostgreSQL's rule for nulls: an unquoted empty field is a null, a
// quoted one is an empty text. What the sink writes, the source reads back as
// it was, given the same delimiter and null marker.
//
// # Source
//
// The source reads a file as a stream and holds one batch. Its columns are
// declared with types; the header is compared with them when the definition is
// validated and again when the run opens the file. Columns are found by name,
// so their order in the file does not matter.
//
// A row that cannot be read is set aside with its line, column, reason and raw
// text, and the stream goes on. That is so for a wrong number of fields, a text
// that is not of the column's type, a null in a required column, bytes that are
// not UTF-8, a row that is too long, and broken quoting: a quote that is never
// closed costs the line it stands on, not the rest of the file. Empty lines are
// no rows, except in a file of one column, where they are nulls.
//
// # Sink
//
// The sink writes aside, under a temporary name in the same directory, and
// gives the file its name when the whole run has succeeded. A run that fails
// leaves the file as it was.
package csv

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types source.csv and sink.csv.
func Register(r *workflow.Registry) { r.Add(sourceType, sinkType) }
