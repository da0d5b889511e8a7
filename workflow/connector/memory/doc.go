// Package memory has sources and sinks without an outside, for demonstrations
// and tests: the node types source.memory, whose rows stand in the definition,
// source.sequence, which counts, and sink.memory, whose rows a test looks at.
package memory

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types source.memory and source.sequence.
func Register(r *workflow.Registry) { r.Add(rowsType, sequenceType) }
