package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// ColumnsMax is how many columns SQLite allows in a table.
const ColumnsMax = 2000

// Ways to treat a table that is there already.
const (
	modeReplace = "replace"
	modeAppend  = "append"
)

var modes = []string{modeReplace, modeAppend}

// SinkConfig is the "with" block of a node of the type sink.sqlite.
type SinkConfig struct {
	Path  string `yaml:"path,required" doc:"SQLite file to write to; it is made if it is not there. A relative path is relative to the output directory of the run."`
	Table string `yaml:"table,required" doc:"Table to write to."`
	Mode  string `yaml:"mode" doc:"replace drops the table if it is there and makes it anew; append adds to it, and makes it only if it is not there."`
}

// newSinkType makes the node type. Its sinks find the transactions of their
// runs in a place that they share.
func newSinkType() workflow.SinkType[SinkConfig] {
	shared := newTransactions()
	return workflow.SinkType[SinkConfig]{
		Name:    "sink.sqlite",
		Doc:     "Writes rows to a table of a SQLite file. All tables that a run writes to one file appear together when the run has succeeded.",
		Example: "path: weather.db\ntable: monthly",
		Default: SinkConfig{Mode: modeReplace},
		Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
			checkSink(c, config)
			return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
				return &sink{
					shared: shared, run: env.RunID, path: env.OutputPath(config.Path),
					table: config.Table, replace: config.Mode == modeReplace,
				}, nil
			}}
		},
	}
}

func checkSink(c *workflow.Check, config SinkConfig) {
	if !slices.Contains(modes, config.Mode) {
		c.Unknown("mode", "mode", config.Mode, modes)
	}
	switch lower := strings.ToLower(config.Table); {
	case config.Table == "" || strings.ContainsRune(config.Table, 0):
		c.Errorf("table", "%q cannot be the name of a table", config.Table)
	case strings.HasPrefix(lower, "sqlite_"):
		c.Report("table", fmt.Sprintf("%q cannot be the name of a table", config.Table), "names that begin with sqlite_ belong to SQLite")
	}
	if strings.HasSuffix(config.Path, "/") {
		c.Report("path", fmt.Sprintf("%q names a directory; expected a file", config.Path), "add a file name, such as "+config.Path+"rows.db")
	}
	if n := c.Input().Len(); n < 1 || n > ColumnsMax {
		c.Errorf("", "%d columns come in; SQLite allows 1 to %d", n, ColumnsMax)
	}
	seen := map[string]string{}
	for _, name := range c.Input().Names() {
		lower := asciiLower(name)
		if first, taken := seen[lower]; taken {
			c.Report("", fmt.Sprintf("the columns %q and %q differ in letter case alone, which SQLite does not tell apart", first, name), "rename one of them")
		}
		seen[lower] = name
	}
}

// asciiLower folds a name as SQLite does.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// sink writes one table. It implements [workflow.Sink] and
// [workflow.Producer].
type sink struct {
	shared  *transactions
	run     string
	path    string
	table   string
	replace bool

	tx     *transaction
	insert *inserter
}

// Open joins the transaction of the run on the file, or begins it, and makes
// the table ready.
func (s *sink) Open(ctx context.Context, schema workflow.Schema) error {
	tx, err := s.shared.join(ctx, s.run, s.path)
	if err != nil {
		return err
	}
	s.tx = tx
	return tx.do(func() error {
		if err := tx.claim(s.table); err != nil {
			return err
		}
		if err := prepareTable(ctx, tx, s.table, schema, s.replace); err != nil {
			return err
		}
		s.insert = newInserter(tx, s.table, schema)
		return nil
	})
}

// Write inserts the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	return s.tx.do(func() error { return s.insert.rows(ctx, batch.Rows) })
}

// Commit ends the transaction if all other sinks that share it have come this
// far.
func (s *sink) Commit(ctx context.Context) error {
	return s.tx.do(func() error { return s.tx.commit(ctx) })
}

// Abort undoes the transaction, for all sinks that share it.
func (s *sink) Abort(context.Context) error {
	if s.tx == nil {
		return nil
	}
	s.tx.abort()
	return nil
}

// Artifact names the table.
func (s *sink) Artifact() workflow.Artifact {
	return workflow.Artifact{Type: "sqlite", Path: s.path, Table: s.table}
}
