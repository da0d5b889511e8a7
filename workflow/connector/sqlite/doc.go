// Package sqlite writes rows into tables of SQLite files: the node type
// sink.sqlite.
//
// A run writes each file in one transaction. Several sinks of a run that write
// tables of the same file share it, so that they appear together or not at
// all; other tables of the file are not touched. While the run writes, other
// readers see the file as it was, and other writers wait.
//
// A file that the sink makes is put into WAL mode, so that later runs do not
// block readers; an existing file keeps its mode. If a run fails, a file that
// it made is removed again.
//
// Columns are declared with types that SQLite and its drivers understand:
//
//	bool    BOOLEAN   0 or 1
//	int     INTEGER
//	float   REAL      NaN becomes NULL: SQLite has none
//	string  TEXT
//	date    DATE      2012-01-31
//	time    DATETIME  2012-01-31 10:00:00.5, UTC, as SQLite's date functions read it
package sqlite

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node type sink.sqlite.
func Register(r *workflow.Registry) { r.Add(newSinkType()) }
