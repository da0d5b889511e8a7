package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/workflow"
)

// ColumnsMax bounds the columns of a table. It is PostgreSQL's.
const ColumnsMax = 1600

// What a sink does with the rows that a table has.
const (
	modeInsert  = "insert"
	modeUpsert  = "upsert"
	modeReplace = "replace"
)

var modes = []string{modeInsert, modeUpsert, modeReplace}

// SinkConfig is the "with" block of a node of the type sink.sql.
type SinkConfig struct {
	Database Database `yaml:"database,required" doc:"sqlite:PATH, a URL such as postgres://user@host/name or mysql://user@host/name, or env:NAME or file:PATH for what holds the URL. A relative path is relative to the output directory of the run; a SQLite file is made if it is not there."`
	Table    string   `yaml:"table,required" doc:"Table to write to, or SCHEMA.TABLE."`
	Mode     string   `yaml:"mode" doc:"insert adds rows; upsert replaces those with the same key and adds the others; replace removes all rows of the table first."`
	Key      []string `yaml:"key" doc:"The columns that tell rows apart, for upsert. They are the primary key of a table that is made."`
	Create   bool     `yaml:"create" doc:"Whether to make the table if it is not there."`
}

// newSinkType makes the node type. Its sinks find the transactions of their
// runs in a place that they share.
func newSinkType() workflow.SinkType[SinkConfig] {
	shared := newTransactions()
	return workflow.SinkType[SinkConfig]{
		Name:    "sink.sql",
		Doc:     "Writes rows to a table of PostgreSQL, MySQL, MariaDB or SQLite. All tables that a run writes in one database appear together when the run has succeeded, and once even if it has to be done again.",
		Example: "database: env:WEATHER_DATABASE\ntable: monthly\nmode: upsert\nkey: [month]\ncreate: true",
		Default: SinkConfig{Mode: modeInsert},
		Plan: func(c *workflow.Check, config SinkConfig) workflow.SinkPlan {
			checkSink(c, config)
			return workflow.SinkPlan{New: func(env *workflow.Env) (workflow.Sink, error) {
				return &sink{
					shared: shared, run: env.RunID, key: env.Key, database: config.Database,
					path:   func(path string) (string, error) { return env.OutputPath(path), nil },
					target: target{table: config.Table, mode: config.Mode, key: config.Key, create: config.Create},
				}, nil
			}}
		},
	}
}

func checkSink(c *workflow.Check, config SinkConfig) {
	if !slices.Contains(modes, config.Mode) {
		c.Unknown("mode", "mode", config.Mode, modes)
	}
	if config.Table == "" || strings.ContainsRune(config.Table, 0) {
		c.Errorf("table", "%q cannot be the name of a table", config.Table)
	}
	if lower := strings.ToLower(config.Table); strings.HasPrefix(lower, "sqlite_") || lower == keysTable {
		c.Report("table", fmt.Sprintf("%q cannot be the name of a table", config.Table), "names that begin with sqlite_ belong to SQLite, "+keysTable+" holds the keys of runs")
	}
	if config.Mode == modeUpsert && len(config.Key) == 0 {
		c.Report("mode", "upsert needs a key", "name the columns that tell rows apart, such as key: [id]")
	}
	for i, name := range config.Key {
		c.Column(workflow.IndexPath("key", i), name)
		if slices.Contains(config.Key[:i], name) {
			c.Errorf(workflow.IndexPath("key", i), "the column %q stands twice", name)
		}
	}
	if n := c.Input().Len(); n < 1 || n > ColumnsMax {
		c.Errorf("", "%d columns come in; expected 1 to %d", n, ColumnsMax)
	}
	seen := map[string]string{}
	for _, name := range c.Input().Names() {
		lower := asciiLower(name)
		if first, taken := seen[lower]; taken {
			c.Report("", fmt.Sprintf("the columns %q and %q differ in letter case alone, which not all databases tell apart", first, name), "rename one of them")
		}
		seen[lower] = name
	}
}

// sink writes one table. It implements [workflow.Sink] and
// [workflow.Producer].
type sink struct {
	shared   *transactions
	run      string
	key      string
	database Database
	path     func(string) (string, error)
	target   target

	tx      *transaction
	applied bool // the work was done before
	insert  writer
}

// Open joins the transaction of the run on the database, or begins it, writes
// the key, and makes the table ready.
func (s *sink) Open(ctx context.Context, schema workflow.Schema) error {
	at, err := s.database.locate(s.path)
	if err != nil {
		return err
	}
	tx, err := s.shared.join(ctx, s.run, at)
	if err != nil {
		return err
	}
	s.tx = tx
	return tx.do(func() error {
		if err := tx.claim(s.target.table); err != nil {
			return err
		}
		fresh, err := tx.apply(ctx, s.key)
		if s.applied = !fresh; err != nil || s.applied {
			return err
		}
		if err := prepareTable(ctx, tx, s.target, schema); err != nil {
			return err
		}
		s.insert = tx.at.dialect.writer(tx, s.target, schema)
		return nil
	})
}

// prepareTable makes the table ready to take rows of the schema.
func prepareTable(ctx context.Context, tx *transaction, t target, schema workflow.Schema) error {
	d := tx.at.dialect
	there, err := d.columns(ctx, tx.conn, t.table)
	if err != nil {
		return tx.fault("sql.Open", err)
	}
	if len(there) == 0 {
		if !t.create {
			return &fault.Error{
				Code: fault.FailedPrecondition, Op: "sql.Open", Target: tx.at.target,
				Message: "there is no table " + quoted(t.table), Hint: "check its name, or set create: true to have it made",
			}
		}
		err := tx.session.define(ctx, tx, t.table, createTable(d, t, schema))
		if err == nil { // another run may have made it, in another way
			there, err = d.columns(ctx, tx.conn, t.table)
		}
		if err != nil {
			return tx.fault("sql.Open", err)
		}
	}
	if err := d.check(ctx, tx.conn, t); err != nil {
		if f, ok := errors.AsType[*fault.Error](err); ok {
			return f.WithTarget(tx.at.target)
		}
		return tx.fault("sql.Open", err)
	}
	for _, name := range schema.Names() {
		if slices.ContainsFunc(there, func(c string) bool { return asciiLower(c) == asciiLower(name) }) {
			continue
		}
		hint := suggest.DidYouMean(name, there)
		if hint == "" {
			hint = "it has " + strings.Join(there, ", ") + "; put a select in front of the sink, or add the column to the table"
		}
		return &fault.Error{
			Code: fault.FailedPrecondition, Op: "sql.Open", Target: tx.at.target,
			Message: fmt.Sprintf("the table %s has no column %q", quoted(t.table), name), Hint: hint,
		}
	}
	if t.mode == modeReplace {
		return tx.fault("sql.Open", tx.exec(ctx, "DELETE FROM "+tableName(d, t.table)))
	}
	return nil
}

// Write inserts the rows of a batch.
func (s *sink) Write(ctx context.Context, batch workflow.Batch) error {
	if s.applied {
		return nil
	}
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
	return workflow.Artifact{Type: s.tx.at.dialect.name(), Path: s.tx.at.shown(), Table: s.target.table}
}
