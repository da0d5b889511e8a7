package node

import (
	"os"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/console"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/file"
	"github.com/troupe-dev/troupe/workflow/connector/http"
	"github.com/troupe-dev/troupe/workflow/connector/inbox"
	"github.com/troupe-dev/troupe/workflow/connector/json"
	"github.com/troupe-dev/troupe/workflow/connector/kafka"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/connector/parquet"
	"github.com/troupe-dev/troupe/workflow/connector/shell"
	"github.com/troupe-dev/troupe/workflow/connector/sql"
	"github.com/troupe-dev/troupe/workflow/connector/text"
	"github.com/troupe-dev/troupe/workflow/connector/webhook"
	"github.com/troupe-dev/troupe/workflow/transform"
)

// NodeTypes returns a registry of every type of nodes and triggers that is part
// of Troupe. It is a new one each time, so that a program can add its own.
func NodeTypes() *workflow.Registry {
	r := workflow.NewRegistry()
	console.Register(r, os.Stdout)
	csv.Register(r)
	file.Register(r)
	http.Register(r)
	inbox.Register(r)
	json.Register(r)
	kafka.Register(r)
	memory.Register(r)
	parquet.Register(r)
	shell.Register(r)
	sql.Register(r)
	text.Register(r)
	webhook.Register(r)
	transform.Register(r)
	return r
}
