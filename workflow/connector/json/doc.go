// Package json reads and writes JSON: the node types source.jsonl, source.json
// and sink.jsonl.
//
// A JSON Lines file (https://jsonlines.org) has an object on each line; each is a
// row. A line that is no object, or whose values are not of the declared types,
// is set aside with its line number, and the stream goes on. A JSON file is one
// document: the rows are the objects of the array at its root, or at the path
// that is given. It is read as a stream, too; what comes after a mistake in its
// syntax cannot be read, so that the run fails there.
//
// Columns are members of the objects, by name or by a path such as user.id. A
// member that is missing is null; members that no column names are left out. A
// string column takes what is no string as its JSON text. Without declared
// columns they are those of the first 100 rows, with the types found there.
//
// What the sink writes, source.jsonl reads back as it was. Floats that JSON has
// no number for are the texts "NaN", "+Inf" and "-Inf".
package json

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types of this package.
func Register(r *workflow.Registry) { r.Add(linesType, documentType, sinkType) }
