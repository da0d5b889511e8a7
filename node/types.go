package node

import (
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/sql"
	"github.com/troupe-dev/troupe/workflow/transform"
)

// NodeTypes returns a registry of every node type that is part of Troupe. It
// is a new one each time, so that a program can add its own.
func NodeTypes() *workflow.Registry {
	r := workflow.NewRegistry()
	csv.Register(r)
	sql.Register(r)
	transform.Register(r)
	return r
}
