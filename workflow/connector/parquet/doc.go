// Package parquet reads and writes Apache Parquet files: the node types
// source.parquet and sink.parquet.
//
// The source reads the flat columns of a file, all of them or those that are
// named. Columns with columns of their own, and repeated ones, are refused with
// their names.
//
//	Parquet                                  kind
//	BOOLEAN                                  bool
//	INT32, INT64, signed or not              int    (beyond 2^63: set aside)
//	FLOAT, DOUBLE, DECIMAL                   float
//	DATE                                     date
//	TIMESTAMP, INT96                         time
//	BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY, UUID   string (bytes that are not UTF-8: set aside)
//
// The sink writes optional columns with Snappy compression, in row groups of
// 50,000 rows, which is also what it holds in memory: times in nanoseconds, UTC,
// dates as DATE. The file appears when the run has succeeded.
package parquet

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types source.parquet and sink.parquet.
func Register(r *workflow.Registry) { r.Add(sourceType, sinkType) }
