package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/store/sqlite"
	"github.com/troupe-dev/troupe/workflow"
)

// A source is made of a configuration, a plan and what reads the rows.
type count struct {
	To int64 `yaml:"to,required" doc:"The last number."`
}

type counting struct {
	schema workflow.Schema
	next   int64
	to     int64
}

func (c *counting) Open(context.Context) error { return nil }
func (c *counting) Close() error               { return nil }

func (c *counting) Read(_ context.Context, limit int) (workflow.Batch, []workflow.Reject, error) {
	rows := workflow.NewRows(min(limit, int(c.to-c.next)), 1)
	for _, row := range rows {
		c.next++
		row[0] = workflow.Int(c.next)
	}
	var err error
	if c.next == c.to {
		err = io.EOF
	}
	return workflow.Batch{Schema: c.schema, Rows: rows}, nil, err
}

func planCount(_ *workflow.Check, config count) workflow.SourcePlan {
	schema := workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt})
	return workflow.SourcePlan{Schema: schema, New: func(*workflow.Env) (workflow.Source, error) {
		return &counting{schema: schema, to: config.To}, nil
	}}
}

// A transform compiles its expressions when the definition is checked.
type square struct {
	Of workflow.Expr `yaml:"of,required" doc:"What to square."`
}

type squaring struct {
	schema workflow.Schema
	of     *workflow.Program
}

func (s *squaring) Flush(context.Context) (workflow.Output, error) { return workflow.Output{}, nil }

func (s *squaring) Apply(_ context.Context, in workflow.Batch) (workflow.Output, error) {
	out := workflow.Output{Batch: workflow.Batch{Schema: s.schema}}
	for i, row := range in.Rows {
		v, err := s.of.Eval(row)
		if err != nil { // concerns this row alone
			out.Rejects = append(out.Rejects, in.Reject(i, "square", err.Error()))
			continue
		}
		out.Batch.Rows = append(out.Batch.Rows, workflow.Row{workflow.Int(v.Int() * v.Int())})
	}
	return out, nil
}

func planSquare(c *workflow.Check, config square) workflow.TransformPlan {
	of, _ := c.CompileTo("of", config.Of, workflow.KindInt) // reports what is wrong
	schema := workflow.MustSchema(workflow.Column{Name: "square", Kind: workflow.KindInt})
	return workflow.TransformPlan{Schema: schema, New: func(*workflow.Env) (workflow.Transform, error) {
		return &squaring{schema: schema, of: of}, nil
	}}
}

// A sink shows nothing before it is committed.
type printing struct{ rows []workflow.Row }

func (p *printing) Open(context.Context, workflow.Schema) error { return nil }
func (p *printing) Abort(context.Context) error                 { return nil }

func (p *printing) Write(_ context.Context, batch workflow.Batch) error {
	p.rows = append(p.rows, batch.Rows...)
	return nil
}

func (p *printing) Commit(context.Context) error {
	fmt.Println("result:", p.rows)
	return nil
}

// openEngine opens an engine on a store in a folder that goes with it.
func openEngine() (engine *workflow.Engine, stop func()) {
	dir, err := os.MkdirTemp("", "workflow")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "troupe.db"), sqlite.Options{})
	if err != nil {
		panic(err)
	}
	sys := actor.NewSystem(actor.Options{Logger: slog.New(slog.DiscardHandler)})
	engine, err = workflow.Open(ctx, sys, s, workflow.EngineOptions{Registry: registry(), Files: fstest.MapFS{}, OutputDir: dir})
	if err != nil {
		panic(err)
	}
	return engine, func() {
		_ = sys.Stop(ctx) // runs go on with the next engine on the store
		_ = s.Close()
		_ = os.RemoveAll(dir)
	}
}

func registry() *workflow.Registry {
	return workflow.NewRegistry(
		workflow.SourceType[count]{Name: "source.count", Doc: "Counts from 1.", Plan: planCount},
		workflow.TransformType[square]{Name: "square", Doc: "Squares a number.", Plan: planSquare},
		workflow.SinkType[struct{}]{Name: "sink.print", Doc: "Prints rows.",
			Plan: func(*workflow.Check, struct{}) workflow.SinkPlan {
				return workflow.SinkPlan{New: func(*workflow.Env) (workflow.Sink, error) { return &printing{}, nil }}
			}},
	)
}

// Example defines three node types and runs a workflow of them.
func Example() {
	definition, err := workflow.LoadFS(fstest.MapFS{"squares.yaml": {Data: []byte(`
name: squares
nodes:
  - {id: numbers, type: source.count, with: {to: 5}}
  - {id: squares, type: square, from: numbers, with: {of: 12 / (n - 3)}}
  - {id: show, type: sink.print, from: squares}
`)}}, "squares.yaml", workflow.LoadOptions{Registry: registry()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	engine, stop := openEngine()
	defer stop()
	if _, err := engine.Deploy(ctx, definition, "first version"); err != nil {
		fmt.Println(err)
		return
	}
	run, err := engine.Start(ctx, "squares", workflow.StartOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := run.Wait(ctx)
	fmt.Println(info.State, err, info.RowsIn(), "in,", info.RowsOut(), "out")
	for _, r := range info.Rejects {
		fmt.Println("set aside by", r.Node+":", r.Raw+":", r.Reason)
	}
	// Output:
	// result: [[36] [144] [144] [36]]
	// completed <nil> 5 in, 4 out
	// set aside by squares: 3: division by zero
}

// What is wrong with a definition is told all at once and by position.
func ExampleLoadFS() {
	_, err := workflow.LoadFS(fstest.MapFS{"squares.yaml": {Data: []byte(`
name: squares
nodes:
  - {id: numbers, type: source.cuont, with: {to: 5}}
  - {id: more, type: source.count, with: {to: many}}
  - {id: last, type: source.count, with: {to: 5}}
  - {id: squares, type: square, from: [numbers, more], with: {of: 12 / (n - 3)}}
  - {id: cubes, type: square, from: last, with: {of: n * m}}
  - {id: show, type: sink.print, form: squares}
  - {id: shown, type: sink.print, from: [squares, cubs]}
`)}}, "squares.yaml", workflow.LoadOptions{Registry: registry()})
	fmt.Println(err)

	var problems workflow.Problems
	errors.As(err, &problems)
	fmt.Println(problems[0].Line, problems[0].Path, problems[0].Hint)
	// Output:
	// squares.yaml:4:25: nodes[0].type: unknown node type "source.cuont"; did you mean "source.count"?
	// squares.yaml:5:47: nodes[1].with.to: expected an integer, found the text "many"
	// squares.yaml:8:58: nodes[4].with.of: unknown column "m"; expected one of n
	// squares.yaml:9:34: nodes[5].form: unknown key "form"; did you mean "from"?
	// squares.yaml:10:51: nodes[6].from[1]: unknown node "cubs"; did you mean "cubes"?
	// 4 nodes[0].type did you mean "source.count"?
}

func ExampleRegistry_Types() {
	for _, t := range registry().Types() {
		if t.Role == workflow.RoleControl {
			continue // every registry has them
		}
		fmt.Printf("%-9s %-12s %s\n", t.Role, t.Name, t.Doc)
		for _, f := range t.Config {
			fmt.Printf("          %s (%s): %s\n", f.Name, f.Type, f.Doc)
		}
	}
	// Output:
	// source    source.count Counts from 1.
	//           to (integer): The last number.
	// transform square       Squares a number.
	//           of (expression): What to square.
	// sink      sink.print   Prints rows.
}
